"""Sessions that go from page to page, for long: memory comes back, and no process is left.

    python benchmarks/browsing_soak.py --sessions 10 --navigations 3600

An hour's worth is one navigation a second: 3,600, of all sessions together. The pages come from a
server on loopback, through the real gate; each has scripts, pictures and a frame. Sessions are
closed and opened anew on the way. Printed are ratios of the browser's memory to what it had when
every session had opened its first page, and how many of its processes are left at the end.
"""

import argparse
import asyncio
import sys
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

import psutil

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "07_web_browsing_mcp")]

from web_browsing.browser.contexts import Wants  # noqa: E402  the path comes first
from web_browsing.browser.memory import descendants, measure  # noqa: E402
from web_browsing.browser.session import Session  # noqa: E402
from web_browsing.browser.sessions import Sessions  # noqa: E402
from web_browsing.gate.proxy import Proxy  # noqa: E402
from web_browsing.gate.rules import Rules  # noqa: E402
from web_browsing.settings import Settings  # noqa: E402

REOPEN_AFTER = 20
"""Navigations of one session."""


@dataclass(frozen=True)
class Soaked:
    navigations: int
    seconds: float
    first_mb: int
    peak_mb: int
    after_mb: int
    """With one empty session left."""
    fds_grown: int
    tasks_grown: int
    left: int
    """Processes of the browser after the end."""


def page(number: int) -> str:
    rows = "".join(f"<tr><td>{number}</td><td>row {each}</td></tr>" for each in range(200))
    return (
        f"<title>Page {number}</title><h1>{number}</h1><table>{rows}</table>"
        f"<iframe src='/frame/{number}'></iframe><img src='/picture/{number}'>"
        "<script>window.kept = Array.from({length: 50000}, (_, i) => 'x' + i);"
        "fetch('/data').then(each => each.text())</script>"
    )


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError, asyncio.IncompleteReadError):
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            path = head.split(b" ")[1].decode()
            number = int(path.rpartition("/")[2] or 0) if path.startswith("/page/") else 0
            body = page(number).encode() if number else b"x" * 2000
            lines = f"HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: {len(body)}"
            writer.write(f"{lines}\r\n\r\n".encode() + body)
            await writer.drain()
    writer.close()


async def soak(sessions_at_once: int, navigations: int) -> Soaked:
    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    settings = Settings(max_sessions=2 * sessions_at_once, allow_hosts=(f"127.0.0.1:{port}",))
    proxy = Proxy(Rules.of(settings.ports, settings.allow_hosts))
    started, left = monotonic(), iter(range(1, navigations + 1))
    fds, tasks = _fds(), len(asyncio.all_tasks())
    with tempfile.TemporaryDirectory() as folder:
        sessions = Sessions(proxy, settings, Path(folder) / "downloads")
        async with sessions.lifespan():

            async def browse() -> None:
                session: Session | None = None
                for count, number in enumerate(left):
                    if session is not None and count % REOPEN_AFTER == 0:
                        await sessions.close(session.id, "soak")
                        session = None
                    session = session or await sessions.open("soak", Wants())
                    await session.page().goto(f"http://127.0.0.1:{port}/page/{number}")
                    peak.append(_mb(sessions) if number % 25 == 0 else 0)
                if session is not None:
                    await sessions.close(session.id, "soak")

            peak: list[int] = []
            opened = [await sessions.open("soak", Wants()) for _ in range(sessions_at_once)]
            for each in opened:
                await each.page().goto(f"http://127.0.0.1:{port}/page/1")
            first_mb = _mb(sessions)
            for each in opened:
                await sessions.close(each.id, "soak")
            await asyncio.gather(*(browse() for _ in range(sessions_at_once)))
            await sessions.open("soak", Wants())
            # Chromium gives renderers up a moment after their pages.
            await asyncio.sleep(5)
            after_mb = _mb(sessions)
            running = sessions.engine.running
            assert running is not None
            pids = list(descendants(running.pid))
    server.close()
    await asyncio.sleep(0.5)
    return Soaked(
        navigations=navigations,
        seconds=monotonic() - started,
        first_mb=first_mb,
        peak_mb=max([first_mb, *peak]),
        after_mb=after_mb,
        fds_grown=_fds() - fds,
        tasks_grown=len(asyncio.all_tasks()) - tasks,
        left=sum(map(psutil.pid_exists, pids)),
    )


def _mb(sessions: Sessions) -> int:
    running = sessions.engine.running
    return measure(running.pid).total_mb if running else 0


def _fds() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    options.add_argument("--sessions", type=int, default=10)
    options.add_argument("--navigations", type=int, default=3600)
    chosen = options.parse_args()
    found = asyncio.run(soak(chosen.sessions, chosen.navigations))
    print(f"{found.navigations} navigations by {chosen.sessions} sessions at once")
    print(f"at its peak {found.peak_mb / found.first_mb:.2f} times the memory of the first pages")
    print(f"afterwards  {found.after_mb / found.first_mb:.2f} times, with one empty session")
    print(f"descriptors grown {found.fds_grown}, tasks grown {found.tasks_grown}")
    print(f"processes of the browser left: {found.left}")
    return 1 if found.left or found.after_mb > found.first_mb else 0


if __name__ == "__main__":
    raise SystemExit(main())
