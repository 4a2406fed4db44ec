"""One open file of a host, read and written in blocks that the host is asked for side by side.

asyncssh can do so itself, but then a call that is cancelled leaves its requests behind: they go on,
and nobody hears how they end.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import TypeVar, cast

import asyncssh
from asyncssh import SFTPAttrs, SFTPClient, SFTPClientFile
from asyncssh.sftp import SFTPLimits

_MOST_BESIDE = 16
_T = TypeVar("_T")


class OpenFile:
    """A file of a host, by offsets in bytes; errors are asyncssh's."""

    def __init__(self, file: SFTPClientFile, limits: SFTPLimits) -> None:
        self._file = file
        self._limits = limits

    async def read_once(self, offset: int, max_bytes: int) -> bytes:
        """What the host gives at once, which may be less than there is; nothing at the end."""
        block = self._limits.max_read_len
        end = offset + min(max_bytes, block * _MOST_BESIDE)
        sizes = [min(block, end - start) for start in range(offset, end, block)]
        # An open file gives bytes unless it was opened with an encoding.
        told = await _all(
            cast("Awaitable[bytes]", self._file.read(size, offset + at * block))
            for at, size in enumerate(sizes)
        )
        whole = bytearray()
        for size, data in zip(sizes, told, strict=True):
            whole += data
            if len(data) < size:
                # What came of the blocks behind a short one does not follow it.
                break
        return bytes(whole)

    async def write(self, data: bytes, offset: int) -> None:
        block = self._limits.max_write_len
        beside = block * _MOST_BESIDE
        for first in range(0, len(data), beside):
            part = range(first, min(first + beside, len(data)), block)
            await _all(self._file.write(data[at : at + block], offset + at) for at in part)

    async def append(self, data: bytes) -> None:
        """Write at the end, in order, wherever that is by then."""
        block = self._limits.max_write_len
        for at in range(0, len(data), block):
            await self._file.write(data[at : at + block])

    async def stat(self) -> SFTPAttrs:
        return await self._file.stat()

    async def size(self) -> int:
        return (await self.stat()).size or 0

    async def chmod(self, mode: int) -> None:
        await self._file.chmod(mode)

    async def chown(self, uid: int, gid: int) -> None:
        await self._file.chown(uid, gid)

    async def truncate(self, size: int) -> None:
        await self._file.truncate(size)

    async def sync(self) -> None:
        """Have the host put it on its disk, where its server knows how (fsync@openssh.com)."""
        with suppress(asyncssh.SFTPOpUnsupported):
            await self._file.fsync()


@asynccontextmanager
async def opened(
    sftp: SFTPClient, path: bytes, flags: int, *, mode: int | None = None
) -> AsyncGenerator[OpenFile]:
    """Open a file by SFTP's `flags`, a new one with `mode`; the session's end closes it too."""
    attrs = SFTPAttrs() if mode is None else SFTPAttrs(permissions=mode)
    file = await sftp.open(path, flags, attrs, encoding=None, block_size=0)
    try:
        yield OpenFile(file, sftp.limits)
    finally:
        with suppress(asyncssh.SFTPError):
            await file.close()


async def _all(asked: Iterable[Awaitable[_T]]) -> Sequence[_T]:
    """What each says, once all have ended; the first error where some failed."""
    told: list[_T] = []
    for each in await asyncio.gather(*asked, return_exceptions=True):
        if isinstance(each, BaseException):
            raise each
        told.append(each)
    return told
