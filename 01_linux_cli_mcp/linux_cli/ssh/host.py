"""A host elsewhere, over SSH: the same that `local` can do, as the user that we are there."""

import posixpath
import secrets
from collections.abc import Mapping, Sequence

from flotilla import Conflict, NotAllowed, NotFound, UpstreamError
from linux_cli.host import Ended, Entry, Order, Part, Space, Take, Writing, Written
from linux_cli.local.guard import is_inside_process
from linux_cli.mounts import is_within
from linux_cli.ssh import questions
from linux_cli.ssh.asking import Ask
from linux_cli.ssh.detached import FORGET, run_detached
from linux_cli.ssh.disk import RemoteDisk
from linux_cli.ssh.pool import Link
from linux_cli.ssh.session import run_program

_SPACE_S = 3.0
_END_S = 15.0
_MAX_SYSTEM_TEXT = 1024 * 1024
_PAGE_BYTES = 4096
_CLOSED_BELOW = ("/proc", "/dev")


class SshHost:
    """Runs programs and opens files on a host of the inventory.

    Nothing confines programs there but the rights of the user; runReadOnly rests on its judgement
    of their arguments alone.
    """

    elsewhere = True
    confines = False

    def __init__(self, link: Link, *, path: str) -> None:
        self.name = link.alias
        self.link = link
        self.disk = RemoteDisk(link)
        self._path = path
        self.ask = Ask(link, path=path)
        self._page_bytes: int | None = None
        self._own_uid: int | None = None

    @property
    def page_bytes(self) -> int:
        """Known once something of the host's system has been read; 4 KiB before."""
        return self._page_bytes or _PAGE_BYTES

    async def run(self, order: Order, take: Take) -> Ended:
        return await run_program(self.link, order, take, path=self._path)

    async def run_long(self, order: Order, take: Take) -> Ended:
        return await run_detached(self.link, self.ask, order, take, path=self._path)

    async def end_labelled(self, label: str) -> None:
        await self.ask(questions.END_MARKED, label, timeout_s=_END_S)
        await self.ask(FORGET, label, timeout_s=_END_S)

    async def find_program(self, name: str, folders: Sequence[str] | None = None) -> str | None:
        looked = folders if folders is not None else self._path.split(":")
        if "/" in name:
            # By its name, not by where it leads; see `LocalHost.find_program`.
            if folders is not None and name.rpartition("/")[0] not in folders:
                return None
            found = await self.ask(questions.IS_PROGRAM, name)
        else:
            found = await self.ask(questions.FIND_PROGRAM, name, *(one for one in looked if one))
        return found.decode() or None

    async def read_system(self, paths: Sequence[str]) -> Mapping[str, str]:
        if self._page_bytes is None:
            told = (await self.ask(questions.PAGE_BYTES)).decode(errors="replace")
            self._page_bytes = questions.number_of(told) or _PAGE_BYTES
        mark = f"\n{secrets.token_hex(16)}\n"
        answer = await self.ask(questions.READ_TEXTS, mark, *paths)
        return questions.texts_of(answer, mark.encode(), paths, _MAX_SYSTEM_TEXT)

    async def list_system(self, path: str) -> Sequence[str]:
        return sorted(questions.names_of(await self.ask(questions.LIST_FOLDER, path)))

    async def links_in(self, folders: Sequence[str]) -> Mapping[str, Sequence[str]]:
        found: dict[str, list[str]] = {folder: [] for folder in folders}
        if folders:
            answer = await self.ask(questions.LINKS_IN, *folders)
            for folder, target in questions.pairs_of(answer):
                found.setdefault(folder, []).append(target)
        return found

    async def real_path(self, path: str) -> str:
        return (await self._real_paths([path]))[0][1]

    async def space(self, mount_points: Sequence[str]) -> Mapping[str, Space]:
        if not mount_points:
            return {}
        # A dead network file system holds what looks at it; the others have answered by then.
        answer = await self.ask(questions.SPACE, *mount_points, timeout_s=_SPACE_S, whole=False)
        return questions.spaces_of(answer, mount_points)

    async def check_readable(self, paths: Sequence[str], cwd: str, *, enters: bool) -> None:
        full = [posixpath.normpath(posixpath.join(cwd, path)) for path in paths]
        closed = _CLOSED_BELOW if enters else ()
        found = await self._real_paths(full)
        for path, lexical, (kind, real) in zip(paths, full, found, strict=True):
            below = any(is_within(real, one) or is_within(one, real) for one in closed)
            is_device = kind == "device" and real != "/dev/null"
            if below or is_device or is_inside_process(lexical) or is_inside_process(real):
                raise NotAllowed(
                    f"{path!r} is protected on {self.name}: it is a device, or belongs to the "
                    "inside of a process, or holds some of these below it"
                )

    async def read_part(self, path: str, offset: int, max_bytes: int) -> Part:
        return await self.disk.read_part(path, offset, max_bytes)

    async def list_folder(self, path: str) -> tuple[str, Sequence[Entry]]:
        return await self.disk.list_folder(path)

    async def write_file(self, writing: Writing) -> Written:
        return await self.disk.write_file(writing)

    async def send_signal(self, pid: int, signal: int, start_ticks: int | None) -> bool:
        wanted = "" if start_ticks is None else str(start_ticks)
        answer = await self.ask(questions.SIGNAL, str(pid), str(signal), wanted)
        match answer.decode(errors="replace"):
            case "gone":
                return True
            case "alive":
                return False
            case "missing":
                raise NotFound(f"there is no process {pid} on {self.name}")
            case "other":
                raise Conflict(
                    f"process {pid} is not the one expected: it started at another time",
                    hint="List the processes again.",
                )
            case "own":
                raise NotAllowed(f"process {pid} is the one that serves us there, or above it")
            case _:
                raise NotAllowed(f"host {self.name!r} does not permit a signal to process {pid}")

    async def own_uid(self) -> int:
        """The number of the user that we are there."""
        if self._own_uid is None:
            told = (await self.ask("id -u")).decode(errors="replace")
            self._own_uid = questions.number_of(told)
        if self._own_uid is None:
            raise UpstreamError(f"host {self.name!r} does not tell who we are there")
        return self._own_uid

    async def _real_paths(self, paths: Sequence[str]) -> list[tuple[str, str]]:
        """What kind of thing (device or other) and the real path, for each."""
        answer = await self.ask(questions.REAL_PATHS, *paths)
        found = questions.pairs_of(answer)
        if len(found) != len(paths):
            raise UpstreamError(f"host {self.name!r} does not tell where paths lead")
        return found
