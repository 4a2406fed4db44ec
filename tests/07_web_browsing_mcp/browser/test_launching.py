"""Where Chromium lives: as whom, in which network, and that no process of it outlives us."""

import asyncio
import os
import signal
import socket
import sys
from collections.abc import AsyncGenerator, Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from flotilla import Context, Misconfigured, NotConfigured, NotFound, Unavailable
from tests.conftest import until
from web_browsing.browser.contexts import Wants
from web_browsing.browser.engine import NOBODY, find_program, find_user
from web_browsing.browser.memory import descendants
from web_browsing.browser.relay import arguments_of

pytestmark = pytest.mark.anyio
HERE = Path(__file__).parent
ROOT = HERE.parents[2]


def test_lists_of_features_are_joined_for_the_last_would_win() -> None:
    made = arguments_of(
        ["--disable-features=A,B", "--keep", "--bad=1", "--own=theirs", "about:blank"],
        ["--disable-features=C", "--enable-features=D,A"],
        ["--bad"],
        ["--own=ours"],
    )
    assert made == [
        "--keep",
        "--disable-features=A,B,C",
        "--enable-features=D",
        "--own=ours",
        "about:blank",
    ]


def test_a_program_or_user_that_is_none_stops_the_start(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match="WEB_BROWSING_BROWSER:"):
        find_program(tmp_path)
    with pytest.raises(Misconfigured, match="WEB_BROWSING_BROWSER:"):
        find_program(tmp_path / "none")
    with pytest.raises(Misconfigured, match="BROWSER_USER: there is no user"):
        find_user("nobody-of-that-name")
    with pytest.raises(Misconfigured, match="never runs as root"):
        find_user("root")


async def test_without_chromium_only_the_browser_is_missing(browsing: Any) -> None:
    async with browsing(equipment={"program": None}) as sessions:
        with pytest.raises(NotConfigured, match="no Chromium") as refused:
            await sessions.open("ada", Wants())
        assert "apt-get install chromium" in (refused.value.hint or "")


async def test_without_playwrights_driver_it_is_said_what_is_missing(
    browsing: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As the one of the wheel where a library is not there: it says why, and ends.
    driver = tmp_path / "node"
    driver.write_text("#!/bin/sh\necho 'libatomic.so.1: cannot open' >&2\nexit 127\n")
    driver.chmod(0o755)
    monkeypatch.setenv("PLAYWRIGHT_NODEJS_PATH", str(driver))
    async with browsing(equipment={"program": Path("/bin/true")}) as sessions:
        with pytest.raises(NotConfigured, match="driver does not run") as refused:
            await sessions.open("ada", Wants())
        assert "libatomic" in (refused.value.hint or "")


async def test_a_program_that_is_no_browser_is_told_as_such_and_leaves_nothing(
    browsing: Any,
) -> None:
    async with browsing(equipment={"program": Path("/bin/true")}) as sessions:
        with pytest.raises(Unavailable, match="did not start"):
            await sessions.open("ada", Wants())
        assert sessions.engine.running is None


@pytest.mark.real
async def test_it_reaches_the_proxy_and_nothing_else(site: Any, browsing: Any) -> None:
    """Where the kernel gives it a network namespace, which it does where tests run as root."""
    site.pages["/"] = "<title>x</title>"
    async with browsing() as sessions:
        session = await sessions.open("ada", Wants())
        await session.page().goto(f"{site.url}/")
        running = sessions.engine.running
        assert running.apart is None
        ours = Path("/proc/self/ns/net").readlink().name
        found = list(descendants(running.pid))
        assert len(found) > 3
        for pid in found:
            # One may end while it is looked at.
            with suppress(FileNotFoundError, ProcessLookupError):
                assert Path(f"/proc/{pid}/ns/net").readlink().name != ours
        # Loopback, and no route that leads out of it.
        links = Path(f"/proc/{running.pid}/net/dev").read_text().splitlines()[2:]
        assert [each.split(":")[0].strip() for each in links] == ["lo"]
        assert Path(f"/proc/{running.pid}/net/route").read_text().splitlines()[1:] == []


@pytest.mark.real
async def test_it_runs_as_nobody_with_its_sandbox_and_none_of_our_environment(
    browsing: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLOTILLA_CANARY", "a-secret-of-the-service")
    async with browsing() as sessions:
        await sessions.open("ada", Wants())
        root = sessions.engine.running.pid

        def renderers() -> list[Seen]:
            return [each for each in chromium(root) if "--type=renderer" in each.line]

        # One that has just begun is not filtered yet.
        await until(lambda: renderers() and all(each.filtered for each in renderers()))
        found = chromium(root)
        assert len(found) > 3
        for each in found:
            if os.geteuid() == 0:
                assert each.uids == {NOBODY}
                assert each.status.partition("Groups:")[2].splitlines()[0].strip() == ""
            assert "--no-sandbox" not in each.line
            assert b"a-secret-of" not in each.environment


@dataclass
class Seen:
    """A process of Chromium."""

    line: str
    uids: set[int]
    status: str
    environment: bytes

    @property
    def filtered(self) -> bool:
        """By seccomp, in a process namespace of the sandbox's."""
        apart = len(self.status.partition("NSpid:")[2].splitlines()[0].split()) > 1
        return "Seccomp:\t2" in self.status and apart


def chromium(root: int) -> list[Seen]:
    """Those that are there; one may end while it is looked at."""
    found: list[Seen] = []
    for pid in descendants(root):
        folder = Path(f"/proc/{pid}")
        with suppress(psutil.NoSuchProcess, FileNotFoundError, ProcessLookupError):
            process = psutil.Process(pid)
            uids = process.uids()
            if "chromium" in process.exe() or uids.real == NOBODY:
                line, status = " ".join(process.cmdline()), (folder / "status").read_text()
                environment = (folder / "environ").read_bytes()
                found.append(Seen(line, {uids.real, uids.effective}, status, environment))
    return found


@pytest.mark.real
async def test_what_chromium_asks_by_itself_goes_nowhere(site: Any, browsing: Any) -> None:
    """Neither to the proxy, which only pages' requests reach, nor anywhere else."""
    site.pages["/"] = "<title>x</title>"
    asked: list[str] = []

    async def resolve(host: str, port: int) -> list[str]:
        asked.append(host)
        return ["127.0.0.1"]

    async with browsing(resolve=resolve) as sessions:
        session = await sessions.open("ada", Wants())
        await session.page().goto(f"{site.url}/")
        await asyncio.sleep(5)
        assert (asked, sessions.engine.strayed) == ([], 0)
        assert [each.path for each in site.asked if each.path != "/favicon.ico"] == ["/"]


@pytest.mark.real
async def test_webrtc_tells_no_address_and_sends_no_packet(site: Any, browsing: Any) -> None:
    site.pages["/"] = "<title>x</title>"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as canary:
        canary.bind(("127.0.0.1", 0))
        canary.setblocking(False)
        port = canary.getsockname()[1]
        async with browsing(equipment={"namespace": False}) as sessions:
            session = await sessions.open("ada", Wants())
            await session.page().goto(f"{site.url}/")
            found = await session.page().evaluate(
                """async port => {
                    const peer = new RTCPeerConnection(
                        {iceServers: [{urls: `stun:127.0.0.1:${port}`}]});
                    const found = [];
                    peer.onicecandidate = each => found.push(each.candidate?.candidate || '');
                    peer.createDataChannel('x');
                    await peer.setLocalDescription(await peer.createOffer());
                    await new Promise(done => setTimeout(done, 2000));
                    return found.filter(each => each);
                }""",
                port,
            )
        assert found == []
        with pytest.raises(BlockingIOError):
            canary.recv(100)


@pytest.mark.real
async def test_without_a_namespace_it_has_a_password_for_its_way_out(
    site: Any, browsing: Any, calling: Callable[..., Context]
) -> None:
    site.pages["/"] = "<title>Through</title>"
    async with browsing(equipment={"namespace": False}) as sessions:
        session = await sessions.open("ada", Wants())
        assert sessions.engine.running.apart
        await session.page().goto(f"{site.url}/")
        assert await session.page().title() == "Through"
        assert session.visitor.token
        assert session.visitor.requests >= 1


@pytest.mark.real
async def test_as_a_user_it_makes_its_namespace_itself(tmp_path: Path) -> None:
    """Where the service is no root: the launcher becomes the user first, then goes apart."""
    if os.geteuid() != 0:
        pytest.skip("only root can become another")
    placed = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        "import os, sys; sys.path.insert(0, sys.argv[1])\n"
        "import launcher\n"
        "os.setgroups([]); os.setresgid(65534, 65534, 65534); os.setresuid(65534, 65534, 65534)\n"
        "order = launcher.Order('', '', 0, 0, True, 0, [], [], 0, 0)\n"
        "print(launcher.place(order)); print(open('/proc/net/dev').read().count(':'))",
        str(ROOT / "07_web_browsing_mcp/web_browsing/browser"),
        stdout=asyncio.subprocess.PIPE,
    )
    told, _ = await placed.communicate()
    assert told.decode().split() == ["Placed(namespace=None)", "1"]


@pytest.mark.real
async def test_a_browser_that_dies_takes_its_sessions_and_the_next_gets_a_new_one(
    browsing: Any, calling: Callable[..., Context]
) -> None:
    async with browsing() as sessions:
        session = await sessions.open("ada", Wants())
        before = sessions.engine.running
        pids = list(descendants(before.pid))
        os.kill(pids[1], signal.SIGKILL)
        await until(lambda: not sessions.of("ada"))
        with pytest.raises(NotFound, match="restarted: open a new session"):
            async with sessions.acting(session.id, calling()):
                pass
        again = await sessions.open("ada", Wants())
        assert await again.page().evaluate("1 + 1") == 2
        assert sessions.engine.running.pid != before.pid
        await until(lambda: not any(map(psutil.pid_exists, pids)))
        await until(lambda: not before.folder.exists())


@pytest.mark.real
async def test_an_unused_browser_is_ended(browsing: Any) -> None:
    async with browsing(unused_s=0.2) as sessions:
        session = await sessions.open("ada", Wants())
        pids = list(descendants(sessions.engine.running.pid))
        await sessions.close(session.id, "ada")
        await until(lambda: sessions.engine.running is None)
        await until(lambda: not any(map(psutil.pid_exists, pids)))


@pytest.mark.real
async def test_a_service_that_is_killed_leaves_no_process_of_the_browser(tmp_path: Path) -> None:
    paths = os.pathsep.join((str(ROOT), str(ROOT / "07_web_browsing_mcp")))
    service = await asyncio.create_subprocess_exec(
        sys.executable,
        str(HERE / "spoke_to_kill.py"),
        str(tmp_path / "downloads"),
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": paths},
    )
    assert service.stdout is not None
    lines = [line async for line in _until_ids(service.stdout)]
    own, relay = map(int, lines[-1].split())
    pids = [*descendants(own)]
    assert relay in pids
    assert len(pids) > 6
    os.kill(own, signal.SIGKILL)
    await service.wait()
    await until(lambda: not any(map(_runs, pids)))
    await service.communicate()


async def _until_ids(stream: asyncio.StreamReader) -> AsyncGenerator[str]:
    async with asyncio.timeout(40):
        async for line in stream:
            yield line.decode()
            if line.replace(b" ", b"").strip().isdigit():
                return


def _runs(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
