"""Whatever a server calls its tools, their safe names fit everywhere and mean one thing."""

import re

from hypothesis import given
from hypothesis import strategies as st

from master.external.names import canonical_name, safe_names, split_canonical

FITS = re.compile(r"[a-zA-Z0-9_-]{1,64}")
SERVERS = st.from_regex(r"[a-z][a-z0-9-]{0,31}", fullmatch=True)
# Few letters and much punctuation, so that collisions happen; and now and then anything at all.
TOOLS = st.sets(
    st.one_of(
        st.text("ab._/ é", max_size=6),
        st.text(max_size=200),
        st.text("a.", min_size=60, max_size=64),
    ),
    max_size=30,
)


@given(SERVERS, TOOLS)
def test_every_tool_has_a_safe_name_of_its_own(server: str, tools: set[str]) -> None:
    names = safe_names(server, tools)
    assert set(names) == tools
    assert len(set(names.values())) == len(tools)
    assert all(FITS.fullmatch(name) for name in names.values())
    assert all(name.startswith(f"ext_{server}_") for name in names.values())


@given(SERVERS, st.permutations(["a.b", "a_b", "a/b", "x" * 70, "x" * 71, "plain", "a b"]))
def test_the_order_of_the_tools_changes_nothing(server: str, tools: list[str]) -> None:
    assert safe_names(server, tools) == safe_names(server, sorted(tools))


@given(TOOLS, TOOLS)
def test_a_tool_keeps_its_name_whatever_comes_that_does_not_collide(
    tools: set[str], others: set[str]
) -> None:
    before = safe_names("a", tools)
    apart = {other for other in others if len(other) < 40 and other.isascii() and other.isalnum()}
    added = {f"zzz{other}" for other in apart}
    after = safe_names("a", tools | added)
    assert {tool: after[tool] for tool in tools} == before


@given(SERVERS, st.sets(st.from_regex(r"[a-zA-Z0-9_-]{1,20}", fullmatch=True)))
def test_ordinary_names_stay_readable(server: str, tools: set[str]) -> None:
    assert safe_names(server, tools) == {tool: f"ext_{server}_{tool}" for tool in tools}


@given(SERVERS, SERVERS, TOOLS, TOOLS)
def test_two_servers_never_meet(one: str, other: str, these: set[str], those: set[str]) -> None:
    if one != other:
        assert not set(safe_names(one, these).values()) & set(safe_names(other, those).values())


def test_when_a_colliding_tool_appears_the_approved_name_is_gone_and_not_anothers() -> None:
    before = safe_names("a", ["read.file"])
    after = safe_names("a", ["read.file", "read_file"])
    assert before["read.file"] == "ext_a_read_file"
    assert "ext_a_read_file" not in after.values()


def test_a_tool_named_like_anothers_digest_does_not_take_its_place() -> None:
    hashed = safe_names("a", ["read.file", "read_file"])["read.file"]
    imitation = hashed.removeprefix("ext_a_")
    names = safe_names("a", ["read.file", "read_file", imitation])
    assert len(set(names.values())) == 3
    assert hashed not in names.values()


@given(SERVERS, st.text())
def test_a_canonical_name_is_taken_apart_to_the_letter(server: str, tool: str) -> None:
    assert split_canonical(canonical_name(server, tool)) == (server, tool)


def test_the_fleets_own_names_are_not_external() -> None:
    assert split_canonical("os.linux.runCommand") is None
    assert split_canonical("ext") is None
    assert split_canonical("ext.git") is None
