"""Whether the browser starts here is known before a call needs it."""

from collections.abc import Generator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import psutil
import pytest
from structlog.testing import capture_logs

from tests.conftest import until
from tests.processes import command_of
from web_browsing.browser.engine import Engine, Equipment, find_program
from web_browsing.browser.trial import Trial, tried, try_out

pytestmark = pytest.mark.anyio

NO_SANDBOX = "echo 'No usable sandbox! Update your kernel' >&2; exit 1"


class Place(NamedTuple):
    """Where starts of the browser put their folders, and the processes that there were before."""

    folder: Path
    before: frozenset[psutil.Process]

    def program(self, does: str) -> Path:
        made = self.folder / "chromium"
        made.write_text(f"#!/bin/sh\n{does}\n")
        made.chmod(0o755)
        return made

    def processes(self) -> list[psutil.Process]:
        return [each for each in children() if each not in self.before]

    def left(self) -> list[str]:
        """Folders of starts, and processes that were not there before."""
        folders = [each.name for each in self.folder.glob("flotilla-browser-*")]
        return folders + [str(each.pid) for each in self.processes()]


def children() -> list[psutil.Process]:
    return psutil.Process().children(recursive=True)


@pytest.fixture
def ours(monkeypatch: pytest.MonkeyPatch) -> Generator[Place]:
    """A folder short enough for sockets, that whoever the browser runs as passes through."""
    with TemporaryDirectory(prefix="trial-", dir="/tmp") as folder:
        path = Path(folder)
        path.chmod(0o711)
        monkeypatch.setenv("TMPDIR", folder)
        yield Place(path, frozenset(children()))


async def test_a_machine_without_chromium_is_told_of_at_once(browsing: Any) -> None:
    with capture_logs() as logs:
        async with browsing(equipment={"program": None}):
            await until(lambda: logs)
    (told,) = logs
    assert (told["event"], told["log_level"]) == ("no_browser", "warning")
    assert "apt-get install chromium" in told["hint"]
    assert "fetchPage works" in told["effect"]


@pytest.mark.real
async def test_a_browser_that_cannot_have_its_sandbox_is_told_of_with_what_to_do(
    browsing: Any, ours: Place
) -> None:
    with capture_logs() as logs:
        refusing = {"program": ours.program(NO_SANDBOX)}
        async with browsing(equipment=refusing, try_after_s=0) as sessions:
            await until(lambda: logs, 60)
            assert sessions.engine.running is None
    (told,) = logs
    assert (told["event"], told["log_level"]) == ("no_browser", "warning")
    assert "sandbox" in told["reason"]
    assert "chromium-seccomp.json" in told["hint"]
    assert ours.left() == []


async def test_a_service_that_stops_soon_makes_no_trial(browsing: Any, ours: Place) -> None:
    with capture_logs() as logs:
        async with browsing(equipment={"program": ours.program(NO_SANDBOX)}):
            assert ours.left() == []
    assert logs == []


@pytest.mark.real
async def test_a_browser_that_starts_is_tried_and_ended(ours: Place) -> None:
    equipment = Equipment(program=find_program(None))
    engine = Engine(equipment, lambda _: None)
    with capture_logs() as logs:
        await try_out(engine, equipment, 0)
    (told,) = (each for each in logs if each["event"] == "browser_tried")
    assert told["version"][0].isdigit()
    assert engine.running is None
    assert ours.left() == []


@pytest.mark.real
async def test_a_service_that_stops_ends_the_trial(browsing: Any, ours: Place) -> None:
    hanging = ours.program("exec sleep 600")

    def hung() -> list[psutil.Process]:
        return [each for each in ours.processes() if "600" in command_of(each).split()]

    async with browsing(equipment={"program": hanging}, try_after_s=0):
        await until(hung, 60)
        (process,) = hung()
    await until(lambda: not process.is_running())
    assert hung() == []


@pytest.mark.real
async def test_one_that_takes_too_long_is_given_up(ours: Place) -> None:
    hanging = Equipment(program=ours.program("exec sleep 600"))
    assert await tried(hanging, 3) == Trial(problem="the browser did not start in time")
    assert [each for each in ours.left() if each.isdigit()] == []
