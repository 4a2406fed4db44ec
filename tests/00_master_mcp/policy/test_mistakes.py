"""A mistake in the rules stops the start, with its file, line and column."""

from pathlib import Path

import pytest

from flotilla.settings import Misconfigured
from master.policy.checks import strange_tools
from master.policy.mistakes import Mistake, Mistaken
from master.policy.rules import MAX_FILE_BYTES, load_rules, rules_of

from .told import NAMES

CALL = 'permit (principal, action == Action::"call", resource)'


def mistakes(text: str) -> list[Mistake]:
    with pytest.raises(Mistaken) as raised:
        rules_of({"x.cedar": text}, NAMES)
    return list(raised.value.mistakes)


ANY = "permit (principal, action, resource)"
HOST = "context.target has host"


@pytest.mark.parametrize(
    ("text", "place", "message"),
    [
        ('@id("a")\npermit (principal, action resource);', (2, 27), "unexpected token"),
        (f'@id("a")\n{ANY}\nwhen {{ 1 + }};', (3, 12), "unexpected"),
        (f'@id("a")\n{ANY}', (2, 36), "unexpected end of input"),
        (f'// fine\n\n  @id("a") {ANY} when {{ "b', (3, 56), "invalid token"),
        (f'@id("a") @id("b")\n{ANY};', (1, 2), "duplicate annotation"),
        (f"\n {ANY};", (2, 2), "needs an @id"),
        (f'@id("a b")\n{ANY};', (1, 5), "1 to 64 letters"),
        (f'@id("a")\n@cosent("always")\n{CALL};', (2, 2), "did you mean @consent?"),
        (f'@id("a")\n@consent("maybe")\n{CALL};', (2, 10), "one of always, four_eyes, never"),
        ('@id("a")\n@consent("never")\nforbid (principal, action, resource);', (2, 2), "permit"),
        (f'@id("a")\n@role("Owner")\n{CALL};', (2, 7), "role in small letters"),
        (f'@id("a")\n@role("owner")\n{CALL};', (2, 7), "none of owner, hub"),
        ('@id("a")\npermit (principal == ?principal, action, resource);', (2, 22), "templates"),
        ('@id("a")\npermit (principal in Rol::"a", action, resource);', (2, 22), "entity type"),
        ('@id("a")\npermit (principal, action == Action::"cal", resource);', (2, 38), "action"),
        (f'@id("a")\n{CALL}\nwhen {{ context.target.host == "a" }};', (3, 23), "optional"),
        (f'@id("a")\n{CALL}\nwhen {{ context.tagret has host }};', (3, 16), "`tagret`"),
        (f'@id("a")\n{CALL}\nwhen {{ {HOST} && context.target.host == "W" }};', (3, 58), "never"),
        (f'@id("a")\n{CALL}\nwhen {{ {HOST} && context.target.host like "W" }};', (3, 60), "never"),
        (f'@id("a")\n{CALL}\nwhen {{ context.arguments == {{}} }};', (3, 8), "name a part"),
        (
            f'@id("a")\n{CALL}\nwhen {{ context.numbers has a && context.numbers.a == "1" }};',
            (3, 1),
            "not compatible",
        ),
        (
            f'@id("a")\n{CALL}\nwhen {{ context.arguments has a_b && context.arguments has aB }};',
            (3, 30),
            "one argument",
        ),
        (
            '@id("a") @role("deployer")\npermit (principal in Role::"deploier", action, resource);',
            (2, 28),
            "did you mean 'deployer'?",
        ),
        (
            '@id("a")\npermit (principal, action, resource in Namespace::"os.linuks");',
            (2, 51),
            "did you mean 'os.linux'?",
        ),
        (
            '@id("a")\npermit (principal, action, resource == Tool::"runCommand");',
            (2, 46),
            "canonical",
        ),
    ],
)
def test_a_mistake_is_told_with_its_place(text: str, place: tuple[int, int], message: str) -> None:
    first, *_ = mistakes(text)
    assert (first.file, first.line, first.column) == ("x.cedar", *place), first
    assert message in first.message


def test_one_id_is_one_rules_in_all_files() -> None:
    rule = f'@id("same")\n{CALL};'
    with pytest.raises(Mistaken, match=r"b\.cedar:1:5: the @id 'same' is that of a\.cedar:1 too"):
        rules_of({"a.cedar": rule, "b.cedar": rule}, NAMES)


def test_every_mistake_is_told_at_once() -> None:
    found = mistakes(f'{CALL};\n@id("b") permit (principal action, resource);\n{CALL};')
    assert [each.line for each in found] == [1, 2, 3]


def test_namespaces_of_strangers_and_below_the_hub_are_never_unknown() -> None:
    for space in ("ext", "ext.anything", "master", "master.approvals", "os", "cloud.azure"):
        text = f'@id("a") permit (principal, action, resource in Namespace::"{space}");'
        assert rules_of({"x.cedar": text}, NAMES).by_id.keys() == {"a"}


def test_a_tool_that_nobody_has_is_no_mistake_since_services_come_and_go() -> None:
    text = '@id("a") permit (principal, action, resource == Tool::"os.linux.flyAway");'
    assert rules_of({"x.cedar": text}, NAMES).by_id.keys() == {"a"}


def test_a_tool_in_a_namespace_that_nobody_has_is_warned_of() -> None:
    text = "".join(
        f'@id("r{number}") permit (principal, action, resource == Tool::"{tool}");'
        for number, tool in enumerate(("os.linux.fly", "ext.a.b", "master.fly", "os.linus.fly"))
    )
    rules = rules_of({"x.cedar": text}, NAMES).by_id.values()
    assert [strange_tools(rule.parsed, NAMES) for rule in rules] == [[], [], [], ["os.linus.fly"]]


def test_what_is_no_text_or_too_much_of_it_stops_the_start(tmp_path: Path) -> None:
    file = tmp_path / "x.cedar"
    file.write_bytes(b'@id("a")\n\xff')
    with pytest.raises(Misconfigured, match=r"x\.cedar:2:1: not UTF-8"):
        load_rules(tmp_path)
    file.write_bytes(b" " * (MAX_FILE_BYTES + 1))
    with pytest.raises(Misconfigured, match="at most"):
        load_rules(tmp_path)


def test_a_rule_in_a_comment_or_a_string_is_none() -> None:
    text = (
        '// @id("no") permit (principal, action, resource);\n'
        '@id("a") @description("; // forbid (principal, action, resource);")\n'
        "permit (principal, action, resource); // permit\n"
    )
    (rule,) = rules_of({"x.cedar": text}, NAMES).by_id.values()
    assert (rule.id, rule.line, rule.description[:4]) == ("a", 2, "; //")


def test_the_digest_is_another_for_other_rules_and_the_same_for_the_same() -> None:
    rule = f'@id("a") {CALL};'
    one = rules_of({"x.cedar": rule}, NAMES).digest
    assert one == rules_of({"/elsewhere/x.cedar": rule}, NAMES).digest
    assert one != rules_of({"x.cedar": f"{rule} "}, NAMES).digest
    assert one != rules_of({"y.cedar": rule}, NAMES).digest
