"""`profiles.yaml`: what it may say, and how it is told what it may not."""

from pathlib import Path

import pytest

from flotilla.settings import Misconfigured
from master.profiles import CALL, DESCRIBE, SEARCH, Profile, Profiles

ROOT = Path(__file__).resolve().parents[3]


def written(folder: Path, text: str) -> Path:
    file = folder / "profiles.yaml"
    file.write_text(text, encoding="utf-8")
    return file


def test_without_a_file_there_are_all_tools_and_the_search(tmp_path: Path) -> None:
    profiles = Profiles.load(tmp_path / "profiles.yaml")
    assert list(profiles) == ["default", "search"]
    assert profiles["default"] == Profile()
    assert profiles["search"].mode == "search"


def test_a_file_says_what_there_is_and_default_is_always_there(tmp_path: Path) -> None:
    text = "profiles:\n  small:\n    include: ['os.*']\n    naming: dotted\n"
    profiles = Profiles.load(written(tmp_path, text))
    assert list(profiles) == ["default", "small"]
    assert profiles["small"].naming == "dotted"
    assert "search" not in profiles


def test_an_operator_can_make_the_default_another(tmp_path: Path) -> None:
    profiles = Profiles.load(written(tmp_path, "profiles: {default: {mode: search}}"))
    assert profiles["default"].mode == "search"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("profiles: {small: {mod: list}}", "profiles.small.mod: Extra inputs"),
        ("profiles: {small: {mode: tree}}", "profiles.small.mode: Input should be 'list'"),
        ("profiles: {small: {naming: camel}}", "profiles.small.naming"),
        ("profiles: {small: {include: os.linux}}", "profiles.small.include"),
        ("profiles: {small: {include: ['']}}", "profiles.small.include.0"),
        ("profiles: {small: {read_only: perhaps}}", "profiles.small.read_only"),
        ("profiles: {'a/b': {}}", "profiles.a/b.[key]"),
        ("profiles: {Default: {}}", "profiles.Default.[key]"),
        ("profiles: {small: }", "profiles.small"),
        ("profiles: []", "profiles: "),
        ("profile: {}", "profiles: Field required"),
        ("- default", "the file: "),
        ("", "the file: "),
        ("profiles: {small: {include: ['os.*'], pinned: [data.cmdb.getItem]}}", "data.cmdb.get"),
        ("profiles: {a: [", "not valid YAML"),
        ("profiles: {a: &a [*a, *b]}", "not valid YAML"),
    ],
)
def test_a_mistake_is_told_with_the_file_and_the_key(tmp_path: Path, text: str, told: str) -> None:
    file = written(tmp_path, text)
    with pytest.raises(Misconfigured) as raised:
        Profiles.load(file)
    assert str(file) in str(raised.value)
    assert told in str(raised.value)


def test_what_is_no_text_and_what_cannot_be_read_are_told(tmp_path: Path) -> None:
    file = tmp_path / "profiles.yaml"
    file.write_bytes(b"profiles: \xc3\x28")
    with pytest.raises(Misconfigured, match="not valid YAML"):
        Profiles.load(file)
    with pytest.raises(Misconfigured, match="cannot read"):
        Profiles.load(tmp_path)
    file.write_bytes(b"#" * (2 * 1024 * 1024))
    with pytest.raises(Misconfigured, match="at most"):
        Profiles.load(file)


def test_a_star_stands_for_dots_and_exclude_goes_before_include() -> None:
    profile = Profile(include=("os.*", "ext.github.*"), exclude=("os.ssh.*", "*.delete?ssue"))
    taken = [
        "os.linux.readFile",
        "ext.github.issues/list",
        "ext.github.deleteissues",
    ]
    left = ["os.ssh.listHosts", "ext.github.deleteissue", "ext.gitlab.list", "data.os.read", "os"]
    assert [name for name in (*taken, *left) if profile.takes(name)] == taken


def test_a_list_begins_with_what_is_pinned_and_has_no_finders() -> None:
    tools = {name: name.upper() for name in (SEARCH, DESCRIBE, CALL, "os.a.x", "os.a.y", "os.a.z")}
    assert Profile().arranged(tools) == ["OS.A.X", "OS.A.Y", "OS.A.Z"]
    pinned = Profile(pinned=("os.a.z", SEARCH, "os.a.gone"))
    assert pinned.arranged(tools) == ["OS.A.Z", SEARCH.upper(), "OS.A.X", "OS.A.Y"]
    search = Profile(mode="search", pinned=("os.a.z", "os.a.gone"))
    assert search.arranged(tools) == [SEARCH.upper(), DESCRIBE.upper(), CALL.upper(), "OS.A.Z"]


def test_the_shipped_file_is_right_and_changes_nothing_for_who_connects_to_mcp() -> None:
    profiles = Profiles.load(ROOT / "config" / "profiles.yaml")
    assert profiles["default"] == Profile()
    assert {"search", "readonly"} <= set(profiles)
    assert all(profiles[name].description for name in profiles if name != "default")
