"""Who may call what; `python tests/00_master_mcp/policy/role_table.py` writes the table anew."""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
FILE = Path(__file__).parent / "golden" / "roles.txt"
ROLES = ("viewer", "operator", "approver", "admin")


def table() -> str:
    """One line a tool: `yes`, `asks` where a person is asked, `-` where it is denied."""
    from flotilla import Principal
    from master.policy.book import Rulebook
    from master.policy.rules import load_rules

    from .told import real_tools

    rules = Rulebook(load_rules(ROOT / "config" / "policy"))
    lines = [f"{'':44}" + "".join(f"{role:10}" for role in ROLES)]
    for entry in real_tools():
        cells = ""
        for role in ROLES:
            principal = Principal("somebody", (role,))
            verdict = rules.judge(principal, entry, {})
            assert rules.may_see(principal, entry) == verdict.allowed
            asks = verdict.consent == "usual" and entry.needs_approval
            cells += f"{('asks' if asks else 'yes') if verdict.allowed else '-':10}"
        lines.append(f"{entry.name:44}{cells}")
    return "".join(f"{line.rstrip()}\n" for line in lines)


if __name__ == "__main__":
    import importlib

    sys.path[:0] = [str(ROOT), str(ROOT / "00_master_mcp")]
    module = importlib.import_module("tests.00_master_mcp.policy.role_table")
    FILE.parent.mkdir(exist_ok=True)
    FILE.write_text(module.table(), encoding="utf-8")
