"""The examples of docs/policy.md do what it says."""

import json
import re
import shlex
from datetime import datetime
from typing import Any

import pytest

from flotilla.cli.policy import explanation
from master.policy.book import Rulebook
from master.policy.clock import Clock
from master.policy.context import Situation
from master.policy.explain import explained
from master.policy.rules import rules_of
from master.policy.target import PARAMETERS

from .told import ROOT, SATURDAY, real_tools, tool, who

GUIDE = (ROOT / "docs" / "policy.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"### \d\. (.+?)\n.*?```cedar\n(.*?)```\n\n```console\n(.*?)```", GUIDE, re.DOTALL)  # fmt: skip  # noqa: E501
PLANNED = [
    tool("cloud.azure.createVirtualMachine", "name", "location", "size", "tags", service="azure"),
    tool("cloud.azure.resizeVirtualMachine", "name", "size", service="azure"),
    tool("infra.k8s.scaleDeployment", "name", "replicas", "cluster", service="k8s"),
    tool("infra.k8s.applyManifest", "manifest", "cluster", "allowPrivileged", service="k8s"),
]
"""Stand-ins for tools of which there is no golden listing yet."""
STRANGERS = [tool(f"ext.time.{name}", service="time", external=True, readOnlyHint=True)
             for name in ("get_current_time", "set_clock")]  # fmt: skip


def option(words: list[str], name: str, otherwise: str = "") -> str:
    return words[words.index(name) + 1] if name in words else otherwise


def asked(rules: Rulebook, command: str) -> list[str]:
    """What the command would print."""
    words = shlex.split(command)
    name = option(words, "--tool")
    entry = {each.name: each for each in [*PLANNED, *STRANGERS, *real_tools()]}[name]
    at = option(words, "--at")
    clock = Clock().at(datetime.fromisoformat(at) if at else SATURDAY)
    situation = Situation(json.loads(option(words, "--args", "{}")))
    told = explained(rules, who(option(words, "--role")), entry, situation, clock)
    return explanation(told.model_dump(mode="json", by_alias=True, exclude_none=True))


def test_there_are_seven_examples() -> None:
    assert len(EXAMPLES) == 7


@pytest.mark.parametrize(("cedar", "console"), [each[1:] for each in EXAMPLES], ids=lambda _: "")
def test_an_example_prints_what_the_guide_shows(cedar: str, console: str) -> None:
    shipped = (ROOT / "config" / "policy" / "roles.cedar").read_text(encoding="utf-8")
    rules = Rulebook(
        rules_of({"config/policy/ours.cedar": cedar, "config/policy/roles.cedar": shipped})
    )
    calls: list[tuple[str, list[str]]] = []
    for line in console.splitlines():
        if line.startswith("$ "):
            calls.append((line[2:], []))
        else:
            calls[-1][1].append(line)
    assert len(calls) >= 2
    for command, shown in calls:
        assert asked(rules, command)[: len(shown)] == shown


def test_the_guide_names_every_part_of_a_target() -> None:
    table: Any = GUIDE.partition("### Targets")[2].partition("## Seven")[0]
    for part in PARAMETERS:
        assert f"`{part}`" in table
