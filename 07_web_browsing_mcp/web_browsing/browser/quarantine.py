"""What pages downloaded: kept apart under names of ours, within bounds, gone with the session."""

import asyncio
import hashlib
import os
import shutil
import stat
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from secrets import token_hex
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.async_api import Download

MAX_BYTES = 64 * 1024 * 1024
"""Of one file."""
MAX_TOTAL_BYTES = 256 * 1024 * 1024
"""Of one session's files together."""
MAX_FILES = 20
"""Of one session."""
MAX_S = 300.0
"""For one download to arrive."""
_CHUNK_BYTES = 1024 * 1024
_LOOK_S = 0.25


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """A download. `path` is set once all of it is here; `failed` says why it never will be."""

    id: str
    url: str
    """At most 2,000 characters."""
    suggested_name: str
    """What the page calls it: a stranger's word, for showing alone; at most 200 characters."""
    at: datetime
    path: Path | None = None
    size_bytes: int = 0
    sha256: str = ""
    failed: str | None = None
    tab: str = ""


@dataclass
class Quarantine:
    """Of one session. `incoming` is where the browser writes, which may be anybody's work; files
    come into `folder`, which it cannot reach, by being copied."""

    folder: Path
    incoming: Path
    max_bytes: int = MAX_BYTES
    max_total_bytes: int = MAX_TOTAL_BYTES
    max_files: int = MAX_FILES
    max_s: float = MAX_S
    files: dict[str, Kept] = field(default_factory=dict[str, Kept])

    def __post_init__(self) -> None:
        self.folder.mkdir(mode=0o700, parents=True)

    async def take(self, download: "Download", tab: str = "") -> Kept:
        """Wait for a download and keep it; never raises for what a page did."""
        kept = Kept(
            id=f"d{len(self.files) + 1}",
            url=download.url[:2000],
            suggested_name=download.suggested_filename[:200],
            at=datetime.now(UTC),
            tab=tab,
        )
        if len(self.files) >= self.max_files:
            await _given_up(download)
            return replace(kept, failed=f"a session keeps {self.max_files} downloads at most")
        self.files[kept.id] = kept
        self.files[kept.id] = kept = await self._arrived(download, kept)
        return kept

    def remove(self) -> None:
        """All of it. Blocks."""
        shutil.rmtree(self.folder, ignore_errors=True)

    async def _arrived(self, download: "Download", kept: Kept) -> Kept:
        from playwright.async_api import Error

        room = min(self.max_bytes, self.max_total_bytes - sum(map(_size, self.files.values())))
        watch = asyncio.create_task(self._too_much(room))
        whole = asyncio.create_task(download.path())
        try:
            async with asyncio.timeout(self.max_s):
                await asyncio.wait({watch, whole}, return_when=asyncio.FIRST_COMPLETED)
                if not whole.done():
                    return replace(kept, failed=_too_large(room))
                path = await whole
            size, digest, copy = await asyncio.to_thread(self._copied, path, room)
        except TimeoutError:
            return replace(kept, failed=f"it did not arrive within {self.max_s:g} s")
        except _TooLarge:
            return replace(kept, failed=_too_large(room))
        except Error as error:
            return replace(kept, failed=error.message.splitlines()[0][:200])
        except OSError as error:
            return replace(kept, failed=f"it could not be kept: {error.strerror}")
        finally:
            watch.cancel()
            whole.cancel()
            await asyncio.gather(watch, whole, return_exceptions=True)
            await _given_up(download)
        return replace(kept, path=copy, size_bytes=size, sha256=digest)

    async def _too_much(self, room: int) -> None:
        """Return when more arrives than there is room for. The browser does not say how much has
        arrived: the files themselves do."""
        arrived = 0
        while arrived <= room:
            await asyncio.sleep(_LOOK_S)
            arrived = await asyncio.to_thread(_largest, self.incoming)

    def _copied(self, path: Path, room: int) -> tuple[int, str, Path]:
        target = self.folder / token_hex(16)
        digest, size = hashlib.sha256(), 0
        # The browser may have put a link, a pipe or a device in its file's place.
        source = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            if not stat.S_ISREG(os.fstat(source).st_mode):
                raise OSError(None, "it is no file")
            with os.fdopen(
                os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb"
            ) as to:
                while chunk := os.read(source, _CHUNK_BYTES):
                    size += len(chunk)
                    if size > room:
                        raise _TooLarge
                    digest.update(chunk)
                    to.write(chunk)
        except BaseException:
            target.unlink(missing_ok=True)
            raise
        finally:
            os.close(source)
        return size, digest.hexdigest(), target


class _TooLarge(Exception):
    pass


def _too_large(room: int) -> str:
    return f"it is larger than the {room} bytes that there is room for"


def _size(kept: Kept) -> int:
    return kept.size_bytes


def _largest(folder: Path) -> int:
    sizes = [0]
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            with suppress(OSError):
                sizes.append(entry.stat(follow_symlinks=False).st_size)
    return max(sizes)


async def _given_up(download: "Download") -> None:
    """Stop it if it still runs, and remove what the browser has of it."""
    for end in (download.cancel, download.delete):
        # It may be over already, or its page or browser gone.
        with suppress(Exception):
            async with asyncio.timeout(5):
                await end()
