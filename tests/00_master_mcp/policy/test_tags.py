"""Tags that rules demand: known whatever their case, never taken from where they mean nothing."""

from typing import Any

import pytest

from flotilla.settings import Misconfigured
from master.policy.tags import MAX_TAGS, named_tags
from master.policy.target import Parameters, Unclear

from .told import book, tool, who

DEMAND = """
@id("works") @role("op")
permit (principal in Role::"op", action == Action::"call", resource);
@id("owned")
forbid (principal, action == Action::"call", resource)
unless { context.tags has owner && context.tags has "cost-center" };
@id("never-prod")
forbid (principal, action == Action::"call", resource)
when { context.tags has Env && context.tags.Env == "prod" };
"""
BOTH = {"owner": "ada", "cost-center": "7"}


def taking(*names: str) -> Parameters:
    return Parameters.of({"properties": {name: {} for name in names}})


def tags(arguments: dict[str, Any], *wanted: str) -> dict[str, str]:
    return dict(named_tags(arguments, wanted, taking("tags", "labels", "other")))


@pytest.mark.parametrize("parameter", ["tags", "Tags", "labels"])
@pytest.mark.parametrize("name", ["owner", "Owner", " OWNER "])
def test_a_tag_is_known_whatever_its_case(parameter: str, name: str) -> None:
    found = named_tags({parameter: {name: " ada ", "x": 1}}, ["owner"], taking(parameter))
    assert found == {"owner": "ada"}


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"tags": None},
        {"tags": {}},
        {"tags": {"owner": ""}},
        {"tags": {"owner": "  "}},
        {"tags": {"owner": None}},
        {"tags": ["owner", "owner=ada"]},
        {"tags": "owner=ada"},
        {"other": {"owner": "ada"}},
    ],
)
def test_what_tells_nobody_whose_it_is_is_no_tag(arguments: dict[str, Any]) -> None:
    assert tags(arguments, "owner") == {}


@pytest.mark.parametrize(
    "arguments",
    [
        {"tags": {"owner": 1}},
        {"tags": {"owner": ["ada"]}},
        {"tags": {"owner": "a", "OWNER": "b"}},
        {"tags": {"owner": "a"}, "labels": {"owner": "b"}},
        {"tags": {"owner": "x" * 5000}},
        {"tags": {f"t{i}": "" for i in range(MAX_TAGS + 1)}},
    ],
)
def test_of_what_is_more_than_one_thing_nothing_is_said(arguments: dict[str, Any]) -> None:
    with pytest.raises(Unclear):
        tags(arguments, "owner")


def test_tags_that_the_tool_does_not_take_permit_nothing() -> None:
    with pytest.raises(Unclear):
        named_tags({"tags": {"owner": "ada"}}, ["owner"], taking("name"))


def test_rules_may_spell_a_name_each_in_their_way() -> None:
    assert tags({"tags": {"owner": "ada"}}, "Owner", "owner") == {"Owner": "ada", "owner": "ada"}


@pytest.mark.parametrize(
    ("given", "rules"),
    [
        (BOTH, ()),
        ({**BOTH, "env": "test"}, ()),
        ({**BOTH, "env": "prod"}, ("never-prod",)),
        ({"owner": "ada"}, ("owned",)),
        ({**BOTH, "cost-center": ""}, ("owned",)),
        (None, ("owned",)),
    ],
)
def test_a_refusal_names_the_rule_that_demands_them(given: Any, rules: tuple[str, ...]) -> None:
    verdict = book(DEMAND).judge(who("op"), tool("cloud.azure.make", "tags"), {"tags": given})
    assert verdict.allowed is not bool(rules)
    if rules:
        assert verdict.rules == rules


def test_mistakes_about_tags_are_told_before_the_start() -> None:
    for condition, told in (
        ("context.tags == {}", "name a part"),
        ("context.tags has owner && context.tags has OWNER", "one tag"),
        ("context.tags has owner && context.tags.owner > 3", "type"),
        ('context.tags.owner == "ada"', "optional"),
    ):
        rule = f'permit (principal, action == Action::"call", resource) when {{ {condition} }};'
        with pytest.raises(Misconfigured, match=told):
            book(f'@id("a") {rule}')


@pytest.mark.parametrize(
    ("part", "parameter"),
    [
        ("region", "location"),
        ("account", "account"),
        ("vcenter", "vcenter"),
        ("vm", "vmName"),
        ("instance", "instance"),
        ("table", "table"),
        ("cluster", "cluster"),
        ("namespace", "namespace"),
        ("resourceGroup", "resourceGroup"),
        ("project", "project"),
    ],
)
def test_where_a_purchase_goes_is_a_target(part: str, parameter: str) -> None:
    rules = book(
        f"""
        @id("here") @role("op") permit (principal in Role::"op", action == Action::"call", resource)
        when {{ context.target has {part} && context.target.{part} == "here" }};
        """
    )
    made = tool("cloud.azure.make", parameter)
    assert rules.judge(who("op"), made, {parameter: "Here"}).allowed
    assert not rules.judge(who("op"), made, {parameter: "there"}).allowed
