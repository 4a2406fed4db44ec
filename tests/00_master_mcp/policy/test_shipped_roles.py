"""The roles at start: what each may do, over every tool that the fleet has."""

from collections.abc import Callable
from pathlib import Path

import pytest

from flotilla import Principal
from flotilla.settings import Misconfigured
from master.entry import Entry
from master.policy.book import Rulebook
from master.policy.rules import BUILT_IN, load_rules, schema_text

from .role_table import FILE, table
from .told import ROOT, prompt, resource, tool, who

CONFIG = ROOT / "config" / "policy"


@pytest.fixture(scope="module")
def shipped() -> Rulebook:
    return Rulebook(load_rules(CONFIG))


def test_the_table_of_roles_and_tools_is_what_the_rules_say() -> None:
    told = "run python tests/00_master_mcp/policy/role_table.py and read what changed"
    assert table() == FILE.read_text(encoding="utf-8"), told


def test_a_viewer_calls_what_only_reads_and_nothing_else() -> None:
    rows = [line.split() for line in FILE.read_text(encoding="utf-8").splitlines()[1:]]
    may = {name for name, viewer, *_ in rows if viewer != "-"}
    assert {"os.linux.readFile", "data.cmdb.listClasses", "master.tools.call"} <= may
    assert not may & {"os.linux.runCommand", "os.linux.writeFile", "master.audit.query"}


def test_who_decides_over_nothing_may_follow_its_own_calls_and_no_more(shipped: Rulebook) -> None:
    for name, roles in {
        "list": {"viewer", "operator", "approver", "admin", "other"},
        "get": {"viewer", "operator", "approver", "admin", "other"},
        "decide": {"approver", "admin"},
    }.items():
        entry = tool(f"master.approvals.{name}", service="master", readOnlyHint=name != "decide")
        everyone = ("viewer", "operator", "approver", "admin", "other")
        assert {role for role in everyone if shipped.may_see(who(role), entry)} == roles


def test_the_built_in_rules_are_the_shipped_ones() -> None:
    folder = ROOT / "00_master_mcp" / "master" / "policy"
    assert (folder / BUILT_IN).read_bytes() == (CONFIG / BUILT_IN).read_bytes()
    assert [file.name for file in CONFIG.glob("*.cedar")] == [BUILT_IN]


def test_without_a_folder_the_built_in_rules_hold(tmp_path: Path) -> None:
    rules = load_rules(tmp_path / "policy")
    assert rules.by_id.keys() == load_rules(CONFIG).by_id.keys()
    assert rules.source == "built in"


def test_a_folder_without_rules_stops_the_start(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match=r"no \.cedar file"):
        load_rules(tmp_path)


def test_who_has_no_role_may_do_nothing_but_find_what_there_is_none_of(shipped: Rulebook) -> None:
    nobody = who()
    assert not shipped.may_see(nobody, tool("os.linux.readFile", readOnlyHint=True))
    assert not shipped.may_see(nobody, prompt())
    assert not shipped.may_see(nobody, resource())
    assert shipped.judge(nobody, tool("master.tools.search", service="master"), {}).allowed


def test_the_owner_is_no_role_of_a_client(shipped: Rulebook) -> None:
    assert not shipped.may_see(who("owner"), tool("os.linux.readFile", readOnlyHint=True))


def test_a_strangers_word_that_a_tool_only_reads_counts_for_nothing(shipped: Rulebook) -> None:
    strange = tool("ext.time.now", service="time", external=True, readOnlyHint=True)
    assert not shipped.judge(who("viewer"), strange, {}).allowed
    assert not shipped.may_see(who("viewer"), strange)
    assert shipped.judge(who("operator"), strange, {}).allowed


@pytest.mark.parametrize("make", [prompt, resource])
def test_a_viewer_reads_resources_and_prompts_of_our_services_alone(
    shipped: Rulebook, make: Callable[..., Entry]
) -> None:
    assert shipped.judge(who("viewer"), make(), {}).allowed
    assert not shipped.judge(who("viewer"), make(service="other", external=True), {}).allowed
    assert shipped.judge(who("operator"), make(service="other", external=True), {}).allowed


def test_of_several_roles_each_permits(shipped: Rulebook) -> None:
    both = who("viewer", "approver")
    assert shipped.judge(both, tool("master.audit.query", service="master"), {}).allowed
    assert shipped.judge(both, tool("os.linux.readFile", readOnlyHint=True), {}).allowed


def test_the_denial_of_a_role_names_it(shipped: Rulebook) -> None:
    verdict = shipped.judge(who("viewer"), tool("os.linux.runCommand"), {})
    assert verdict.reason == "no rule lets the role viewer call os.linux.runCommand"


def test_what_a_service_says_anew_of_a_tool_counts_at_once(shipped: Rulebook) -> None:
    viewer: Principal = who("viewer")
    assert shipped.judge(viewer, tool("os.linux.look", readOnlyHint=True), {}).allowed
    assert not shipped.judge(viewer, tool("os.linux.look", readOnlyHint=False), {}).allowed


def test_the_schema_explains_every_attribute_of_a_tool() -> None:
    written = schema_text()
    for name in ("readOnly", "saysReadOnly", "destructive", "idempotent", "openWorld", "approval"):
        assert f"// {name} " in written
