"""`python3 -m flotilla policy`, and what the check of the fleet finds in the rules."""

import json
from pathlib import Path
from typing import Any

import pytest
from anyio import to_thread
from typer.testing import CliRunner

from flotilla.cli.app import app
from flotilla.cli.owner import CommandFailed
from flotilla.fleet import FleetConfig
from flotilla.launch.checks import Ground, settings_problem
from flotilla.settings import CommonSettings

from .conftest import House, with_rules
from .told import ROOT

pytestmark = pytest.mark.anyio


async def command(house: House, *words: str) -> Any:
    """The result of a command of ours, run in a thread of this process."""
    env = {
        "FLOTILLA_HUB_URL": house.fleet.url,
        "FLOTILLA_OWNER_TOKEN_FILE": str(house.fleet.common.data_dir / "owner_token"),
    }
    invoke = CliRunner().invoke
    return await to_thread.run_sync(lambda: invoke(app, ["policy", *words], env=env))


async def test_a_call_is_explained_for_a_principal_by_its_token(house: House) -> None:
    put = ("explain", "--tool", "test_store_putBox", "--as", "a-viewer")
    denied = await command(house, *put)
    assert denied.exit_code == 1
    assert denied.stdout.splitlines()[:2] == [
        "denied: test.store.putBox for viewer",
        "  no rule lets the role viewer call test.store.putBox",
    ]
    (why,) = [line for line in denied.stdout.splitlines() if line.startswith("  viewer-reads ")]
    assert why.endswith("it holds only when { resource.readOnly }"), why
    allowed = await command(house, *put[:-1], "a-operator", "--json")
    assert allowed.exit_code == 0
    assert json.loads(allowed.stdout)["rules"][0]["id"] == "operator-works"


async def test_arguments_time_and_roles_can_be_said(house: House) -> None:
    words = ("explain", "--role", "dayshift", "--tool", "test.store.listBoxes", "--args")
    for host, code in (("web-1", 0), ("web-13", 1), ("db-1", 1)):
        given = json.dumps({"host": host})
        told = await command(house, *words, given, "--at", "2026-11-13T10:00:00Z")
        assert told.exit_code == code, told.stdout
    assert "it is listed" in told.stdout
    assert 'it holds only when { context.target.host like "web-*" }' in told.stdout


async def test_prompts_and_resources_are_explained(house: House) -> None:
    read = ("explain", "--role", "viewer", "--resource", "test://static-text")
    assert "the resources of stranger" in (await command(house, *read)).stdout
    prompt = ("explain", "--role", "operator", "--prompt", "ext.stranger.test_simple_prompt")
    told = await command(house, *prompt)
    assert told.stdout.startswith("allowed: ext.stranger.test_simple_prompt"), told.stdout


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--tool", "test.store.wipe"), "say who asks"),
        (("--tool", "test.store.wipe", "--as", "mallory"), "no live token"),
        (("--tool", "test.store.fly", "--role", "viewer"), "no service offers"),
        (("--role", "viewer"), "one of tool, prompt and resource"),
        (("--tool", "a", "--role", "viewer", "--args", "[]"), "must be a JSON object"),
        (("--tool", "a", "--role", "viewer", "--args", "{"), "no JSON"),
        (("--tool", "a", "--role", "viewer", "--at", "noon"), "no moment"),
        (("--tool", "test.store.wipe", "--role", "viewer", "--profile", "x"), "no profile"),
    ],
)
async def test_a_question_that_makes_no_sense_is_refused(
    house: House, words: tuple[str, ...], message: str
) -> None:
    refused = await command(house, "explain", *words)
    assert isinstance(refused.exception, CommandFailed)
    assert message in refused.exception.message


async def test_the_rules_are_listed_with_their_places(house: House) -> None:
    listed = (await command(house, "list")).stdout.splitlines()
    (line,) = [each for each in listed if each.startswith("dayshift-asks\t")]
    name, effect, where, unknown_names = line.split("\t")
    assert (effect, where.rsplit("/", 1)[1]) == ("permit, always", "ours.cedar:9")
    told = json.loads((await command(house, "list", "--json")).stdout)
    unknown = {rule["id"]: rule["unknown"] for rule in told["rules"] if rule["unknown"]}
    assert unknown.keys() <= {"approver-sees-the-audit"}, unknown
    assert (name, unknown_names) == ("dayshift-asks", "")


def test_rules_are_checked_without_a_hub(tmp_path: Path) -> None:
    folder = with_rules(tmp_path, '@id("x") permit (principal, action, resource);') / "policy"
    fine = CliRunner().invoke(app, ["policy", "check", str(folder)])
    assert (fine.exit_code, fine.stdout.split()[1]) == (0, "rules")
    (folder / "bad.cedar").write_text("\npermit (principal, action resource);")
    wrong = CliRunner().invoke(app, ["policy", "check", str(folder)])
    assert wrong.exit_code == 1
    assert f"{folder}/bad.cedar:2:27: unexpected token" in wrong.stderr
    told = CliRunner().invoke(app, ["policy", "check", str(folder), "--json"])
    (mistake,) = json.loads(told.stdout)["mistakes"]
    assert (mistake["line"], mistake["column"]) == (2, 27)


def test_the_schema_is_printed() -> None:
    printed = CliRunner().invoke(app, ["policy", "schema"])
    assert "entity Tool in [Namespace, Service]" in printed.stdout


def test_the_check_of_the_fleet_finds_a_mistake_in_the_rules(tmp_path: Path) -> None:
    config = with_rules(tmp_path, "forbid (principal, action, resource)")
    fleet = FleetConfig.load(ROOT / "config" / "services.yaml", {})

    def problem(env: dict[str, str]) -> str | None:
        common = CommonSettings(data_dir=tmp_path / "data", config_dir=config)
        return settings_problem("master", Ground(ROOT, env, common, fleet, ("master",)))

    found = problem({})
    assert found is not None
    assert "ours.cedar:1:36: unexpected end of input" in found
    (config / "policy" / "ours.cedar").unlink()
    assert problem({}) is None
    assert "FLOTILLA_TIMEZONE" in (problem({"FLOTILLA_TIMEZONE": "Mars"}) or "")
