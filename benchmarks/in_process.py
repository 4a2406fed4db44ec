"""What the library costs a request, part by part: µs of CPU without a socket, least of many rounds.

usage: python3 benchmarks/in_process.py [--calls 1000] [--rounds 15]

Applications are called as a server would call them, with a `receive` and a `send` of our own. Quote
the ratios: each is against Starlette answering the same request by its one route, in the same run.
"""

import argparse
import asyncio
import sys
import tempfile
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "00_master_mcp")]

import orjson  # noqa: E402
import structlog  # noqa: E402
from starlette.applications import Starlette  # noqa: E402
from starlette.requests import Request  # noqa: E402
from starlette.responses import Response  # noqa: E402
from starlette.routing import Route  # noqa: E402
from starlette.types import ASGIApp, Message, Receive, Scope, Send  # noqa: E402

from flotilla import CommonSettings, Model, Principal, Spoke, reads  # noqa: E402
from flotilla.fleet import HUB, FleetConfig, ServiceEntry  # noqa: E402
from flotilla.identity import Caller, Signer, open_signing_key  # noqa: E402
from flotilla.logs import bound, set_up_logs  # noqa: E402
from flotilla.metrics import Metrics  # noqa: E402
from flotilla.redaction import Redactor  # noqa: E402
from flotilla.serving.app import Exact, service_app  # noqa: E402
from flotilla.serving.gates import (  # noqa: E402
    Admitted,
    authenticated,
    bearer_token,
    correlated,
    host_checked,
)
from flotilla.serving.spokes import spoke_service  # noqa: E402
from master import build  # noqa: E402
from master.settings import Settings  # noqa: E402

TOOL, HUB_TOOL = "bench.echo.say", "master.listServices"
ADMIN = Principal("admin", ("admin",))
ID = "019a9d3e-5f2c-7b11-9c3e-2f6d1c0b7a55"
SECRETS = tuple(f"a-secret-of-the-fleet/{number}+=" for number in range(3))
ENVELOPE: dict[str, object] = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientCapabilities": {},
}

Part = Callable[[int], Awaitable[None]]
"""Does one thing so many times."""


def call_of(tool: str, arguments: dict[str, str], token: str) -> tuple[Scope, bytes]:
    """A `tools/call` as uvicorn hands it on, with the headers that a client sends."""
    params = {"name": tool, "arguments": arguments, "_meta": ENVELOPE}
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
    headers = {
        "host": "127.0.0.1:8000",
        "authorization": f"Bearer {token}",
        "content-type": "application/json",
        "accept": "application/json, text/event-stream",
        "mcp-protocol-version": "2026-07-28",
        "mcp-method": "tools/call",
        "mcp-name": tool,
        "user-agent": "bench/1",
        "accept-encoding": "gzip, deflate",
        "content-length": str(len(orjson.dumps(body))),
    }
    scope: Scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "server": ("127.0.0.1", 8000),
        "client": ("127.0.0.1", 50_000),
        "scheme": "http",
        "method": "POST",
        "root_path": "",
        "path": "/mcp",
        "raw_path": b"/mcp",
        "query_string": b"",
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
        "state": {},
    }
    return scope, orjson.dumps(body)


def asked(app: ASGIApp, scope: Scope, body: bytes, expected: bytes) -> Part:
    """Call `app` with this request; its answer is looked at once, before any is timed."""
    request: Message = {"type": "http.request", "body": body, "more_body": False}

    async def once(send: Send) -> None:
        unread = [request]

        async def receive() -> Message:
            # As with a server, nothing more comes until the client goes.
            return unread.pop() if unread else await asyncio.get_running_loop().create_future()

        await app({**scope, "state": {}}, receive, send)

    async def ignore(_: Message) -> None: ...

    async def part(times: int) -> None:
        got = bytearray()

        async def look(message: Message) -> None:
            got.extend(message.get("body", b""))

        await once(look)
        assert expected in got, bytes(got[:500])
        for _ in range(times):
            await once(ignore)

    return part


def repeated(work: Callable[[], object]) -> Part:
    async def part(times: int) -> None:
        for _ in range(times):
            work()

    return part


async def bare(scope: Scope, receive: Receive, send: Send) -> None:
    del scope, receive
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"hello"})


async def hello(_: Request) -> Response:
    return Response(b"hello")


async def admit(scope: Scope, receive: Receive) -> Admitted:
    assert bearer_token(scope) is not None
    return Admitted(Caller(ADMIN), receive)


def gates() -> ASGIApp:
    guarded = authenticated(bare, admit, {"/health"})
    return correlated(host_checked(guarded, {"master"}, ()), HUB)


def service(common: CommonSettings, exact: Exact) -> ASGIApp:
    """Gates, and behind them the three routes of every service with one more."""

    async def ready() -> None: ...

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncGenerator[None]:
        yield

    return service_app(
        name=HUB,
        version="1",
        settings=common,
        routes=[Route("/mcp", hello, methods=["POST"])],
        ready=ready,
        metrics=Metrics(),
        authenticate=admit,
        lifespan=lifespan,
        exact=exact,
    )


@asynccontextmanager
async def started(app: ASGIApp) -> AsyncGenerator[ASGIApp]:
    """`app` between its start-up and its shutdown."""
    inbox: asyncio.Queue[Message] = asyncio.Queue()
    outbox: asyncio.Queue[Message] = asyncio.Queue()
    inbox.put_nowait({"type": "lifespan.startup"})
    scope: Scope = {"type": "lifespan", "asgi": {"version": "3.0"}, "state": {}}
    life = asyncio.ensure_future(app(scope, inbox.get, outbox.put))
    async with asyncio.timeout(10):
        told = await outbox.get()
    assert told["type"] == "lifespan.startup.complete", told
    yield app
    inbox.put_nowait({"type": "lifespan.shutdown"})
    async with asyncio.timeout(10):
        await life


class Said(Model):
    text: str


async def say(text: str) -> Said:
    """Say it."""
    return Said(text=text)


def echo() -> Spoke:
    return Spoke(
        name="echo",
        version="1",
        instructions="",
        namespaces=("bench.echo",),
        tools=(reads(TOOL, say),),
    )


async def parts(data: Path, stack: AsyncExitStack) -> dict[str, Part]:
    """Everything that is timed, by its name; the first is what the others are compared with."""
    common = CommonSettings(data_dir=data)
    fleet = FleetConfig(
        {
            HUB: ServiceEntry(number=0, port=8000, namespaces=("master",)),
            "echo": ServiceEntry(number=1, port=8001, namespaces=("bench.echo",)),
        },
        {},
    )
    hub = await stack.enter_async_context(
        started(build(Settings(services=HUB), common, fleet).app)  # alone: it would look for echo
    )
    spoke = await stack.enter_async_context(started(spoke_service(echo(), common, fleet).app))
    signer = Signer(open_signing_key(data / "hub"))
    token = (data / "admin_token").read_text().strip()
    to_hub = call_of(HUB_TOOL, {}, token)
    to_spoke = call_of(TOOL, {"text": "x" * 1000}, signer.token("echo", ADMIN))
    metrics, log = Metrics(), structlog.get_logger("master.stages.record")

    async def lines(times: int) -> None:
        with bound(service=HUB, correlation_id=ID, principal="admin"):
            for _ in range(times):
                log.info("call_answered", tool=TOOL, upstream="echo", error=None, took_ms=1.3)

    routed = Starlette(routes=[Route("/mcp", hello, methods=["POST"])])
    return {
        "starlette, one route": asked(routed, *to_hub, b"hello"),
        "gates": asked(gates(), *to_hub, b"hello"),
        "gates and routes": asked(service(common, {}), *to_hub, b"hello"),
        "gates and an exact path": asked(
            service(common, {("POST", "/mcp"): bare}), *to_hub, b"hello"
        ),
        "log line": lines,
        "metrics": repeated(lambda: metrics.answered("echo", TOOL, 0.0013, None, ID)),
        "signer": repeated(lambda: signer.token("echo", ADMIN)),
        "hub, a tool of its own": asked(hub, *to_hub, b"structuredContent"),
        "spoke, its tool": asked(spoke, *to_spoke, b"structuredContent"),
    }


async def main(calls: int, rounds: int) -> None:
    with tempfile.TemporaryDirectory() as name, (Path(name) / "log").open("w") as log:
        set_up_logs("INFO", Redactor(SECRETS), log)
        async with AsyncExitStack() as stack:
            found = await parts(Path(name), stack)
            least = dict.fromkeys(found, float("inf"))
            for _ in range(rounds):
                for part, run in found.items():
                    await run(1)
                    before = time.thread_time()
                    await run(calls)
                    spent = (time.thread_time() - before) / calls
                    least[part] = min(least[part], spent)
    yardstick = next(iter(least.values()))
    print("| part | µs | x Starlette's one route |\n|---|---|---|")
    for part, spent in least.items():
        print(f"| {part} | {spent * 1e6:.1f} | {spent / yardstick:.2f} |")


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--calls", type=int, default=1000)
    arguments.add_argument("--rounds", type=int, default=15)
    given = arguments.parse_args()
    asyncio.run(main(given.calls, given.rounds))
