"""Links that are swapped while a tool looks: no moment lets the fleet's own files out or in."""

import ctypes
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic
from typing import Any

import pytest

from .world import HOST, OUTSIDE, World

pytestmark = [pytest.mark.anyio, pytest.mark.real]

FOR_S = 0.5
"""How long each race is run."""


_libc = ctypes.CDLL(None, use_errno=True)
_EXCHANGE = 2
_HERE = -100


def exchange(one: Path, other: Path) -> None:
    """Give each of two files or folders the name of the other, in one step (renameat2)."""
    done = _libc.renameat2(_HERE, os.fsencode(one), _HERE, os.fsencode(other), _EXCHANGE)
    if done != 0:
        raise OSError(ctypes.get_errno(), "renameat2")


class Swapper(threading.Thread):
    """Lets two names change places, as fast as the disk does it."""

    def __init__(self, place: Path, other: Path) -> None:
        super().__init__(daemon=True)
        self._pair = place, other
        self._ended = threading.Event()
        self.swaps = 0

    def run(self) -> None:
        while not self._ended.is_set():
            exchange(*self._pair)
            self.swaps += 1

    def end(self) -> None:
        self._ended.set()
        self.join(10)


@contextmanager
def swapping(place: Path, leads_to: Path) -> Iterator[Swapper]:
    """Within, `place` is in turn itself and a link to `leads_to`."""
    link = place.with_name(f".{place.name}.other")
    link.symlink_to(leads_to)
    swapper = Swapper(place, link)
    swapper.start()
    try:
        yield swapper
    finally:
        swapper.end()


def everything_in(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


async def race(world: World, tool: str, **arguments: Any) -> list[str]:
    """What the tool answered while the race was run."""
    said: list[str] = []
    until = monotonic() + FOR_S
    while monotonic() < until:
        answer = await world.caller.call(tool, arguments)
        assert answer.code not in ("internal", "timeout", "unavailable"), answer
        said.append(answer.code or str(answer.structured))
    return said


async def test_a_file_that_becomes_a_link_while_it_is_read_shows_nothing(world: World) -> None:
    place = world.play / "swapped-file"
    place.write_text("one")
    with swapping(place, world.outside) as swapper:
        read = await race(world, "os.linux.readFile", path=str(place))
        ran = await race(world, "os.linux.runReadOnly", argv=["cat", str(place)])
    assert swapper.swaps > 100
    assert OUTSIDE not in "".join([*read, *ran])
    # The race was one: sometimes it was the one, sometimes the other.
    assert "not_allowed" in read and any("one" in each for each in read)


async def test_a_folder_that_becomes_a_link_while_it_is_listed_shows_nothing(world: World) -> None:
    place = world.play / "swapped-folder"
    place.mkdir()
    (place / "mine.txt").write_text("mine")
    with swapping(place, world.closed) as swapper:
        listed = await race(world, "os.linux.listDirectory", path=str(place))
        below = await race(world, "os.linux.readFile", path=f"{place}/admin_token")
        found = await race(world, "os.linux.runReadOnly", argv=["find", f"{place}/", "-type", "f"])
    assert swapper.swaps > 100
    text = "".join([*listed, *found])
    assert "admin_token" not in text.replace(f"{place}/admin_token", "") and "mine.txt" in text
    assert set(below) <= {"not_found", "not_allowed"}


async def test_a_folder_that_becomes_a_link_while_it_is_written_to_takes_nothing(
    world: World,
) -> None:
    protected = world.outside.parent
    place = world.play / "swapped-target"
    place.mkdir()
    before = everything_in(protected)
    with swapping(place, protected) as swapper:
        for mode in ("create", "overwrite", "append"):
            await race(
                world, "os.linux.writeFile", path=f"{place}/notes.txt", content="x", writeMode=mode
            )
        for turn in range(4):
            await race(
                world,
                "os.linux.writeFile",
                path=f"{place}/deep{turn}/er/new.txt",
                content="x",
                writeMode="overwrite",
                createParents=True,
            )
    assert swapper.swaps > 100
    assert everything_in(protected) == before
    assert [path.name for path in protected.iterdir()] == ["notes.txt"]


async def test_what_comes_over_ssh_is_written_through_no_link(world: World) -> None:
    folder = world.closed / "linux_cli" / "exchange"
    folder.mkdir(parents=True, exist_ok=True)
    place = folder / "swapped"
    place.mkdir()
    (place / "notes.txt").write_text("mine")
    before = everything_in(world.outside.parent)
    with swapping(place, world.outside.parent) as swapper:
        await race(
            world,
            "os.ssh.downloadFile",
            host=HOST,
            path=f"{world.play}/file.txt",
            name="swapped/notes.txt",
        )
        await race(
            world,
            "os.ssh.uploadFile",
            host=HOST,
            name="swapped/notes.txt",
            path=f"{world.play}/came.txt",
        )
    assert swapper.swaps > 100
    assert everything_in(world.outside.parent) == before
    came = world.play / "came.txt"
    assert not came.exists() or came.read_text() == "mine"
