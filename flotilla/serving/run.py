"""Serves services until a signal stops them, and lets their running calls end first."""

import asyncio
import contextlib
import os
import signal
import socket
import sys
from collections.abc import Awaitable, Callable, Generator, Sequence
from time import monotonic
from typing import Protocol, cast

import structlog
import uvicorn
from typing_extensions import override

from flotilla.backoff import delay_s
from flotilla.fleet import FleetConfig
from flotilla.logs import set_up_logs
from flotilla.names import BadName
from flotilla.redaction import Redactor
from flotilla.schema import BadTool
from flotilla.serving.service import Service
from flotilla.serving.spokes import spoke_service
from flotilla.settings import CommonSettings, Misconfigured
from flotilla.spoke import Spoke
from flotilla.tls import server_context

log = structlog.get_logger(__name__)

KEEP_ALIVE_S = 75
"""Longer than any client's pool keeps a connection, so that none is closed under a request."""
LAST_WORD_S = 1
"""What open connections get to flush once all calls have ended."""
EXIT_MISCONFIGURED = 2
EXIT_FAILED = 1
STEADY_S = 60
"""A service that ran this long starts its next restarts without a pause again."""

Build = Callable[[], Service]


Adopt = Callable[[socket.socket], Awaitable[object]]
"""Serves one accepted connection from now on."""


class Feed(Protocol):
    """Brings the connections of a service whose port another process listens on."""

    def begin(self, adopt: Adopt) -> None:
        """The service is up: give `adopt` every connection."""
        ...

    def end(self) -> None:
        """The service takes no more."""
        ...


class CannotListen(Misconfigured):
    """The port cannot be had; the message names it."""


class _Server(uvicorn.Server):
    """uvicorn without its signal handling: one process may hold several servers."""

    def __init__(
        self, config: uvicorn.Config, is_up: asyncio.Event, feed: Feed | None = None
    ) -> None:
        super().__init__(config)
        self._is_up = is_up
        self._feed = feed

    @override
    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        try:
            await super().startup(sockets=sockets)
        except SystemExit:
            # uvicorn would end the process here, and with it every other service in it.
            self.should_exit = True
        if self.started:
            self._is_up.set()
            if self._feed is not None:
                self._feed.begin(self._adopt)

    @override
    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        if self._feed is not None:
            self._feed.end()
        await super().shutdown(sockets=sockets)

    async def _adopt(self, connection: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        await loop.connect_accepted_socket(self._protocol, connection)

    def _protocol(self) -> asyncio.Protocol:
        # As uvicorn makes one for each connection that it accepts itself.
        make = cast("Callable[..., asyncio.Protocol]", self.config.http_protocol_class)
        return make(
            config=self.config, server_state=self.server_state, app_state=self.lifespan.state
        )

    @override
    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        yield


def serve(spoke: Spoke) -> None:
    """Run one spoke as this process until SIGTERM or SIGINT; exit code 2 when misconfigured."""

    def build() -> Service:
        common = CommonSettings.from_env()
        fleet = FleetConfig.load(common.config_dir / "services.yaml")
        return spoke_service(spoke, common, fleet)

    serve_services([build])


def serve_services(builds: Sequence[Build], feed: Feed | None = None) -> None:
    """Run services as this process; the first start of each must work, else exit code 2.

    `feed` brings the connections of a single service, which then does not listen itself; when that
    fails, the process ends with exit code 1 instead of building it anew.
    """
    with exit_when_misconfigured():
        common = CommonSettings.from_env()
        set_up_logs(common.log_level, Redactor(common.secret_values()))
        running = [Running(build, feed) for build in builds]
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            runner.run(_serve_all(running))


@contextlib.contextmanager
def exit_when_misconfigured() -> Generator[None]:
    """Turn a mistake of the operator into one sentence and exit code 2."""
    try:
        yield
    except (Misconfigured, BadName, BadTool) as error:
        print(f"flotilla: {error}", file=sys.stderr)  # noqa: T201  for the person who starts it
        sys.exit(EXIT_MISCONFIGURED)


def listen(service: Service) -> socket.socket:
    """The socket of a service; CannotListen when the port is in use or forbidden."""
    return port_of(service.name, service.bind, service.port)


def port_of(name: str, bind: str, port: int) -> socket.socket:
    """The socket of the service of that name; CannotListen when the port cannot be had."""
    try:
        return bound_socket(bind, port)
    except OSError as error:
        raise CannotListen(
            f"{name} cannot listen on {bind}:{port}: {error.strerror}. "
            f"Set MCP_PORT_BASE or MCP_PORT_{name.upper()} to move it"
        ) from None


def bound_socket(bind: str, port: int) -> socket.socket:
    """A socket on that address, which does not listen yet.

    OSError when it cannot be had, OverflowError for a number that is no port.
    """
    family = socket.AF_INET6 if ":" in bind else socket.AF_INET
    # With the protocol named, asyncio turns off Nagle's algorithm: else an answer waits 40 ms.
    opened = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        opened.bind((bind, port))
    except (OSError, OverflowError):
        opened.close()
        raise
    opened.set_inheritable(True)
    return opened


async def _serve_all(running: Sequence["Running"]) -> None:
    """Serve until a signal comes, then let every running call end."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    tasks = [asyncio.create_task(each.keep_up(stop)) for each in running]
    await stop.wait()
    await asyncio.gather(*(each.wind_down() for each in running))
    await asyncio.gather(*tasks)


class Running:
    """One service that is kept up: what fails is built anew, with backoff, beside the others.

    Raises Misconfigured at once when the first start cannot work.
    """

    def __init__(self, build: Build, feed: Feed | None = None) -> None:
        self._build = build
        self._feed = feed
        self._is_up = asyncio.Event()
        self.service, self._sockets, self._server = self._made()

    async def keep_up(self, stop: asyncio.Event) -> None:
        """Serve until `stop` is set and `wind_down` was called."""
        failures = 0
        while True:
            started = monotonic()
            with contextlib.ExitStack() as held:
                for opened in self._sockets:
                    held.enter_context(opened)
                await self._server.serve(sockets=self._sockets)
            if stop.is_set():
                return
            failures = 1 if monotonic() - started > STEADY_S else failures + 1
            log.error("service_failed", service=self.service.name, failures=failures)
            if self._feed is not None:
                raise SystemExit(EXIT_FAILED)
            while not await self._made_again(stop, failures):
                failures += 1
            if stop.is_set():
                return

    async def wind_down(self) -> None:
        """Refuse new calls, let the running ones end within the grace, then stop serving."""
        left = await self.service.drain.close(self.service.grace_s)
        if left:
            log.warning("calls_cut_off", service=self.service.name, calls=left)
        self.service.stop_streams()
        self._server.should_exit = True

    async def started(self) -> None:
        """Return once connections are accepted."""
        await self._is_up.wait()

    async def _made_again(self, stop: asyncio.Event, failures: int) -> bool:
        """Wait the backoff and build again; True when that worked or a stop came first."""
        with contextlib.suppress(TimeoutError):  # the pause is over, which is what we wait for
            async with asyncio.timeout(delay_s(failures)):
                await stop.wait()
        if stop.is_set():
            return True
        try:
            self.service, self._sockets, self._server = self._made()
        except Misconfigured as error:
            log.error("service_cannot_start", service=self.service.name, reason=str(error))
            return False
        return True

    def _made(self) -> tuple[Service, list[socket.socket], _Server]:
        service = self._build()
        sockets = [] if service.private is None else [service.private]
        if self._feed is None:
            sockets.append(listen(service))
        return service, sockets, _Server(_config(service), self._is_up, self._feed)


def _config(service: Service) -> uvicorn.Config:
    # Read at each start of the service, so that a start brings new certificates.
    tls = None if service.tls is None else server_context(service.tls)
    return uvicorn.Config(
        service.app,
        ssl_context_factory=None if tls is None else lambda _config, _default: tls,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=LAST_WORD_S,
        lifespan="on",
    )


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    if os.name == "nt":
        return None
    import uvloop

    return uvloop.new_event_loop
