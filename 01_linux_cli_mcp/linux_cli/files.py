"""Files and folders: readFile, listDirectory and writeFile."""

import base64
import binascii
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Literal

from pydantic import Field

from flotilla import (
    MAX_TEXT_BYTES,
    Cursor,
    InvalidArgument,
    Limit,
    Model,
    Page,
    Tool,
    destroys,
    page_of,
    reads,
)
from flotilla.paging import DEFAULT_LIMIT
from linux_cli.decoding import Encoding, decoded
from linux_cli.host import Entry, Host, HostName, Hosts, Writing, absolute
from linux_cli.procfs import users_of

Path = Annotated[
    str, Field(min_length=1, max_length=4096, description="An absolute path on the host.")
]
SortBy = Literal["name", "size", "modified"]

_SCAN_BYTES = 1024 * 1024
_MAX_SCANNED = 512 * 1024 * 1024
_MAX_WRITTEN = 4 * 1024 * 1024


class FilePart(Model):
    """A part of a file; where `nextOffset` is there, more follows from that byte.

    `encoding` tells what `content` is: text that was decoded so, or `base64` for binary data.
    """

    path: str
    content: str
    encoding: Encoding
    offset: int
    returned_bytes: int
    next_offset: int | None
    size_bytes: int | None
    modified_at: datetime
    truncated: bool


class DirectoryEntry(Model):
    """One name in a folder; `mode` is octal, `target` is where a link points."""

    name: str
    type: str
    size_bytes: int | None
    mode: str | None
    owner: str | None
    group: str | None
    modified_at: datetime | None
    target: str | None


class WrittenFile(Model):
    """A file after it was written: its whole size and SHA-256."""

    path: str
    size_bytes: int
    sha256: str
    created: bool


class Files:
    """Reads and writes files; what belongs to the fleet itself is out of bounds."""

    def __init__(self, hosts: Hosts) -> None:
        self._hosts = hosts

    def tools(self) -> tuple[Tool, ...]:
        return (
            reads("os.linux.listDirectory", self.list_directory, untrusted=True),
            reads("os.linux.readFile", self.read_file, untrusted=True),
            destroys("os.linux.writeFile", self.write_file),
        )

    async def list_directory(
        self,
        path: Path,
        host: HostName = "local",
        hidden: Annotated[bool, Field(description="Also names that start with a dot.")] = False,
        sort_by: SortBy = "name",
        limit: Limit = DEFAULT_LIMIT,
        cursor: Cursor = None,
    ) -> Page[DirectoryEntry]:
        """List what is in a folder, with type, size in bytes, mode, owner and time of change.

        Sorted by name, or by size or time with the largest or newest first. Folders below are not
        entered: run `find` with runReadOnly for that.
        """
        machine = self._hosts.find(host)
        _, entries = await machine.list_folder(absolute(path))
        shown = [entry for entry in entries if hidden or not entry.name.startswith(".")]
        texts = await machine.read_system(["/etc/passwd", "/etc/group"])
        users, groups = (users_of(texts.get(f"/etc/{name}", "")) for name in ("passwd", "group"))
        shown.sort(key=lambda entry: _rank(entry, sort_by))
        page = page_of(f"folder.{sort_by}", shown, limit=limit, cursor=cursor)
        return Page[DirectoryEntry](
            items=[_described(entry, users, groups) for entry in page.items],
            returned=page.returned,
            next_cursor=page.next_cursor,
            total=page.total,
            truncated=page.truncated,
        )

    async def read_file(
        self,
        path: Path,
        host: HostName = "local",
        offset: Annotated[
            int,
            Field(ge=-(2**62), le=2**62, description="First byte; below zero counts from the end."),
        ] = 0,
        max_bytes: Annotated[int, Field(ge=1, le=MAX_TEXT_BYTES)] = MAX_TEXT_BYTES,
        start_line: Annotated[
            int | None,
            Field(ge=1, le=2**31, description="Read from this line (from 1), not from an offset."),
        ] = None,
        lines: Annotated[
            int | None, Field(ge=1, le=100_000, description="At most so many lines.")
        ] = None,
        encoding: Annotated[
            Literal["auto", "base64"], Field(description="base64 gives the bytes as they are.")
        ] = "auto",
    ) -> FilePart:
        """Read a regular file, or a part of it of at most 48 KB, as text or as base64.

        Read on with `offset` set to `nextOffset`. Text is UTF-8, UTF-16 with a byte order mark or
        Latin-1, as `encoding` says; anything else comes as base64. Devices, pipes, the fleet's own
        data and the insides of processes are refused.
        """
        machine = self._hosts.find(host)
        where = absolute(path)
        if start_line is not None:
            if offset != 0:
                raise InvalidArgument("give offset or startLine, not both")
            offset = await _offset_of_line(machine, where, start_line)
        part = await machine.read_part(where, offset, max_bytes)
        text, found, used = decoded(part, raw=encoding == "base64")
        if lines is not None and found != "base64":
            text, used = _first_lines(text, lines, found, used)
        end = part.offset + used
        more = used < len(part.data) or not part.at_end
        return FilePart(
            path=part.path,
            content=text,
            encoding=found,
            offset=part.offset,
            returned_bytes=used,
            next_offset=end if more else None,
            size_bytes=part.size_bytes,
            modified_at=datetime.fromtimestamp(part.modified_s, UTC),
            truncated=more,
        )

    async def write_file(
        self,
        path: Path,
        content: Annotated[str, Field(max_length=_MAX_WRITTEN)],
        host: HostName = "local",
        encoding: Literal["utf8", "base64"] = "utf8",
        write_mode: Annotated[
            Literal["create", "overwrite", "append"],
            Field(description="create refuses a file that exists."),
        ] = "create",
        mode: Annotated[
            str | None,
            Field(pattern=r"^0?[0-7]{3}$", description="Permissions in octal, such as 0644."),
        ] = None,
        expected_sha256: Annotated[
            str | None,
            Field(
                pattern=r"^[0-9a-fA-F]{64}$",
                description="Write only while the file still has this digest.",
            ),
        ] = None,
        create_parents: bool = False,
    ) -> WrittenFile:
        """Write a text or binary file: a new one, in place of an old one, or at the end of one.

        A file is replaced whole or not at all, keeping owner and mode; links are followed. Only
        appending is not atomic. At most 4 MB at a time; append the rest of a larger file. Refused
        for devices, /proc, /sys and the fleet's own data.
        """
        writing = Writing(
            path=absolute(path),
            data=content.encode() if encoding == "utf8" else _from_base64(content),
            how=write_mode,
            mode=None if mode is None else int(mode, 8),
            expected_sha256=expected_sha256,
            create_parents=create_parents,
        )
        written = await self._hosts.find(host).write_file(writing)
        return WrittenFile(
            path=written.path,
            size_bytes=written.size_bytes,
            sha256=written.sha256,
            created=written.created,
        )


def _rank(entry: Entry, sort_by: SortBy) -> tuple[float, str]:
    if sort_by == "size":
        return -(entry.size_bytes or 0), entry.name
    if sort_by == "modified":
        return -(entry.modified_s or 0), entry.name
    return 0, entry.name


def _described(entry: Entry, users: Mapping[int, str], groups: Mapping[int, str]) -> DirectoryEntry:
    return DirectoryEntry(
        name=entry.name,
        type=entry.kind,
        size_bytes=entry.size_bytes,
        mode=None if entry.mode is None else f"{entry.mode:04o}",
        owner=None if entry.uid is None else users.get(entry.uid, str(entry.uid)),
        group=None if entry.gid is None else groups.get(entry.gid, str(entry.gid)),
        modified_at=None
        if entry.modified_s is None
        else datetime.fromtimestamp(entry.modified_s, UTC),
        target=entry.target,
    )


async def _offset_of_line(machine: Host, path: str, line: int) -> int:
    """Where a line starts; the end of the file when it has fewer."""
    left = line - 1
    offset = 0
    while left:
        part = await machine.read_part(path, offset, _SCAN_BYTES)
        breaks = part.data.count(b"\n")
        if breaks >= left:
            return offset + _after_break(part.data, left)
        left -= breaks
        offset += len(part.data)
        if part.at_end:
            return offset
        if offset > _MAX_SCANNED:
            raise InvalidArgument(
                f"line {line} lies beyond the first {_MAX_SCANNED} bytes",
                hint="Read by offset, or look for what you need with grep and runReadOnly.",
            )
    return offset


def _after_break(data: bytes, number: int) -> int:
    at = -1
    for _ in range(number):
        at = data.index(b"\n", at + 1)
    return at + 1


def _first_lines(text: str, lines: int, codec: str, used: int) -> tuple[str, int]:
    """The first lines of a text, and how many bytes of the file they are."""
    kept = text.split("\n", lines)
    if len(kept) <= lines:
        return text, used
    rest = kept[lines]
    return text[: len(text) - len(rest)], used - len(rest.encode(codec))


def _from_base64(content: str) -> bytes:
    try:
        return base64.b64decode(content, validate=True)
    except binascii.Error:
        raise InvalidArgument("content is not base64") from None
