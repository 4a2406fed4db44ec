"""Starts Chromium where the launcher came to be, joins its ports to the proxy, ends with it.

    127.0.0.1:3128 + n, where the browser is  ->  <folder>/sockets/<n>.sock, where the proxy is
    127.0.0.1:3127                            ->  nowhere: what no session sent is told and refused

It holds a connection to `<folder>/life.sock` of the engine: on it go lines of JSON (`placed`, then
`strayed` for whatever Chromium tried to send by itself), and when the engine is no more, however it
ended, the connection ends and with it the browser. Standard library alone, as the launcher.
"""

import asyncio
import contextlib
import ctypes
import json
import os
import resource
import signal
import socket
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from web_browsing.browser.launcher import Order, Placed

FIRST_PORT, STRAY_PORT = 3128, 3127
_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36
_CHUNK_BYTES = 64 * 1024
_KEPT = {"LANG", "LC_ALL", "LC_CTYPE", "TZ"}
_REFUSAL = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


def run(order: "Order", placed: "Placed", arguments: Sequence[str]) -> int:
    """Chromium's exit status."""
    return asyncio.run(_serve(order, placed, arguments))


def arguments_of(
    given: Sequence[str], flags: Sequence[str], dropped: Sequence[str], own: Sequence[str]
) -> list[str]:
    """Chromium's arguments: what was given, without what is dropped, with ours.

    Of two `--disable-features` (or `--enable-features`) Chromium would heed the last alone: they
    are joined. `own` replaces what was given of the same name.
    """
    lists: dict[str, list[str]] = {"--disable-features": [], "--enable-features": []}
    replaced = {_name(each) for each in own}
    kept: list[str] = []
    for argument in (*given, *flags):
        name = _name(argument)
        if name in lists:
            lists[name] += [each for each in argument.partition("=")[2].split(",") if each]
        elif name not in dropped and name not in replaced:
            kept.append(argument)
    off = lists["--disable-features"]
    on = [each for each in lists["--enable-features"] if each not in off]
    joined = [f"--disable-features={','.join(off)}", f"--enable-features={','.join(on)}"]
    # What is no flag is a page to open, and stands last.
    pages = [each for each in kept if not each.startswith("--")]
    return [*(each for each in kept if each.startswith("--")), *joined, *own, *pages]


def _name(argument: str) -> str:
    return argument.partition("=")[0]


async def _serve(order: "Order", placed: "Placed", arguments: Sequence[str]) -> int:
    apart = placed.namespace is None
    ours = os.getppid()
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    folder = Path(order.folder)
    listening, writing = await asyncio.open_unix_connection(str(folder / "life.sock"))
    if os.getppid() != ours:
        return 1
    stray = _listening(STRAY_PORT if apart else 0)
    told = _Told(writing)
    servers = [await asyncio.start_server(told.strayed, sock=stray)]
    if apart:
        for slot in range(order.slots):
            join = _Join(str(folder / "sockets" / f"{slot}.sock"))
            servers.append(
                await asyncio.start_server(join.joined, sock=_listening(FIRST_PORT + slot))
            )
    told.say({"placed": placed._asdict()})
    own = [
        f"--proxy-server=http://127.0.0.1:{stray.getsockname()[1]}",
        f"--user-data-dir={folder / 'home' / 'profile'}",
    ]
    argv = [order.program, *arguments_of(arguments, order.flags, order.dropped, own)]
    browser = _started(argv, order)
    over = asyncio.Event()
    asyncio.get_running_loop().add_reader(os.pidfd_open(browser.pid), over.set)
    lost = asyncio.create_task(_read_to_end(listening))
    lost.add_done_callback(lambda _: over.set())
    await over.wait()
    # Chromium's other processes end with it; one that hangs does not.
    _end_all(browser)
    for server in servers:
        server.close()
    return browser.wait()


async def _read_to_end(reader: asyncio.StreamReader) -> None:
    with contextlib.suppress(OSError):
        while await reader.read(1024):
            pass


def _listening(port: int) -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind(("127.0.0.1", port))
    sock.listen(128)
    return sock


def _started(argv: Sequence[str], order: "Order") -> "subprocess.Popen[bytes]":
    """Chromium, with nothing of our environment; 3 and 4 are the pipes that it is driven by."""
    relay = os.getpid()
    home = str(Path(order.folder) / "home")
    environment = {key: value for key, value in os.environ.items() if key in _KEPT} | {
        "PATH": "/usr/bin:/bin",
        "HOME": home,
        "TMPDIR": home,
        "XDG_CONFIG_HOME": f"{home}/config",
        "XDG_CACHE_HOME": f"{home}/cache",
        "XDG_DATA_HOME": f"{home}/data",
        "XDG_RUNTIME_DIR": home,
        # Nobody there to talk to: a socket in a folder is reached from any network namespace.
        "DBUS_SESSION_BUS_ADDRESS": "disabled:",
        "DBUS_SYSTEM_BUS_ADDRESS": "disabled:",
    }

    def confine() -> None:
        _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != relay:
            os._exit(1)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_FSIZE, (order.max_file_bytes, order.max_file_bytes))
        resource.setrlimit(resource.RLIMIT_DATA, (order.max_data_bytes, order.max_data_bytes))
        # A file that would get too large is an error for whoever writes it, not their end.
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        with contextlib.suppress(OSError):
            # Where the machine's memory ends, the browser goes before the service does.
            Path("/proc/self/oom_score_adj").write_text("500")

    browser = subprocess.Popen(
        argv,
        env=environment,
        cwd=home,
        stdin=subprocess.DEVNULL,
        pass_fds=(3, 4),
        restore_signals=False,
        # No thread runs yet.
        preexec_fn=confine,
    )
    # The browser alone holds them now: that they close is how Playwright sees its end.
    os.close(3)
    os.close(4)
    return browser


def _end_all(browser: "subprocess.Popen[bytes]") -> None:
    """Kill what is left of the browser: whatever descends from here, as a subreaper's all does."""
    if browser.poll() is None:
        browser.kill()
    for _ in range(100):
        left = _children()
        if not left:
            return
        for pid in left:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
            with contextlib.suppress(ChildProcessError):
                browser.wait() if pid == browser.pid else os.waitpid(pid, 0)


def _children() -> list[int]:
    found: list[int] = []
    for task in Path("/proc/self/task").iterdir():
        with contextlib.suppress(OSError):
            found += [int(each) for each in (task / "children").read_text().split()]
    return found


def _prctl(option: int, value: int) -> None:
    ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


class _Told:
    """What the engine is told."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self._writer = writer

    def say(self, what: dict[str, Any]) -> None:
        self._writer.write(json.dumps(what).encode() + b"\n")

    async def strayed(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Somebody wants out who is of no session."""
        with contextlib.suppress(OSError, ValueError, TimeoutError):
            async with asyncio.timeout(5):
                line = await reader.readline()
                self.say({"strayed": line[:200].decode("latin-1").strip()})
                writer.write(_REFUSAL)
                await writer.drain()
        writer.close()


class _Join:
    """One port, joined to one socket."""

    def __init__(self, path: str) -> None:
        self._path = path

    async def joined(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            inside, outside = await asyncio.open_unix_connection(self._path)
        except OSError:
            # No session has this slot.
            writer.close()
            return
        await asyncio.gather(_pumped(reader, outside), _pumped(inside, writer))
        for each in (outside, writer):
            each.close()


async def _pumped(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Bytes from one to the other until the one has said all; no faster than the other takes."""
    try:
        while chunk := await reader.read(_CHUNK_BYTES):
            writer.write(chunk)
            await writer.drain()
        writer.write_eof()
    except OSError:
        # One side is gone: then nothing more may wait on the other.
        writer.close()
