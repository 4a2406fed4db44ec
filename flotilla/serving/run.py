"""Serves services until a signal stops them, and lets their running calls end first."""

import asyncio
import contextlib
import os
import signal
import socket
import sys
from collections.abc import Callable, Generator, Sequence
from time import monotonic

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

log = structlog.get_logger(__name__)

KEEP_ALIVE_S = 75
"""Longer than any client's pool keeps a connection, so that none is closed under a request."""
LAST_WORD_S = 1
"""What open connections get to flush once all calls have ended."""
EXIT_MISCONFIGURED = 2
STEADY_S = 60
"""A service that ran this long starts its next restarts without a pause again."""

Build = Callable[[], Service]


class CannotListen(Misconfigured):
    """The port cannot be had; the message names it."""


class _Server(uvicorn.Server):
    """uvicorn without its signal handling: one process may hold several servers."""

    def __init__(self, config: uvicorn.Config, is_up: asyncio.Event) -> None:
        super().__init__(config)
        self._is_up = is_up

    @override
    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        try:
            await super().startup(sockets=sockets)
        except SystemExit:
            # uvicorn would end the process here, and with it every other service in it.
            self.should_exit = True
        if self.started:
            self._is_up.set()

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


def serve_services(builds: Sequence[Build]) -> None:
    """Run services as this process; the first start of each must work, else exit code 2."""
    with exit_when_misconfigured():
        common = CommonSettings.from_env()
        set_up_logs(common.log_level, Redactor(common.secret_values()))
        running = [Running(build) for build in builds]
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
    """The listening socket of a service; CannotListen when the port is in use or forbidden."""
    family = socket.AF_INET6 if ":" in service.bind else socket.AF_INET
    # With the protocol named, asyncio turns off Nagle's algorithm: else an answer waits 40 ms.
    opened = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        opened.bind((service.bind, service.port))
    except OSError as error:
        opened.close()
        raise CannotListen(
            f"{service.name} cannot listen on {service.bind}:{service.port}: {error.strerror}. "
            f"Set MCP_PORT_BASE or MCP_PORT_{service.name.upper()} to move it"
        ) from None
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

    def __init__(self, build: Build) -> None:
        self._build = build
        self._is_up = asyncio.Event()
        self.service, self._socket, self._server = self._made()

    async def keep_up(self, stop: asyncio.Event) -> None:
        """Serve until `stop` is set and `wind_down` was called."""
        failures = 0
        while True:
            started = monotonic()
            with self._socket:
                await self._server.serve(sockets=[self._socket])
            if stop.is_set():
                return
            failures = 1 if monotonic() - started > STEADY_S else failures + 1
            log.error("service_failed", service=self.service.name, failures=failures)
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
            await asyncio.wait_for(stop.wait(), delay_s(failures))
        if stop.is_set():
            return True
        try:
            self.service, self._socket, self._server = self._made()
        except Misconfigured as error:
            log.error("service_cannot_start", service=self.service.name, reason=str(error))
            return False
        return True

    def _made(self) -> tuple[Service, socket.socket, _Server]:
        service = self._build()
        return service, listen(service), _Server(_config(service), self._is_up)


def _config(service: Service) -> uvicorn.Config:
    return uvicorn.Config(
        service.app,
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
