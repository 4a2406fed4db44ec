"""What is said of a call: by its target, its arguments, its time, and by the strictest rule."""

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from flotilla.settings import Misconfigured
from master.policy.book import MAX_KINDS, Rulebook
from master.policy.clock import Clock, zone_of
from master.policy.context import MAX_CONTEXTS
from master.policy.seam import Verdict

from .told import SATURDAY, book, prompt, resource, tool, who

OP = 'principal in Role::"op", action == Action::"call", resource'


def permit(key: str, when: str = "true") -> str:
    return f'@id("{key}") permit ({OP}) when {{ {when} }};'


def forbid(key: str, when: str) -> str:
    return f'@id("{key}") forbid ({OP}) when {{ {when} }};'


ROLE = """@id("nothing") @role("op")
permit (principal in Role::"op", action == Action::"prompt", resource);"""
ALL = permit("all")
WEB = permit("web", 'context.target has host && context.target.host like "web-*"')
NO_DB = forbid("no-db", 'context.target has host && context.target.host like "db-*"')
OVERFLOWS = "context.numbers has n && context.numbers.n * 9223372036854775807 > 0"
NIGHT = forbid("night", "context.time.hour >= 20 || context.time.hour < 6")
WEEKEND = forbid("weekend", '["sat", "sun"].contains(context.utc.weekday)')
UNTIL = permit("until", 'context.now < datetime("2026-12-01T00:00:00Z")')


def rules(*texts: str, **more: Any) -> Rulebook:
    return book("\n".join((ROLE, *texts)), **more)


def said(known: Rulebook, arguments: dict[str, Any], *parameters: str, **more: Any) -> Verdict:
    entry = tool("os.linux.doIt", *(parameters or arguments))
    return known.judge(who("op"), entry, arguments, **more)


def test_a_target_decides() -> None:
    known = rules(WEB)
    assert said(known, {"host": "web-1"}) == Verdict(True, ("web",))
    denied = said(known, {"host": "db-1"})
    assert (denied.allowed, denied.rules) == (False, ())
    assert denied.reason == (
        "no rule lets the role op call os.linux.doIt like this; "
        "web may with other arguments or at another time"
    )


def test_of_many_targets_each_must_be_allowed() -> None:
    known = rules(WEB)
    assert said(known, {"hosts": ["web-1", "web-2"]}).allowed
    assert not said(known, {"hosts": ["web-1", "db-1"]}).allowed
    assert not said(known, {"host": "web-1", "hostname": "db-1"}).allowed


def test_more_targets_than_can_be_judged_are_denied() -> None:
    root_at_a = 'context.target has host && context.target has user && context.target.host == "a"'
    forbidden = forbid("no", f'{root_at_a} && context.target.user == "root"')
    many = [str(number) for number in range(MAX_CONTEXTS // 2)]
    verdict = said(rules(ALL, forbidden), {"hosts": many, "users": ["x", "y", "z"]})
    assert (verdict.allowed, verdict.rules) == (False, ("no",))
    assert verdict.reason is not None
    assert "cannot be judged" in verdict.reason


def test_a_forbid_outweighs_every_permit_and_is_named() -> None:
    known = rules(ALL, WEB, NO_DB)
    assert said(known, {"host": "web-1"}).rules == ("all", "web")
    denied = said(known, {"host": "db-1"})
    assert (denied.allowed, denied.rules) == (False, ("no-db",))
    assert denied.reason == "no-db forbids the role op to call os.linux.doIt"


@pytest.mark.parametrize("host", ["DB-1", "db-1.", " db-1", "ｄb-1", ["web-1", "Db-1"]])
def test_another_spelling_does_not_escape_a_forbid(host: Any) -> None:
    known = rules(ALL, NO_DB)
    assert said(known, {"host": host}).rules == ("no-db",)


@pytest.mark.parametrize("host", [{"a": 1}, "x" * 5000, [["db-1"]], 5 * [{"db-1": 1}]])
def test_what_a_forbid_cannot_be_judged_by_is_denied(host: Any) -> None:
    known = rules(ALL, NO_DB)
    verdict = said(known, {"host": host})
    assert (verdict.allowed, verdict.rules) == (False, ("no-db",))


def test_what_a_permit_cannot_be_judged_by_leaves_what_is_permitted_anyhow() -> None:
    assert said(rules(ALL, WEB), {"host": {"a": 1}}) == Verdict(True, ("all",))
    assert not said(rules(WEB), {"host": {"a": 1}}).allowed
    asks = WEB.replace('@id("web")', '@id("web") @consent("four_eyes")')
    assert not said(rules(ALL, asks), {"host": {"a": 1}}).allowed


def test_a_lone_surrogate_in_an_argument_is_denied_and_breaks_nothing() -> None:
    assert not said(rules(WEB), {"host": "web-\ud800"}).allowed


def test_a_default_of_the_tool_is_judged_as_if_it_were_written() -> None:
    local = 'context.target has host && context.target.host == "local"'
    known = rules(ALL, forbid("no", local))
    entry = tool("os.linux.doIt", defaults={"host": "local"})
    assert known.judge(who("op"), entry, {}).rules == ("no",)
    assert known.judge(who("op"), entry, {"host": "web"}).allowed


def test_an_argument_that_the_tool_does_not_have_permits_nothing() -> None:
    assert not said(rules(WEB), {"host": "web-1"}, "server").allowed


def test_numbers_and_texts_are_judged() -> None:
    known = rules(
        permit("few", "context.numbers has replicas && context.numbers.replicas <= 3"),
        permit("dry", 'context.arguments has dryRun && context.arguments.dryRun == "true"'),
    )
    both = ("replicas", "dryRun")
    assert said(known, {"replicas": 3}, *both).rules == ("few",)
    assert said(known, {"dry_run": True}, *both).rules == ("dry",)
    assert said(known, {"replicas": "2", "dryRun": True}, *both).rules == ("few", "dry")
    assert not said(known, {"replicas": 4}, *both).allowed
    assert not said(known, {"replicas": 2.5}, *both).allowed


def test_the_clock_of_the_zone_decides_at_the_call() -> None:
    moment = [SATURDAY]
    clock = Clock(ZoneInfo("Asia/Tokyo"), lambda: moment[0])
    known = rules(ALL, NIGHT, clock=clock)
    assert said(known, {}).rules == ("night",)  # 23:30 there
    assert known.may_see(who("op"), tool())
    moment[0] += timedelta(hours=8)
    assert said(known, {}).allowed  # 07:30


def test_a_weekday_and_a_last_day_are_judged() -> None:
    monday, later = SATURDAY + timedelta(days=2), SATURDAY + timedelta(days=16)
    assert said(rules(WEEKEND, UNTIL), {}).rules == ("weekend",)
    assert said(rules(WEEKEND, UNTIL, at=monday), {}).rules == ("until",)
    assert not said(rules(WEEKEND, UNTIL, at=later), {}).allowed


def test_an_answer_that_time_changes_is_not_kept() -> None:
    moment = [datetime(2026, 11, 30, 23, 59, 59, tzinfo=UTC)]
    known = rules(UNTIL, clock=Clock(now=lambda: moment[0]))
    assert said(known, {}).allowed
    moment[0] += timedelta(seconds=1)
    assert not said(known, {}).allowed


def test_a_client_without_a_person_and_a_profile_are_judged() -> None:
    known = rules(
        permit("seen", "context.interactive"),
        permit("ci", 'context.profile == "ci"'),
    )
    assert said(known, {}).rules == ("seen",)
    assert said(known, {}, interactive=False, profile="ci").rules == ("ci",)
    assert not said(known, {}, interactive=False, profile="").allowed


@pytest.mark.parametrize(
    ("consents", "strictest"),
    [
        (("never",), "never"),
        (("never", None), "usual"),
        (("never", "always"), "always"),
        (("always", "four_eyes", "never"), "four_eyes"),
        ((None,), "usual"),
    ],
)
def test_of_several_consents_the_strictest_counts(
    consents: tuple[str | None, ...], strictest: str
) -> None:
    texts = [
        ("" if each is None else f'@consent("{each}") ') + permit(f"rule{number}")
        for number, each in enumerate(consents)
    ]
    assert said(rules(*texts), {}).consent == strictest


def test_a_forbid_that_cannot_be_worked_out_forbids() -> None:
    broken = forbid("broken", OVERFLOWS)
    known = rules(ALL, broken)
    assert said(known, {"n": 2}).rules == ("broken",)
    assert said(known, {"n": 0}).allowed


def test_a_permit_that_cannot_be_worked_out_permits_nothing() -> None:
    broken = permit("broken", OVERFLOWS)
    assert not said(rules(broken), {"n": 2}).allowed


def test_a_rule_for_one_principal_is_for_no_other_of_the_same_role() -> None:
    known = rules('@id("ada") permit (principal == Principal::"ada", action, resource);')
    assert known.judge(who("op", name="ada"), tool(), {}).rules == ("ada",)
    assert not known.judge(who("op", name="bob"), tool(), {}).allowed
    assert known.sight(who("op", name="ada")) != known.sight(who("op", name="bob"))


def test_a_principal_named_in_a_condition_is_told_apart_too() -> None:
    known = rules(permit("bot", 'principal.name like "bot-*"'))
    assert known.may_see(who("op", name="bot-1"), tool())
    assert not known.may_see(who("op", name="ada"), tool())


def test_principals_of_the_same_roles_see_the_same() -> None:
    known = rules(ALL)
    assert known.sight(who("op", "x", name="ada")) == known.sight(who("x", "op", name="bob"))


def test_a_principal_cannot_name_itself_a_role() -> None:
    known = rules(ALL)
    assert not known.judge(who(name='op"'), tool(), {}).allowed
    assert not known.judge(who('op", "x'), tool(), {}).allowed


def test_namespaces_hold_what_is_below_them_and_nothing_beside() -> None:
    known = rules(permit("os", 'resource in Namespace::"os"'))
    assert known.may_see(who("op"), tool("os.linux.readFile"))
    assert not known.may_see(who("op"), tool("ext.os.linux.readFile", external=True))
    assert not known.may_see(who("op"), tool("ost.linux.readFile"))


def test_a_strangers_tool_can_be_permitted_by_its_name() -> None:
    known = rules(permit("now", 'resource == Tool::"ext.time.now"'))
    others = dict.fromkeys(("ext.time.Now", "ext.time2.now", "ext.time.now "), False)
    for name, allowed in {"ext.time.now": True, **others}.items():
        entry = tool(name, service="time", external=True)
        assert known.judge(who("op"), entry, {}).allowed is allowed


def test_prompts_and_resources_have_actions_of_their_own() -> None:
    known = rules(
        """@id("read")
        permit (principal in Role::"op", action == Action::"read", resource == Service::"linux_cli")
        when { context.uri like "file:///pub/*" };"""
    )
    op = who("op")
    assert known.judge(op, prompt(), {}).rules == ("nothing",)
    assert known.judge(op, resource("file:///pub/a"), {}).allowed
    assert not known.judge(op, resource("file:///etc/shadow"), {}).allowed
    assert not known.judge(op, resource("file:///pub/a", service="other"), {}).allowed
    assert not known.judge(op, tool(), {}).allowed
    assert known.may_see(op, resource("file:///etc/shadow"))  # some of the service are permitted


def test_a_tool_without_any_call_that_is_allowed_is_not_seen() -> None:
    known = rules(ALL, forbid("no", 'resource == Tool::"os.linux.readFile"'))
    assert not known.may_see(who("op"), tool("os.linux.readFile"))
    assert known.may_see(who("op"), tool("os.linux.writeFile"))


@pytest.mark.parametrize(
    "rule",
    [
        permit("one", "resource.readOnly && context.interactive"),
        permit("two", 'context.time.hour < 24 && resource in Namespace::"os.linux"'),
        permit("three", "context.interactive")[:-1] + " unless { !resource.readOnly };",
        f'@id("four") permit ({OP}) unless {{ context.interactive || !resource.readOnly }};',
    ],
)
def test_what_the_rest_of_a_rule_shuts_out_is_not_seen_whatever_a_call_may_be(rule: str) -> None:
    known = rules(rule)
    assert known.may_see(who("op"), tool("os.linux.look", readOnlyHint=True))
    written = tool("cloud.azure.stop", service="azure")
    assert not known.may_see(who("op"), written)
    assert not known.sight(who("op")).sees(written)


def test_many_kinds_of_principals_and_many_tools_change_no_verdict() -> None:
    known = Rulebook(rules(ALL).rules, most_weighed=3)
    for number in range(MAX_KINDS + 10):
        assert not known.judge(who(f"role{number}"), tool(), {}).allowed
    sight = known.sight(who("op"))
    for number in range(10):
        entry = tool(f"os.linux.do{number}")
        assert known.judge(who("op"), entry, {}).allowed
        assert sight.sees(entry)
    assert known.sight(who("op")) == sight


def test_a_zone_that_is_none_stops_the_start() -> None:
    assert zone_of("UTC") == ZoneInfo("UTC")
    for name in ("Mars/Base", "../../etc/passwd", ""):
        with pytest.raises(Misconfigured, match="FLOTILLA_TIMEZONE"):
            zone_of(name)
