"""The two things that `run_fleet.py` does: check the fleet, or run it."""

import asyncio
import fcntl
import os
import shlex
import signal
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from pathlib import Path
from time import monotonic

from flotilla.fleet import HUB
from flotilla.launch import checks
from flotilla.launch.checks import Ground
from flotilla.launch.clients import how_to_connect
from flotilla.launch.hub import Hub, NoAnswer, Standing
from flotilla.launch.plan import processes
from flotilla.launch.supervisor import MISCONFIGURED, Refused, Supervisor
from flotilla.launch.terminal import Terminal
from flotilla.settings import Misconfigured

ROOT = Path(__file__).resolve().parents[2]
POLL_S = 0.05
IMPATIENT_S = 10.0
"""After this the terminal says what the hub waits for."""
KILLED = 130

APPROVALS_OFF = """\
!!! FLOTILLA_APPROVALS=off: EVERY DESTRUCTIVE CALL RUNS WITHOUT A PERSON BEING ASKED.
!!! This is for test machines alone. Unset it to have approvals back."""


def check(wanted: str | None, terminal: Terminal | None = None) -> int:
    """Say whether the fleet could start: exit code 0, or 2 with a sentence for each reason."""
    terminal = terminal or Terminal()
    os.chdir(ROOT)
    try:
        at = checks.ground(ROOT, checks.environment(ROOT), wanted)
    except Misconfigured as error:
        terminal.refuse(str(error))
        return MISCONFIGURED
    found = list(_looks(at))
    for what, problems in found:
        for problem in problems:
            terminal.refuse(problem)
        if not problems:
            terminal.say(f"ok  {what}")
    for key in checks.unknown_keys(ROOT):
        terminal.warn(f"note  .env sets {key}, which nothing reads; .env.example lists all keys")
    return MISCONFIGURED if any(problems for _, problems in found) else 0


def _looks(at: Ground) -> Generator[tuple[str, list[str]]]:
    """What `check` looks at, each with the problems that it found."""
    names = ", ".join(at.services)
    ports = ", ".join(str(at.fleet.port(name)) for name in at.services)
    yield f"{at.common.config_dir / 'services.yaml'} has {len(at.fleet.services)} services", []
    yield f"settings of {names}", _some(checks.settings_problem(each, at) for each in at.services)
    prefixes = ["FLOTILLA_", *(f"{name.upper()}_" for name in at.services)]
    for key, file in checks.secret_files(at.env, prefixes).items():
        yield f"secret file {key}={file}", _some([checks.secret_problem(key, file)])
    yield f"ports {ports} are free", _some(checks.port_problem(each, at) for each in at.services)
    folder = at.common.data_dir
    yield f"data folder {folder} can be written to", _some([checks.folder_problem(at)])


def _some(problems: Iterable[str | None]) -> list[str]:
    return [problem for problem in problems if problem is not None]


def launch(wanted: str | None, *, isolate: bool, terminal: Terminal | None = None) -> int:
    """Run the fleet until a signal ends it: exit code 0, or 2 when it is misconfigured."""
    terminal = terminal or Terminal()
    os.chdir(ROOT)
    try:
        at = checks.ground(ROOT, checks.environment(ROOT), wanted)
        if (problem := checks.folder_problem(at)) is not None:
            raise Misconfigured(problem)
        with _alone_in(at.common.data_dir):
            checks.check_ports(at)
            return asyncio.run(_Fleet(at, terminal, isolate=isolate).run())
    except (Misconfigured, Refused) as error:
        terminal.refuse(str(error))
        return MISCONFIGURED
    except OSError as error:
        # No room for a log, no process to be had: nothing runs any more, and this is why.
        terminal.refuse(f"cannot run the fleet: {error}")
        return 1


class _Fleet:
    """One run of the fleet, as the person at the terminal sees it."""

    def __init__(self, at: Ground, terminal: Terminal, *, isolate: bool) -> None:
        self._at = at
        self._terminal = terminal
        self._plan = processes(at.services, at.fleet, at.root, isolate=isolate)
        self._logs = at.common.data_dir.resolve() / "logs"
        self._token_file = at.common.data_dir.resolve() / "admin_token"
        self._url = checks.hub_url(at)
        self._started = monotonic()

    async def run(self) -> int:
        supervisor = Supervisor(
            self._plan,
            root=self._at.root,
            env={**self._at.env, "FLOTILLA_SERVICES": ",".join(self._at.services)},
            logs=self._logs,
            grace_s=self._at.common.shutdown_grace_s,
            terminal=self._terminal,
        )
        asked: list[int] = []

        def on_signal(number: int) -> None:
            asked.append(number)
            word = "stopping; once more kills" if len(asked) == 1 else "killing"
            self._terminal.say(f"\nflotilla: {word}")
            supervisor.stop()

        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, on_signal, number)
        self._announce()
        await supervisor.run(lambda: asyncio.create_task(self._tell_when_ready()))
        self._terminal.say("flotilla: stopped; no process is left")
        return 0 if len(asked) < 2 else KILLED

    def _announce(self) -> None:
        together = "; ".join(f"{each.name}: {', '.join(each.services)}" for each in self._plan)
        count = len(self._at.services)
        self._terminal.say(f"flotilla: starting {count} services ({together})")
        self._terminal.say(f"flotilla: logs are in {self._logs}")
        if self._at.env.get("FLOTILLA_APPROVALS") == "off":
            self._terminal.warn(APPROVALS_OFF)

    async def _tell_when_ready(self) -> None:
        hub = Hub(self._url, self._token_file)
        told = False
        while (reason := await asyncio.to_thread(hub.not_ready)) is not None:
            if not told and monotonic() - self._started > IMPATIENT_S:
                self._terminal.warn(f"not ready after {IMPATIENT_S:.0f} s: {reason}")
                told = True
            await asyncio.sleep(POLL_S)
        took_s = monotonic() - self._started
        try:
            for standing in await asyncio.to_thread(hub.standings):
                self._terminal.say(_told(standing))
        except NoAnswer as error:
            self._terminal.warn(f"the hub is ready, but does not say how its services are: {error}")
        self._terminal.say(f"flotilla: ready after {took_s:.1f} s; Ctrl-C stops it\n")
        token_file = shlex.quote(str(self._token_file))
        self._terminal.say(how_to_connect(f"{self._url}/mcp", token_file))


def _told(standing: Standing) -> str:
    word = {"healthy": "ready", "not_configured": "not configured"}.get(standing.status, "failed")
    tools = f"{standing.tools} tool{'' if standing.tools == 1 else 's'}"
    line = f"  {word:<15} {standing.name:<12} {standing.url}"
    line += f"  {tools}" if word == "ready" else f"  {standing.reason or standing.status}"
    return f"{line} (the hub)" if standing.name == HUB else line


@contextmanager
def _alone_in(data_dir: Path) -> Generator[None]:
    """Hold the data folder; Misconfigured while another fleet does. The kernel lets go for us."""
    descriptor = os.open(data_dir / "fleet.lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Misconfigured(
                f"another fleet runs on the data folder {data_dir}; stop it, or give this one "
                "another FLOTILLA_DATA_DIR"
            ) from None
        yield
    finally:
        os.close(descriptor)
