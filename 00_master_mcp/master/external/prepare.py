"""From a resolved entry to a wish for the sandbox: finds its program, and makes its home."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from flotilla import NotConfigured
from master.external.handles import Resolved
from master.external.programs import find_program, needed_by
from master.external.sandbox import SYSTEM, Means, Wish, visible

FIRST_UID, LAST_UID = 65_000, 65_533
"""Users without a name that nobody else has: Debian keeps these numbers free, and they exist in the
user namespace of every container."""
DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def prepare(
    name: str,
    resolved: Resolved,
    means: Means,
    *,
    folder: Path,
    hidden: Sequence[Path] = (),
    env: Mapping[str, str],
) -> Wish:
    """The wish of server `name`, whose home is made in `folder`; it blocks for some file access.

    `hidden` is what no server may see (the fleet's data, configuration and secrets), `env` the
    hub's environment, of which only PATH is looked at. NotConfigured says what is missing.
    """
    entry = resolved.entry
    assert resolved.command is not None, "only a program is started"
    try:
        search_path = resolved.env.get("PATH") or env.get("PATH") or DEFAULT_PATH
        program = find_program(resolved.command, search_path, resolved.cwd)
        readable = [_real("readable", path) for path in resolved.readable]
        writable = [_real("writable", path) for path in resolved.writable]
        cwd = _real("cwd", resolved.cwd) if resolved.cwd else None
    except NotConfigured as error:
        raise NotConfigured(f"external server {name}: {error.message}", hint=error.hint) from None
    home, uid = make_home(folder, name, is_root=means.is_root)
    shown = needed_by(program)
    named = (*readable, *writable)
    real_hidden = [Path(os.path.realpath(path)) for path in hidden if path.exists()]
    return Wish(
        server=name,
        program=program,
        args=resolved.args,
        env=resolved.env,
        path=_shown_path(search_path, program, (*shown, *named)) if means.bwrap else search_path,
        cwd=cwd,
        home=str(home),
        uid=uid,
        network=entry.network,
        readable=tuple(readable),
        writable=tuple(writable),
        shown=tuple(path for path in shown if not visible(path, named)),
        hidden=tuple(str(path) for path in real_hidden if path.is_dir()),
        hidden_files=tuple(str(path) for path in real_hidden if not path.is_dir()),
        memory_mb=entry.memory_mb,
    )


def make_home(folder: Path, name: str, *, is_root: bool) -> tuple[Path, int | None]:
    """The home of a server, made when it is missing, and as root the user whose it is.

    The owner of its home is the record of a server's user: it stays the same for as long as the
    home is there, and no two have the same.
    """
    folder.mkdir(mode=0o711, parents=True, exist_ok=True)
    home = folder / name / "home"
    home.parent.mkdir(mode=0o711, exist_ok=True)
    home.mkdir(mode=0o700, exist_ok=True)
    if not is_root:
        return home.resolve(), None
    uid = home.stat().st_uid
    if not FIRST_UID <= uid <= LAST_UID:
        taken = {other.stat().st_uid for other in folder.glob("*/home")}
        free = (uid for uid in range(FIRST_UID, LAST_UID + 1) if uid not in taken)
        uid = next(free, LAST_UID)
        os.chown(home, uid, uid)
    return home.resolve(), uid


def unusable(wish: Wish) -> list[str]:
    """Which of its writable folders the server's own user cannot write, as sentences."""
    if wish.uid is None:
        return []
    return [
        f"{path} is writable in the sandbox, but not for user {wish.uid}: run "
        f"`setfacl -R -m u:{wish.uid}:rwX -m d:u:{wish.uid}:rwX {path}`, or chown it"
        for path in wish.writable
        if not _may_write(Path(path), wish.uid)
    ]


def _may_write(path: Path, uid: int) -> bool:
    found = path.stat()
    if found.st_uid == uid:
        return bool(found.st_mode & 0o200)
    if os.listxattr(path) and b"system.posix_acl_access".decode() in os.listxattr(path):
        return True
    return bool(found.st_mode & 0o002)


def _real(member: str, path: str) -> str:
    real = os.path.realpath(path)
    if not Path(real).exists():
        raise NotConfigured(f"{member}: there is no {path}", hint="Make it, or name another.")
    return real


def _shown_path(search_path: str, program: str, shown: Sequence[str]) -> str:
    """The folders of the search path that the server can see, its program's own first."""
    own = [str(Path(program).parent)] if visible(program, (*SYSTEM, *shown)) else []
    rest = [each for each in search_path.split(":") if visible(each, (*SYSTEM, *shown))]
    return ":".join(dict.fromkeys((*own, *rest)))
