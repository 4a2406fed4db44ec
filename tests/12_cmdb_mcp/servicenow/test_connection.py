"""An instance that throttles, hangs, breaks, sleeps or asks for a login; and who signs in."""

from __future__ import annotations

import json
from time import monotonic
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from cmdb.servicenow.answers import result_of, wait_s
from cmdb.servicenow.estate import Estate
from cmdb.servicenow.tokens import Tokens, grant
from flotilla import FlotillaError, Misconfigured, NotConfigured, UpstreamError
from tests.backends.servicenow_server import CLIENT_SECRET, PASSWORD, REFRESH, USER

if TYPE_CHECKING:
    from pathlib import Path

    from tests.backends.servicenow_server import ServiceNow

pytestmark = pytest.mark.anyio

TABLE = "/api/now/table/cmdb_ci"


def grants(kind: str) -> dict[str, Any]:
    told: dict[str, Any] = {"auth": kind, "client_id": "c11e47", "client_secret": "client_secret"}
    if kind == "password":
        return {**told, "user": USER, "password": "password"}
    told |= {"user": None, "password": None}
    return {**told, "refresh_token": REFRESH} if kind == "refresh_token" else told


async def read(cmdb: Any) -> dict[str, Any]:
    return await cmdb("queryServiceNow", table="cmdb_ci")


async def failed(cmdb: Any, code: str, **more: Any) -> dict[str, Any]:
    return await cmdb.refused(code, "queryServiceNow", table="cmdb_ci", **more)


@pytest.mark.parametrize("kind", ["client_credentials", "password", "refresh_token"])
async def test_a_token_is_asked_for_once_and_renewed_once_it_is_refused(
    kind: str, instance: ServiceNow, connected: Any
) -> None:
    instance.basic = False
    instance.add("cmdb_ci_server", name="web")
    async with connected(instance, **grants(kind)) as cmdb:
        async with anyio.create_task_group() as group:
            for _ in range(8):
                group.start_soon(read, cmdb)
        assert instance.tokens_given == 1
        instance.tokens.clear()
        assert (await read(cmdb))["returned"] == 1
        assert instance.tokens_given == 2
        # Refused again and again, it is not asked for again and again.
        instance.token_life_s = -1
        instance.tokens.clear()
        await failed(cmdb, "not_configured")
        assert instance.tokens_given == 3
    assert not [one for one in instance.server.asked if CLIENT_SECRET in one.path]


async def test_a_token_is_renewed_before_it_ends() -> None:
    asked: list[str] = []
    moment = 0.0

    async def ask(_: Any) -> tuple[int, Any]:
        asked.append("token")
        return 200, {"access_token": f"t{len(asked)}", "expires_in": "100"}

    tokens = Tokens(dict, ask, clock=lambda: moment)
    assert (await tokens.current()).value == "t1"
    moment = 69.0
    assert (await tokens.current()).value == "t1"
    moment = 71.0
    second = await tokens.current()
    assert second.value == "t2"
    assert "t2" not in repr(second)
    assert (await tokens.current(refused=second)).value == "t3"
    assert (await tokens.current(refused=second)).value == "t3"


@pytest.mark.parametrize(
    ("status", "told", "kind"),
    [
        (401, {"error": "access_denied", "error_description": "canary"}, NotConfigured),
        (400, {"error": "invalid_grant"}, NotConfigured),
        (500, {}, UpstreamError),
        (200, {"access_token": ""}, UpstreamError),
        (200, {"access_token": "a\r\nX: y"}, UpstreamError),
        (200, None, UpstreamError),
    ],
)
async def test_no_token_is_a_clear_error_that_quotes_nothing(
    status: int, told: Any, kind: type[FlotillaError]
) -> None:
    async def ask(_: Any) -> tuple[int, Any]:
        return status, told

    with pytest.raises(kind) as caught:
        await Tokens(dict, ask).current()
    assert "canary" not in json.dumps(caught.value.as_json("c"))


async def test_a_caller_who_leaves_does_not_take_the_token_from_those_who_wait() -> None:
    begun, go = anyio.Event(), anyio.Event()

    async def ask(_: Any) -> tuple[int, Any]:
        begun.set()
        await go.wait()
        return 200, {"access_token": "t", "expires_in": 100}

    tokens = Tokens(dict, ask)
    got: list[str] = []

    async def wait() -> None:
        got.append((await tokens.current()).value)

    async with anyio.create_task_group() as group:
        leaving = anyio.CancelScope()

        async def leave() -> None:
            with leaving:
                await tokens.current()

        group.start_soon(leave)
        await begun.wait()
        group.start_soon(wait)
        await anyio.lowlevel.checkpoint()
        leaving.cancel()
        go.set()
    assert got == ["t"]


async def test_wrong_credentials_are_tried_once_and_never_told(
    instance: ServiceNow, connected: Any
) -> None:
    async with connected(instance, user="nobody-canary") as cmdb:
        error = await failed(cmdb, "not_configured")
        assert error["upstreamStatus"] == 401
        assert PASSWORD not in json.dumps(error)
        # Trying again would lock the account.
        assert len(instance.server.asked) == 1


async def test_throttling_is_waited_out_within_the_deadline_and_told_beyond_it(
    instance: ServiceNow, now: Any
) -> None:
    instance.add("cmdb_ci_server", name="web")
    await read(now)
    instance.server.faults.throttle(TABLE, retry_after="0.05", times=2)
    assert (await read(now))["returned"] == 1
    instance.server.faults.fail(TABLE, 503, retry_after="0.05")
    assert (await read(now))["returned"] == 1
    before = len(instance.server.asked)
    instance.server.faults.throttle(TABLE, retry_after="120", times=1)
    error = await failed(now, "rate_limited")
    assert error["retryAfterMs"] == 120_000
    assert len(instance.server.asked) == before + 1


def test_the_reset_of_a_rate_limit_counts_where_nothing_says_how_long_to_wait() -> None:
    assert wait_s({"X-RateLimit-Reset": "1100"}, now_s=1090) == 10
    assert wait_s({"X-RateLimit-Reset": "1100"}, now_s=1200) == 0
    assert wait_s({"Retry-After": "3", "X-RateLimit-Reset": "1100"}, now_s=1000) == 3
    assert wait_s({"X-RateLimit-Reset": "soon"}) is None
    assert wait_s({}) is None


async def test_what_breaks_is_a_clear_error_and_the_next_call_works(
    instance: ServiceNow, now: Any
) -> None:
    instance.add("cmdb_ci_server", name="web")
    await read(now)
    faults = instance.server.faults
    for code, reason, break_it in (
        ("upstream_error", "broken_json", lambda: faults.garble(TABLE)),
        ("unavailable", "dropped", lambda: faults.drop(TABLE, times=2)),
        ("upstream_error", None, lambda: faults.fail(TABLE, 500)),
        ("not_allowed", None, lambda: faults.fail(TABLE, 403)),
    ):
        break_it()
        error = await failed(now, code)
        assert error.get("reason") == reason
        assert (await read(now))["returned"] == 1
    # A connection that breaks once is tried again, for reading changes nothing.
    faults.drop(TABLE)
    assert (await read(now))["returned"] == 1


async def test_an_instance_that_hangs_is_given_up_within_the_deadline(
    instance: ServiceNow, now: Any
) -> None:
    await read(now)
    instance.server.faults.hang(TABLE)
    began = monotonic()
    error = await failed(now, "timeout", deadline_s=0.6)
    assert error["reason"] == "timeout"
    assert monotonic() - began < 3
    instance.server.faults.clear()
    await read(now)


async def test_pages_of_a_web_site_are_no_answers(instance: ServiceNow, now: Any) -> None:
    for page, code, reason in (
        ("hibernating", "unavailable", "hibernating"),
        ("login", "upstream_error", "html_page"),
    ):
        instance.page = page
        error = await failed(now, code)
        assert error["reason"] == reason
    instance.page = None
    await read(now)


async def test_half_a_result_of_a_cancelled_transaction_is_no_result(
    instance: ServiceNow, now: Any
) -> None:
    for number in range(4):
        instance.add("cmdb_ci_server", name=f"web-{number}")
    await read(now)
    instance.cancels = 1
    error = await failed(now, "timeout")
    assert error["reason"] == "cancelled"
    assert (await read(now))["returned"] == 4


@pytest.mark.parametrize(
    ("status", "headers", "body", "code"),
    [
        (200, {}, b'{"result": [', "upstream_error"),
        (200, {}, b"[]", "upstream_error"),
        (200, {}, b"", "upstream_error"),
        (302, {"Location": "https://elsewhere/login"}, b"", "not_configured"),
        (404, {}, b'{"error":{"message":"No Record found","detail":null}}', "not_found"),
        (401, {}, b'{"error":{"message":"User Not Authenticated"}}', "not_configured"),
        (400, {}, b'{"error":{"message":"Invalid table x","detail":null}}', "invalid_argument"),
        (400, {}, b'{"error":"invalid_request"}', "invalid_argument"),
        (502, {"Content-Type": "text/html"}, b"<html>bad gateway</html>", "upstream_error"),
        (503, {"Content-Type": "text/html"}, b"<html>maintenance</html>", "unavailable"),
        (500, {}, b"\xff\xfe", "upstream_error"),
        (200, {}, b'{"error":{"message":"boom"},"result":[]}', "upstream_error"),
    ],
)
def test_answers_that_are_none(status: int, headers: Any, body: bytes, code: str) -> None:
    with pytest.raises(FlotillaError) as caught:
        result_of(status, {"X-Transaction-ID": "t1", **headers}, body)
    assert caught.value.code == code
    assert caught.value.details["upstreamRequestId"] == "t1"
    assert caught.value.details["upstreamStatus"] == status


async def test_a_certificate_that_nobody_vouches_for_is_not_taken(
    instance: ServiceNow, connected: Any
) -> None:
    async with connected(instance, ca_file=None) as cmdb:
        error = await failed(cmdb, "not_configured")
        assert error["reason"] == "certificate"
    assert not instance.server.asked


async def test_an_address_where_nobody_listens_is_unavailable(
    instance: ServiceNow, connected: Any, free_port: Any
) -> None:
    async with connected(instance, url=f"https://127.0.0.1:{free_port()}") as cmdb:
        error = await failed(cmdb, "unavailable")
        assert error["reason"] == "unreachable"


def estate_of(tmp_path: Path, text: str) -> Estate:
    file = tmp_path / "servicenow.yaml"
    file.write_text(text)
    return Estate(file)


GOOD = "url: https://x.example, user: u, password: 'secret:sn/x'"


@pytest.mark.parametrize(
    ("entry", "told"),
    [
        ("user: u, password: 'secret:x'", "url"),
        ("url: http://x.example, user: u, password: 'secret:x'", "https"),
        ("url: https://u:p4ss@x.example, user: u, password: 'secret:x'", "nothing but"),
        ("url: https://x.example/api, user: u, password: 'secret:x'", "no path"),
        ("url: https://x.example, user: u", "needs password"),
        ("url: https://x.example, auth: client_credentials, client_id: c", "needs client_secret"),
        ("url: https://x.example, user: u, password: hunter2", "secret:"),
        (GOOD + ", tables: ['*']", "tables"),
        (GOOD + ", colour: red", "colour"),
        (GOOD + ", classes: {server: {table: cmdb_ci_server, attributes: {x: Y}}}", "lower case"),
        (
            GOOD + ", classes: {server: {table: cmdb_ci_server, attributes: {x: u_password}}}",
            "secret",
        ),
        (
            GOOD + ", classes: {server: {table: t, attributes: {servicenow_sys_id: y}}}",
            "cannot have that name",
        ),
        (GOOD + ", relations: {'Runs on::Runs': {type: sits_on}}", "no relation type"),
    ],
)
def test_a_mistake_in_the_file_names_its_place_and_no_secret(
    entry: str, told: str, tmp_path: Path
) -> None:
    with pytest.raises(Misconfigured) as caught:
        estate_of(tmp_path, f"instances: {{prod: {{{entry}}}}}")
    assert "instances.prod" in str(caught.value)
    assert told in str(caught.value)
    assert "p4ss" not in str(caught.value) and "hunter2" not in str(caught.value)


async def test_stored_secrets_are_waited_for_and_a_change_of_one_forgets_the_token(
    instance: ServiceNow, connected: Any
) -> None:
    instance.basic = False
    instance.add("cmdb_ci_server", name="web")
    entry = {**grants("client_credentials"), "client_secret": "secret:sn/client"}
    async with connected(instance, **entry) as cmdb:
        credentials = cmdb.spoke.credentials
        assert credentials.needs == ("sn/client",)
        error = await failed(cmdb, "not_configured")
        assert error["reason"] == "not_brought"
        assert not instance.server.asked
        credentials.give({"sn/client": CLIENT_SECRET})
        assert (await read(cmdb))["returned"] == 1
        credentials.give({"sn/client": "another"})
        await failed(cmdb, "not_configured")
        credentials.give({"sn/client": CLIENT_SECRET})
        assert (await read(cmdb))["returned"] == 1


async def test_a_secret_file_that_is_not_there_stops_these_tools_alone(
    instance: ServiceNow, connected: Any
) -> None:
    async with connected(instance, password="/nowhere/password:x") as cmdb:
        error = await failed(cmdb, "not_configured")
        assert "/nowhere/password:x" in error["message"]
        assert await cmdb.item("web")


def test_the_shipped_file_has_no_instance_and_secrets_of_files_are_known_to_the_redactor(
    tmp_path: Path,
) -> None:
    from tests.conftest import ROOT

    with pytest.raises(NotConfigured):
        Estate(ROOT / "config" / "servicenow.yaml").chosen(None)
    file = tmp_path / "password"
    file.write_text("canary-Zx81\n")
    told = estate_of(tmp_path, f"instances: {{a: {{url: 'https://x', user: u, password: {file}}}}}")
    assert told.secrets == ("canary-Zx81",)
    assert "canary" not in repr(grant) + repr(told.chosen(None).instance)
