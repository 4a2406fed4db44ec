"""The locks agree with what was asked for, with one another, and with nobody's machine."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DEV = ROOT / "requirements-dev.txt"
LOCKS = sorted([*ROOT.glob("*/requirements.txt"), ROOT / "requirements.txt", DEV])
INPUTS = {
    ROOT / "requirements.txt": [ROOT / "flotilla/requirements.in"],
    DEV: [ROOT / "flotilla/requirements.in", ROOT / "requirements-dev.in"],
}
SERVICE_INPUTS = sorted(ROOT.glob("[0-9][0-9]_*_mcp/requirements.in"))
each_lock = pytest.mark.parametrize("lock", LOCKS, ids=lambda path: str(path.relative_to(ROOT)))


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def asked(source: Path) -> set[str]:
    """The names that a .in file asks for, with those of the files that it includes."""
    names: set[str] = set()
    for line in source.read_text(encoding="utf-8").splitlines():
        wanted = line.partition("#")[0].strip()
        if wanted.startswith("-r "):
            names |= asked(source.parent / wanted.removeprefix("-r ").strip())
        elif wanted:
            names.add(normal(re.split(r"[\[<>=!~;\s]", wanted)[0]))
    return names


def pins(lock: Path) -> dict[str, str]:
    found = re.findall(r"^([\w.-]+)==(\S+)", lock.read_text(encoding="utf-8"), re.MULTILINE)
    return {normal(name): version for name, version in found}


@each_lock
def test_every_requirement_asked_for_is_pinned(lock: Path) -> None:
    sources = INPUTS.get(lock, [lock.with_suffix(".in")])
    if lock.parent == ROOT:
        sources = [*sources, *SERVICE_INPUTS]
    wanted: set[str] = set().union(*(asked(source) for source in sources))
    assert wanted <= set(pins(lock)), "run python tools/lock.py"


@each_lock
def test_all_locks_pin_the_same_versions(lock: Path) -> None:
    everything = pins(DEV)
    assert pins(lock).items() <= everything.items(), "run python tools/lock.py"


@each_lock
def test_every_pin_has_its_hashes_and_no_address(lock: Path) -> None:
    text = lock.read_text(encoding="utf-8")
    pinned = re.split(r"^(?=[\w.-]+==)", text, flags=re.MULTILINE)[1:]
    assert pinned
    assert all("--hash=sha256:" in each for each in pinned)
    assert "://" not in text
    assert "index-url" not in text
    assert "file:" not in text


def test_the_library_and_every_service_have_a_lock() -> None:
    sources = [*SERVICE_INPUTS, ROOT / "flotilla" / "requirements.in"]
    assert [path.with_suffix(".txt") for path in sources] == [
        lock for lock in LOCKS if lock.parent != ROOT
    ]
