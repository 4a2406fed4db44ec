"""The gates before every route, asked as a server asks them: with a scope and no socket."""

import io
import json
import logging
from collections.abc import Callable, Generator
from typing import Any

import pytest
import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from flotilla import Principal
from flotilla.identity import Caller
from flotilla.logs import set_up_logs
from flotilla.redaction import Redactor
from flotilla.serving.gates import (
    CALLER,
    Admitted,
    Refused,
    authenticated,
    bearer_token,
    correlated,
    host_checked,
)
from flotilla.serving.headers import RequestHeaders, headers_of

pytestmark = pytest.mark.anyio

Answer = tuple[int, dict[str, str], bytes]


def scope_of(*headers: tuple[str, str], path: str = "/mcp") -> Scope:
    raw = [(name.encode(), value.encode("latin-1")) for name, value in headers]
    return {"type": "http", "method": "POST", "path": path, "headers": raw}


async def nothing() -> Message:
    return {"type": "http.request", "body": b"", "more_body": False}


async def ask(app: ASGIApp, *headers: tuple[str, str], path: str = "/mcp") -> Answer:
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    await app(scope_of(*headers, path=path), nothing, send)
    headers_sent = sent[0].get("headers", [])
    told = {name.decode(): value.decode() for name, value in headers_sent}
    assert len(told) == len(headers_sent), "a header was sent twice"
    return sent[0]["status"], told, b"".join(each["body"] for each in sent[1:])


async def served(scope: Scope, receive: Receive, send: Send) -> None:
    del scope, receive
    # `headers` is optional in a response, by ASGI.
    await send({"type": "http.response.start", "status": 200})
    await send({"type": "http.response.body", "body": b"served"})


async def test_each_answer_bears_the_correlation_id_that_its_request_was_given() -> None:
    app = correlated(served, "shop")
    _, told, _ = await ask(app, ("x-correlation-id", "order-66"))
    assert told == {"x-correlation-id": "order-66"}
    for harmful in ("a b", "é", "x" * 129, ""):
        _, told, _ = await ask(app, ("x-correlation-id", harmful))
        assert len(told["x-correlation-id"]) == 36


async def test_an_answer_bears_one_correlation_id_and_its_other_headers_stay() -> None:
    headers = [(b"x-correlation-id", b"another"), (b"etag", b"1")]
    start: Message = {"type": "http.response.start", "status": 200, "headers": headers}

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(start)
        await send({"type": "http.response.body", "body": b""})

    _, told, _ = await ask(correlated(app, "shop"), ("x-correlation-id", "order-66"))
    assert told == {"etag": "1", "x-correlation-id": "order-66"}
    assert start["headers"] == [(b"x-correlation-id", b"another"), (b"etag", b"1")]


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost", 200),
        ("127.0.0.1:8000", 200),
        ("[::1]:9", 200),
        ("Fleet.example:1", 200),
        ("evil.example", 421),
        ("localhost.evil.example", 421),
        ("", 421),
        ("[::1", 421),
        (f"{'a' * 5000}.example", 421),
    ],
)
async def test_a_host_is_judged_the_same_however_often_it_comes(host: str, status: int) -> None:
    app = host_checked(served, ["fleet.example"], ["https://pages.example"])
    for _ in range(3):
        assert (await ask(app, ("host", host)))[0] == status


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        ("https://pages.example", 200),
        ("http://localhost:5173", 200),
        ("http://pages.example", 403),
        ("null", 403),
        ("", 403),
        ("http://[", 403),
    ],
)
async def test_an_origin_is_judged_the_same_however_often_it_comes(
    origin: str, status: int
) -> None:
    app = host_checked(served, ["fleet.example"], ["https://pages.example"])
    for _ in range(3):
        assert (await ask(app, ("host", "localhost"), ("origin", origin)))[0] == status
    # What one application serves says nothing about another.
    other = host_checked(served, [], [])
    assert (await ask(other, ("host", "fleet.example")))[0] == 421


async def test_hosts_without_end_are_judged_each_by_its_own_name() -> None:
    app = host_checked(served, ["fleet.example"], ())
    for number in range(1000):
        assert (await ask(app, ("host", f"h{number}.example")))[0] == 421
        assert (await ask(app, ("host", f"fleet.example:{number}")))[0] == 200


@pytest.mark.parametrize(
    ("headers", "token"),
    [
        ([("authorization", "Bearer abc")], "abc"),
        ([("authorization", "bEaReR   abc ")], "abc"),
        ([("authorization", "Bearer ")], None),
        ([("authorization", "Basic abc")], None),
        ([("authorization", "Bearer abc"), ("authorization", "Bearer abc")], None),
        ([("accept", "a"), ("accept", "b"), ("authorization", "Bearer abc")], "abc"),
        ([], None),
    ],
)
def test_a_token_is_that_of_the_one_authorization_header(
    headers: list[tuple[str, str]], token: str | None
) -> None:
    assert bearer_token(scope_of(*headers)) == token


def test_headers_are_read_once_and_the_first_of_a_name_counts() -> None:
    scope = scope_of(("a", "1"), ("b", "é"), ("a", "2"))
    headers = headers_of(scope)
    assert headers == {"a": "1", "b": "é"}
    assert headers.lines == [("a", "1"), ("b", "é"), ("a", "2")]
    assert (headers.only("a"), headers.only("b"), headers.only("c")) == (None, "é", None)
    assert headers_of(scope) is headers
    assert RequestHeaders([]) == {}


@pytest.fixture
def log_lines() -> Generator[Callable[[], list[dict[str, Any]]]]:
    stream = io.StringIO()
    root, before, level = logging.getLogger(), logging.getLogger().handlers[:], logging.root.level
    set_up_logs("INFO", Redactor(), stream)
    yield lambda: [json.loads(line) for line in stream.getvalue().splitlines()]
    root.handlers = before
    root.setLevel(level)
    structlog.reset_defaults()


async def test_lines_of_a_request_bear_the_service_the_correlation_id_and_the_principal(
    log_lines,
) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        assert scope[CALLER].principal.name == "ann"
        structlog.get_logger("shop").info("inside")
        await served(scope, receive, send)

    async def authenticate(scope: Scope, receive: Receive) -> Admitted | Refused:
        if bearer_token(scope) == "anns":
            return Admitted(Caller(Principal("ann")), receive)
        return Refused(401, "not_allowed", "unknown token", "Send another.")

    guarded = correlated(authenticated(app, authenticate, {"/health"}), "shop")
    named = ("x-correlation-id", "order-66")
    assert (await ask(guarded, named, ("authorization", "Bearer anns")))[0] == 200
    status, told, body = await ask(guarded, named, ("authorization", "Bearer bobs"))
    assert (status, told["x-correlation-id"]) == (401, "order-66")
    assert json.loads(body)["error"]["correlationId"] == "order-66"
    structlog.get_logger("shop").info("outside")
    inside, refused, outside = log_lines()
    assert {"service": "shop", "correlation_id": "order-66", "principal": "ann"}.items() <= (
        inside.items()
    )
    assert refused["event"] == "request_refused"
    assert refused["correlation_id"] == "order-66"
    assert "principal" not in refused
    assert not {"service", "correlation_id", "principal"} & outside.keys()
