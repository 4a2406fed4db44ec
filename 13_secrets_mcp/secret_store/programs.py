"""The programs that may be given secrets: which they are, and one run of one of them."""

import json
import os
import secrets
import signal
import stat
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

import anyio
from anyio import to_thread
from anyio.abc import ByteReceiveStream, Process

from flotilla import InvalidArgument, NotAllowed, NotConfigured, NotFound, RateLimited, Unavailable
from flotilla.leftovers import MARK, kill_marked
from secret_store import confine
from secret_store.program_list import runs_anything

_KEPT_BYTES = 256 * 1024
"""Of each stream; more than a result holds, so that what is cut was looked through before."""
_AT_ONCE = 4
_GRACE_S = 1.0
_SYSTEM = (
    *("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/dev/null", "/dev/zero"),
    *("/dev/urandom", "/dev/random", "/etc/ssl", "/etc/pki", "/etc/ca-certificates"),
    *("/etc/resolv.conf", "/etc/hosts", "/etc/host.conf", "/etc/nsswitch.conf", "/etc/gai.conf"),
    *("/etc/passwd", "/etc/group", "/etc/services", "/etc/protocols", "/etc/localtime"),
    *("/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/ld.so.conf.d", "/etc/alternatives"),
)
"""What programs need of the system, and nothing where keys or settings are kept."""
_DEVICES = ("/dev/null", "/dev/zero")
_PATH = "/usr/local/bin:/usr/bin:/bin"


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a program ended, and the first of what it said; `cut` where there was more."""

    exit_code: int
    stdout: str
    stderr: str
    cut: bool
    timed_out: bool
    duration_ms: int


class Programs:
    """Runs programs of a list, each in an empty folder of its own, with nothing inherited.

    `confined` False leaves them to whoever vouched for them.
    """

    def __init__(self, allowed: Sequence[Path], *, confined: bool, closed: Path) -> None:
        """`closed` is the fleet's data folder, which no confined program can open."""
        self._allowed = {str(path): path for path in allowed}
        self._confined = confined
        self._closed = closed.resolve()
        self._free = anyio.Semaphore(_AT_ONCE)

    def find(self, name: str) -> Path:
        """The program that an argv begins with; NotAllowed for one that is not on the list."""
        if not self._allowed:
            raise NotConfigured(
                "no program may be given secrets here",
                hint="An operator lists some in SECRETS_PROGRAMS.",
            )
        if self._confined and confine.landlock_abi() == 0:
            raise NotConfigured(
                "this kernel cannot confine programs (it has no Landlock)",
                hint="SECRETS_PROGRAM_CONFINEMENT=off runs them without; you vouch for them then.",
            )
        if self._confined and any(map(self._closed.is_relative_to, _SYSTEM)):
            raise NotConfigured(
                f"{self._closed} lies in a folder of the system, which programs must read",
                hint="Set FLOTILLA_DATA_DIR to a folder of its own.",
            )
        found = [path for text, path in self._allowed.items() if name in (text, path.name)]
        if len(found) != 1:
            raise NotAllowed(
                "argv begins with none of the programs that may be given secrets",
                hint=f"Those are {', '.join(sorted(self._allowed))}.",
            )
        _check_trusted(found[0])
        return found[0]

    async def run(
        self,
        program: Path,
        arguments: Sequence[str],
        given: Mapping[str, str],
        *,
        timeout_s: float,
    ) -> Outcome:
        """Run it to its end, or to its kill at the timeout or on cancellation.

        Nothing that it started lives on, since it would hold the secret.
        """
        with anyio.move_on_after(0.5) as waiting:
            await self._free.acquire()
        if waiting.cancelled_caught:
            raise RateLimited(f"{_AT_ONCE} programs run already", retry_after_ms=1000)
        try:
            with tempfile.TemporaryDirectory(prefix="flotilla-run-") as folder:
                return await self._run_in(folder, program, arguments, given, timeout_s)
        finally:
            self._free.release()

    async def _run_in(
        self,
        folder: str,
        program: Path,
        arguments: Sequence[str],
        given: Mapping[str, str],
        timeout_s: float,
    ) -> Outcome:
        mark = secrets.token_hex(16)
        env = {"PATH": _PATH, "HOME": folder, "TMPDIR": folder, "LANG": "C.UTF-8", "TZ": "UTC"}
        env |= {**given, MARK: mark}
        started = monotonic()
        process = await _started(self._argv(folder, program, arguments), env, folder)
        kept = _Kept(), _Kept()
        try:
            with anyio.move_on_after(timeout_s) as scope:
                async with anyio.create_task_group() as tasks:
                    for stream, into in zip((process.stdout, process.stderr), kept, strict=True):
                        assert stream is not None
                        tasks.start_soon(into.fill, stream)
                    await process.wait()
                    # What it left behind would keep its output open.
                    _kill_group(process)
                    await to_thread.run_sync(kill_marked, mark)
        finally:
            with anyio.CancelScope(shield=True):
                await _ended(process, mark)
        code = process.returncode
        assert code is not None
        out, err = kept
        return Outcome(
            exit_code=code if code >= 0 else 128 - code,
            stdout=out.text(),
            stderr=err.text(),
            cut=out.cut or err.cut,
            timed_out=scope.cancelled_caught,
            duration_ms=round((monotonic() - started) * 1000),
        )

    def _argv(self, folder: str, program: Path, arguments: Sequence[str]) -> list[str]:
        real = program.resolve()
        if not self._confined:
            return [str(real), *arguments]
        # A program outside the system's folders has its parts beside it, or in the folder above.
        home = real.parent if real.parent.name not in ("bin", "sbin") else real.parent.parent
        is_its_own = len(home.parts) > 2 and not self._closed.is_relative_to(home)
        own = str(home) if is_its_own else str(real)
        opened = {"read": [*_SYSTEM, own, str(real)], "write": [folder, *_DEVICES]}
        script = (sys.executable, "-I", "-S", confine.__file__, json.dumps(opened))
        return [*script, str(real), str(program), *arguments]


class _Kept:
    """The first bytes of a stream, whose rest is read and dropped."""

    def __init__(self) -> None:
        self._data = bytearray()
        self.cut = False

    async def fill(self, stream: ByteReceiveStream) -> None:
        with suppress(anyio.ClosedResourceError, anyio.BrokenResourceError):
            async for some in stream:
                room = _KEPT_BYTES - len(self._data)
                self._data += some[:room]
                self.cut = self.cut or len(some) > room

    def text(self) -> str:
        return bytes(self._data).decode(errors="replace").replace("\0", "\N{REPLACEMENT CHARACTER}")


async def _started(argv: Sequence[str], env: Mapping[str, str], folder: str) -> Process:
    try:
        return await anyio.open_process(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=folder,
            env=env,
            start_new_session=True,
        )
    except OSError as error:
        if isinstance(error, FileNotFoundError):
            raise NotFound("the program is not there any more") from None
        raise Unavailable(f"the program cannot be started: {error.strerror}") from None


async def _ended(process: Process, mark: str) -> None:
    """End it and whatever it started, wherever that has moved."""
    _kill_group(process)
    await to_thread.run_sync(kill_marked, mark)
    with anyio.move_on_after(_GRACE_S):
        await process.wait()
    await process.aclose()


def _kill_group(process: Process) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)


def _check_trusted(program: Path) -> None:
    """Raise NotAllowed unless only root or this spoke's user could have written it."""
    try:
        real = program.resolve(strict=True)
        for place in (real, *real.parents):
            status = place.stat()
            mine = status.st_uid in (0, os.geteuid())
            shared = status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
            if not mine or (shared and not status.st_mode & stat.S_ISVTX):
                raise NotAllowed(f"{program} is not trusted: others may write {place}")
        if not real.is_file() or not os.access(real, os.X_OK):
            raise NotAllowed(f"{program} is no program that can be run")
    except OSError as error:
        raise NotConfigured(f"{program} cannot be run: {error.strerror}") from None
    if runs_anything(real.name):
        raise NotAllowed(f"{program} leads to {real}, which runs or shows whatever it is told")


def check_arguments(arguments: Sequence[str]) -> None:
    """Raise InvalidArgument for what only serves to read the environment of a process."""
    if any("/proc/" in each and "environ" in each for each in arguments):
        raise InvalidArgument("an argument names the environment of a process, which is closed")
