"""Where a path really lies, through bind mounts: the device, and the path within it. Pure."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

_OCTAL = re.compile(r"\\([0-7]{3})")


@dataclass(frozen=True, slots=True)
class Mount:
    """A line of mountinfo: the folder `root` of `device` is seen at `point`."""

    device: str
    root: str
    point: str


@dataclass(frozen=True, slots=True)
class Place:
    """A path on its device; two paths with one place are the same file."""

    device: str
    path: str


def mounts_in(mountinfo: str) -> tuple[Mount, ...]:
    """The mounts of /proc/self/mountinfo, in its order."""
    lines = (line.split(" ") for line in mountinfo.splitlines())
    return tuple(
        Mount(device=parts[2], root=unescaped(parts[3]), point=unescaped(parts[4]))
        for parts in lines
        if len(parts) > 4
    )


def unescaped(text: str) -> str:
    r"""`text` with the kernel's `\040` for space and the like turned back."""
    return _OCTAL.sub(lambda match: chr(int(match[1], 8)), text)


def place_of(path: str, mounts: Sequence[Mount]) -> Place | None:
    """The place of an absolute real path."""
    best: Mount | None = None
    for mount in mounts:
        # Of two mounts on one point the later covers the earlier, hence >=.
        if is_within(path, mount.point) and (best is None or len(mount.point) >= len(best.point)):
            best = mount
    if best is None:
        return None
    return Place(best.device, _joined(best.root, _below(path, best.point)))


def aliases_of(place: Place, mounts: Sequence[Mount]) -> tuple[str, ...]:
    """Every path under which a place, or a part of it, is seen."""
    found: list[str] = []
    for mount in mounts:
        if mount.device != place.device:
            continue
        if is_within(place.path, mount.root):
            found.append(_joined(mount.point, _below(place.path, mount.root)))
        elif is_within(mount.root, place.path):
            found.append(mount.point)
    return tuple(dict.fromkeys(found))


def is_within(path: str, folder: str) -> bool:
    """Whether `path` is `folder` or below it."""
    return path == folder or path.startswith(folder.rstrip("/") + "/")


def _below(path: str, folder: str) -> str:
    return path[len(folder.rstrip("/")) :].lstrip("/")


def _joined(folder: str, below: str) -> str:
    return f"{folder.rstrip('/')}/{below}".rstrip("/") or "/"
