"""Write the tool tables of the READMEs and the golden listings from what the services offer.

`python tools/tool_tables.py` writes them; `--check` only says which are out of date. A README has
its table between `<!-- tools:begin -->` and `<!-- tools:end -->`.
"""

import json
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from tools.environment import DEV_LOCK, enter  # noqa: E402  the path comes first

if __name__ == "__main__":
    enter(DEV_LOCK)

from flotilla import CommonSettings, Spoke, meta  # noqa: E402  what it needs is installed by now
from flotilla.fleet import HUB, FleetConfig  # noqa: E402
from flotilla.host import open_package  # noqa: E402
from flotilla.launch.plan import folder_of  # noqa: E402
from flotilla.redaction import Redactor  # noqa: E402
from flotilla.toolbox import Toolbox  # noqa: E402

BEGIN, END = "<!-- tools:begin -->", "<!-- tools:end -->"
GOLDEN = Path("tests/fleet/golden")
SERVICES = ROOT / "config" / "services.yaml"

Listing = Sequence[Mapping[str, Any]]


def main() -> int:
    if "--check" in sys.argv[1:]:
        found = stale()
        for path in found:
            print(f"{path} is out of date; run python tools/tool_tables.py")
        return 1 if found else 0
    for path, text in generated().items():
        if _present(path) != text:
            (ROOT / path).parent.mkdir(parents=True, exist_ok=True)
            (ROOT / path).write_text(text, encoding="utf-8")
            print(f"wrote {path}")
    return 0


def stale() -> list[str]:
    """The generated files that are not what the services offer now."""
    return [str(path) for path, text in generated().items() if _present(path) != text]


def generated() -> dict[Path, str]:
    """Every generated file, relative to the root, as it should be."""
    fleet = FleetConfig.load(SERVICES, env={})
    listings = {name: listing_of(name, fleet) for name in fleet.services}
    files = {
        GOLDEN / f"{name}.json": json.dumps(listing, indent=2, ensure_ascii=False) + "\n"
        for name, listing in listings.items()
    }
    sections: list[str] = []
    for name, listing in listings.items():
        folder = folder_of(name, fleet)
        readme = Path(folder, "README.md")
        files[readme] = between_marks(readme, table(listing))
        sections.append(
            f"### [{folder}]({folder}/README.md): {_count(listing)}\n\n{table(listing)}"
        )
    root_readme = Path("README.md")
    files[root_readme] = between_marks(root_readme, "\n".join(sections))
    return files


def listing_of(name: str, fleet: FleetConfig) -> list[dict[str, Any]]:
    """What the service answers to `tools/list`, with the default settings."""
    package, settings = open_package(ROOT / folder_of(name, fleet))
    if name == HUB:
        return hub_listing(fleet)
    with tempfile.TemporaryDirectory() as folder:
        common = CommonSettings(data_dir=Path(folder))
        spoke: Spoke = package.build(settings.Settings.from_env({}), common)
        return Toolbox(spoke.tools, Redactor()).listing()


def hub_listing(fleet: FleetConfig) -> list[dict[str, Any]]:
    """The hub's own tools, of a hub that is put together and not started."""
    from master.doors import own_tools
    from master.parts import Parts
    from master.search.tools import own_listing
    from master.settings import Settings
    from master.workers.place import ALONE

    with tempfile.TemporaryDirectory() as folder:
        common = CommonSettings(data_dir=Path(folder), config_dir=ROOT / "config")
        return own_listing(own_tools(Parts.of(Settings(), common, fleet, ALONE)))


def table(listing: Listing) -> str:
    """The tools of a service in Markdown: name, kind, and the first sentence of the description."""
    rows = [f"| `{tool['name']}` | {kind(tool)} | {_first_sentence(tool)} |" for tool in listing]
    return "\n".join(["| tool | kind | what it does |", "|---|---|---|", *rows, ""])


def kind(tool: Mapping[str, Any]) -> str:
    """`reads`, `writes` or `destroys`, as the annotations say, and whether a person is asked."""
    notes = tool["annotations"]
    word = (
        "reads" if notes["readOnlyHint"] else "destroys" if notes["destructiveHint"] else "writes"
    )
    return f"{word}, **approval**" if meta.marks_of(tool).get(meta.APPROVAL) else word


def between_marks(readme: Path, text: str) -> str:
    """The README with `text` between its marks; as it is when it has none."""
    before, begin, rest = _present(readme).partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        return f"{before}{begin}{rest}"
    return f"{before}{BEGIN}\n\n{text}\n{END}{after}"


def _first_sentence(tool: Mapping[str, Any]) -> str:
    paragraph = " ".join(str(tool["description"]).split("\n\n")[0].split())
    end = paragraph.find(". ")
    sentence = paragraph if end < 0 else paragraph[: end + 1]
    return sentence.replace("|", "\\|")


def _count(listing: Listing) -> str:
    return f"{len(listing)} tool{'' if len(listing) == 1 else 's'}"


def _present(path: Path) -> str:
    file = ROOT / path
    return file.read_text(encoding="utf-8") if file.is_file() else ""


if __name__ == "__main__":
    sys.exit(main())
