"""The one Chromium that all sessions share: started when needed, watched, ended when it is not."""

import asyncio
import json
import os
import pwd
import shutil
import signal
import socket
import struct
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import gettempdir, mkdtemp
from typing import TYPE_CHECKING

import structlog

from flotilla import Misconfigured, NotConfigured, Unavailable
from web_browsing.browser.flags import DROPPED, flags

if TYPE_CHECKING:
    from playwright.async_api import Browser, Playwright

PROGRAMS = (
    # Debian's own, past its wrapper: that adds flags and keys of whatever else is installed.
    "/usr/lib/chromium/chromium",
    "chromium",
    "chromium-browser",
    "google-chrome-stable",
    "google-chrome",
)
INSTALL = "Install Chromium (Debian: apt-get install chromium) or set WEB_BROWSING_BROWSER."
NOBODY = 65534
START_S = 60.0
"""For the first time on a busy machine; who gives up earlier leaves it to the next one to use."""
STOP_S = 5.0
MAX_FILE_BYTES = 512 * 1024 * 1024
"""Of whatever file a browser's process writes, shared memory too."""

_HANDED_ON = {"PATH", "LD_LIBRARY_PATH", "LANG", "LC_ALL", "LC_CTYPE", "TZ"}
"""Of our environment; a process's is read by all that run as the same user."""
_PREFIX = "flotilla-browser-"
_STARTER = Path(__file__).with_name("start.sh")
"""Not written into the folder of a start: in a container nothing may be run from there."""
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Equipment:
    """What the engine starts Chromium with."""

    program: Path | None
    """None where there is none on this machine."""
    sandbox: bool = True
    namespace: bool = True
    """Whether it shall live in a network namespace of its own, where the kernel lets it."""
    uid: int = NOBODY
    """Who it runs as where the service is root."""
    gid: int = NOBODY
    spki_hash: str = ""
    slots: int = 12
    max_memory_mb: int = 1536


@dataclass(frozen=True, slots=True)
class Running:
    """A browser that runs. `apart` is None where it has a network namespace of its own and reaches
    the sockets in `sockets` and nothing else; otherwise why it has none."""

    browser: "Browser"
    pid: int
    """Of the relay, from which all of the browser's processes descend."""
    folder: Path
    apart: str | None

    @property
    def sockets(self) -> Path:
        return self.folder / "sockets"

    @property
    def downloads(self) -> Path:
        return self.folder / "downloads"


class Engine:
    """`gone` is called with a reason when the browser ended that should not have."""

    def __init__(self, equipment: Equipment, gone: Callable[[str], None]) -> None:
        self._equipment = equipment
        self._gone = gone
        self._changing = asyncio.Lock()
        self._start: asyncio.Task[Running] | None = None
        self._running: Running | None = None
        self._started: _Started | None = None
        self._endings: set[asyncio.Task[None]] = set()
        self.strayed = 0
        """What Chromium tried to send that no session had asked for; all of it was refused."""

    @property
    def running(self) -> Running | None:
        return self._running

    async def browser(self) -> Running:
        """The browser, started if it does not run.

        Raises NotConfigured where there is no Chromium or it cannot have its sandbox, Unavailable
        where it does not start.
        """
        if self._running is not None:
            return self._running
        if self._start is None or self._start.done():
            self._start = asyncio.create_task(self._started_anew())
        # Playwright's driver cannot be given up half started: whoever gives up leaves it to others.
        return await asyncio.shield(self._start)

    async def stop(self) -> None:
        """End it and all its processes; it is started anew when it is needed again."""
        if self._start is not None:
            await asyncio.wait({self._start})
        async with self._changing:
            started, self._started, self._running = self._started, None, None
            if started is not None:
                self._end(started)
        # Whoever gives up waiting leaves the work to whoever waits next.
        await asyncio.shield(asyncio.gather(*self._endings))

    def kill(self) -> None:
        """End it at once, as a browser that answers no more needs; `gone` is called."""
        if self._running is not None:
            _kill_group(self._running.pid)

    async def _started_anew(self) -> Running:
        async with self._changing:
            return self._running or await self._begin()

    async def _begin(self) -> Running:
        if self._equipment.program is None:
            raise NotConfigured("no Chromium is on this machine", hint=INSTALL)
        started = _Started(self._equipment, self._stray)
        try:
            async with asyncio.timeout(START_S):
                running = await started.start()
        except TimeoutError:
            await started.end()
            raise Unavailable("the browser did not start in time") from None
        except BaseException:
            await started.end()
            raise
        self._running, self._started = running, started
        running.browser.on("disconnected", lambda _: self._lost(started))
        if running.apart is not None:
            _log.warning("browser_without_network_namespace", reason=running.apart)
        if not self._equipment.sandbox:
            _log.warning("browser_without_sandbox")
        _log.info("browser_started", version=running.browser.version, pid=running.pid)
        return running

    def _lost(self, started: "_Started") -> None:
        if self._started is not started:
            return
        self._started = self._running = None
        _log.error("browser_lost")
        self._end(started)
        self._gone("the browser was restarted: open a new session")

    def _end(self, started: "_Started") -> None:
        ending = asyncio.create_task(started.end())
        self._endings.add(ending)
        ending.add_done_callback(self._endings.discard)
        _log.info("browser_stopped")

    def _stray(self, what: str) -> None:
        self.strayed += 1
        _log.warning("browser_strayed", asked=what[:200])


class _Started:
    """One start of Chromium, with its folder, its lifeline and Playwright's driver."""

    def __init__(self, equipment: Equipment, stray: Callable[[str], None]) -> None:
        self._equipment = equipment
        self._stray = stray
        self._folder: Path | None = None
        self._playwright: Playwright | None = None
        self._browser: Browser | None = None
        self._server: asyncio.Server | None = None
        self._pid: int | None = None
        self._placed: asyncio.Future[str | None] = asyncio.get_running_loop().create_future()
        self._hung_up = asyncio.Event()
        self._lifelines: set[asyncio.Task[None]] = set()

    async def start(self) -> Running:
        from playwright.async_api import Error, async_playwright

        folder = self._folder = await asyncio.to_thread(_prepared, self._equipment)
        self._server = await asyncio.start_unix_server(self._lifeline, sock=_listening(folder))
        _give(folder / "life.sock", self._equipment)
        try:
            self._playwright = await async_playwright().start()
        except Exception as error:  # noqa: BLE001 - it raises no narrower one when its driver ends
            raise _no_driver(error) from None
        try:
            self._browser = await self._playwright.chromium.launch(
                executable_path=_STARTER,
                env={
                    **{name: os.environ[name] for name in _HANDED_ON & os.environ.keys()},
                    "BROWSER_PYTHON": sys.executable,
                    "BROWSER_ORDER": str(folder / "order.json"),
                },
                chromium_sandbox=self._equipment.sandbox,
                downloads_path=folder / "downloads",
                # Signals are the service's to handle, for all that it has to end.
                handle_sigint=False,
                handle_sigterm=False,
                handle_sighup=False,
                timeout=START_S * 1000,
            )
        except Error as error:
            raise _did_not_start(str(error)) from None
        assert self._pid is not None
        return Running(self._browser, self._pid, folder, await self._placed)

    async def end(self) -> None:
        """Kindly first, then by force; whatever happens, no process of it is left."""
        if self._browser is not None:
            with suppress(Exception):
                async with asyncio.timeout(STOP_S):
                    await self._browser.close()
        if self._pid is not None:
            with suppress(TimeoutError):
                async with asyncio.timeout(STOP_S):
                    await self._hung_up.wait()
            _kill_group(self._pid)
        if self._playwright is not None:
            with suppress(Exception):
                async with asyncio.timeout(STOP_S):
                    await self._playwright.stop()
        if self._server is not None:
            self._server.close()
        if self._lifelines:
            _, open_still = await asyncio.wait(self._lifelines, timeout=STOP_S)
            for each in open_still:
                each.cancel()
        if self._folder is not None:
            await asyncio.to_thread(shutil.rmtree, self._folder, ignore_errors=True)

    async def _lifeline(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        listening = asyncio.create_task(self._listen(reader, writer))
        self._lifelines.add(listening)
        try:
            await listening
        finally:
            self._lifelines.discard(listening)

    async def _listen(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """What the relay says; the end of this connection is the end of the browser."""
        peer: socket.socket = writer.get_extra_info("socket")
        whose = peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
        first = await reader.readline()
        if not first or self._pid is not None:
            # Whoever clears away asks by connecting whether somebody is here.
            writer.close()
            return
        self._pid = struct.unpack("3i", whose)[0]
        try:
            self._placed.set_result(json.loads(first)["placed"]["namespace"])
            while line := await reader.readline():
                self._stray(str(json.loads(line).get("strayed")))
        except (OSError, ValueError, LookupError, TypeError):
            _log.warning("browser_lifeline_broken")
        finally:
            self._hung_up.set()
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()


def find_program(given: Path | None) -> Path | None:
    """The Chromium to use: the one that was set, else the system's.

    Raises Misconfigured where the one that was set is no program.
    """
    if given is not None:
        if not (given.is_file() and os.access(given, os.X_OK)):
            raise Misconfigured(f"WEB_BROWSING_BROWSER: {given} is no program")
        return given.resolve()
    found = next(filter(None, map(shutil.which, PROGRAMS)), None)
    return Path(found) if found else None


def find_user(name: str | None) -> tuple[int, int]:
    """uid and gid of the browser's user; Misconfigured where there is none, or it is root."""
    if name is None:
        return NOBODY, NOBODY
    try:
        user = pwd.getpwnam(name)
    except KeyError:
        raise Misconfigured(f"WEB_BROWSING_BROWSER_USER: there is no user {name!r}") from None
    if user.pw_uid == 0:
        raise Misconfigured("WEB_BROWSING_BROWSER_USER: the browser never runs as root")
    return user.pw_uid, user.pw_gid


def clear_leftovers(temporary: Path) -> None:
    """Remove the folders of those that were killed: their sockets are there, and nobody listens."""
    for folder in temporary.glob(f"{_PREFIX}*"):
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            if folder.lstat().st_uid != os.geteuid():
                continue
            try:
                probe.connect(str(folder / "life.sock"))
            except ConnectionRefusedError:
                shutil.rmtree(folder, ignore_errors=True)


def _listening(folder: Path) -> socket.socket:
    """On `life.sock`. Its name is there once somebody listens: see `clear_leftovers`."""
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listening.bind(str(folder / "life.new"))
    listening.listen()
    (folder / "life.new").rename(folder / "life.sock")
    return listening


def _prepared(equipment: Equipment) -> Path:
    """The private folder of a start; short, as the path of a Unix socket has at most 107 bytes."""
    clear_leftovers(Path(gettempdir()))
    folder = Path(mkdtemp(prefix=_PREFIX))
    # Others may pass through to what is theirs, and list nothing.
    folder.chmod(0o711)
    for name in ("home", "sockets", "downloads"):
        (folder / name).mkdir(mode=0o700)
        if name != "sockets":
            _give(folder / name, equipment)
    (folder / "sockets").chmod(0o711)
    for name in ("config", "cache", "data", "profile"):
        (folder / "home" / name).mkdir(mode=0o700)
        _give(folder / "home" / name, equipment)
    order = {
        "program": str(equipment.program),
        "folder": str(folder),
        "uid": equipment.uid,
        "gid": equipment.gid,
        "namespace": equipment.namespace,
        "slots": equipment.slots,
        "flags": flags(equipment.spki_hash, equipment.max_memory_mb // 2),
        "dropped": DROPPED,
        "max_data_bytes": max(2048, 2 * equipment.max_memory_mb) * 1024 * 1024,
        "max_file_bytes": MAX_FILE_BYTES,
    }
    (folder / "order.json").write_text(json.dumps(order))
    return folder


def _give(path: Path, equipment: Equipment) -> None:
    if os.geteuid() == 0:
        os.chown(path, equipment.uid, equipment.gid)
        path.chmod(0o700 if path.is_dir() else 0o600)


def _kill_group(pid: int) -> None:
    """The relay is the head of a group of its own, and takes all that is the browser's with it."""
    with suppress(ProcessLookupError, PermissionError):
        os.kill(pid, signal.SIGKILL) if os.getpgid(pid) != pid else os.killpg(pid, signal.SIGKILL)


def _no_driver(error: Exception) -> NotConfigured:
    _log.error("browser_driver_did_not_start", told=str(error)[:500])
    return NotConfigured(
        "Playwright's driver does not run on this machine",
        hint="The service's log says why; its Node needs libatomic (Debian: apt-get install "
        "libatomic1).",
    )


def _did_not_start(told: str) -> NotConfigured | Unavailable:
    if "sandbox" in told.lower():
        return NotConfigured(
            "Chromium cannot have its sandbox on this machine",
            hint="Allow unprivileged user namespaces (in Docker: the seccomp profile "
            "deploy/compose/chromium-seccomp.json); WEB_BROWSING_BROWSER_SANDBOX=off runs it "
            "without, which is dangerous.",
        )
    _log.error("browser_did_not_start", told=told[-2000:])
    return Unavailable("the browser did not start", hint="The service's log says why.")
