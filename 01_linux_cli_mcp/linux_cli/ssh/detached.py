"""Long work on a host: it runs there on its own and writes to files, which we follow.

So it outlives our connection. A supervisor of it on the host keeps the newest output, ends it when
its time is over, and notes how it ended; what we have read is removed there.
"""

import posixpath
import secrets
from dataclasses import dataclass, field
from math import ceil
from time import monotonic

import anyio
import asyncssh
import structlog
from asyncssh.constants import FXF_READ

from flotilla import FlotillaError, NotFound, TimedOut, Unavailable, UpstreamError
from flotilla.backoff import delay_s
from flotilla.outlast import outlast
from linux_cli.host import Ended, Order, Stream, Take
from linux_cli.ssh.asking import Ask
from linux_cli.ssh.opened import opened
from linux_cli.ssh.pool import Link
from linux_cli.ssh.scripts import KILL_MARKED, LIVES, signal_name
from linux_cli.ssh.sftp import file_errors, file_session

log = structlog.get_logger(__name__)

_KEPT_BYTES = 32 * 1024 * 1024
"""Of each stream on the host, while nobody reads it."""
_MARGIN_S = 60.0
"""How long after its time the host itself ends a program, if we have not; and how long we go on to
ask a host that is away."""
_START_S = 30.0
_POLL_S = (0.05, 1.0)
"""Between two looks: after output came, and at most."""
_LOOK_ALIVE_S = 10.0
_READ_BYTES = 256 * 1024
_MAX_NAMES = 10_000

# Both scripts run in the program's own environment, and give it on as they got it: what they set
# for themselves might have the name of one of its variables.
_SUPERVISE = (
    LIVES
    + """\
saved=$(export -p); d=$1; max=$2; limit=$3; PATH=$4; shift 4
keep() {
  at=0; rest=
  while :; do
    f=$d/$1.$at
    dd bs=16384 count=512 of="$f" 2>/dev/null
    n=$(wc -c <"$f"); [ "$n" -gt 0 ] || { rm -f "$f"; return; }
    rest="$rest $at"; at=$((at + n))
    while set -- "$1" $rest; [ $# -gt 2 ] && [ $((at - $3)) -ge "$max" ]; do
      rm -f "$d/$1.$2"; rest=" ${rest#" $2 "}"
    done
  done
}
mkfifo "$d/o" "$d/e" || exit 1
keep stdout <"$d/o" & k1=$!
keep stderr <"$d/e" & k2=$!
set -- "$(command -v setsid)" "$@"
( eval "$saved"; unset PWD OLDPWD SHLVL; exec "$@" ) <&3 >"$d/o" 2>"$d/e" 3<&- & c=$!
exec 3<&-
read -r s </proc/$c/stat; set -- ${s##*) }; g=$c; start=${20}
echo "$g $start $$" >"$d/pid.new"; mv "$d/pid.new" "$d/pid"
( while lives && [ "$limit" -gt 0 ]; do sleep 5; limit=$((limit - 5)); done
  lives && { kill -s TERM -- -$g; sleep 1; kill -s KILL -- -$g; } ) 2>/dev/null &
wait $c; status=$?
kill -s KILL -- -$c 2>/dev/null
i=0
while [ $i -lt 20 ] && { kill -0 $k1 || kill -0 $k2; } 2>/dev/null; do
  sleep 0.05 || sleep 1; i=$((i + 1))
done
echo $status >"$d/status.new"; mv "$d/status.new" "$d/status"
"""
)

_LAUNCH = """\
saved=$(export -p); label=$1; max=$2; limit=$3; w=$4; PATH=$5; p=$6; shift 6; d=
case $p in
  */*) ;;
  *) IFS=:; for b in $PATH; do [ -f "$b/$p" ] && [ -x "$b/$p" ] && { p=$b/$p; break; }; done
    unset IFS ;;
esac
[ -f "$p" ] && [ -x "$p" ] && case $p in */*) ;; *) false ;; esac || { echo missing; exit 0; }
for b in "$HOME/.cache" "$HOME" /var/tmp /tmp; do
  mkdir -m 700 "$b/.flotilla-$label" 2>/dev/null && { d=$b/.flotilla-$label; break; }
done
[ -n "$d" ] || { echo space; exit 0; }
exec 3<&0
( set -- "$(command -v setsid)" /bin/sh -c "$w" supervise "$d" "$max" "$limit" "$PATH" "$p" "$@"
  eval "$saved"; exec "$@" ) </dev/null >/dev/null 2>&1 &
s=$!; exec 3<&-; i=0
until [ -e "$d/pid" ]; do
  kill -0 $s 2>/dev/null && [ $i -lt 200 ] || { rm -rf "$d"; echo failed; exit 0; }
  sleep 0.05 || sleep 1; i=$((i + 1))
done
printf 'at %s' "$d"
"""

# The status last: the supervisor writes it before it ends, maybe while it is looked for.
ALIVE = """\
d=$1; read -r g start a 2>/dev/null <"$d/pid" && kill -0 "$a" 2>/dev/null ||
  [ -e "$d/status" ] && printf yes || printf no
"""
"""Whether a job is still looked after, or has noted how it ended."""

_END = (
    'd=$1; m=$2; read -r g start a 2>/dev/null <"$d/pid"\n'
    + KILL_MARKED
    + LIVES
    + 'if [ -n "$g" ] && lives; then end_group; else kill_marked "$m"; fi\n'
)

FORGET = """\
for b in "$HOME/.cache" "$HOME" /var/tmp /tmp; do
  [ -d "$b/.flotilla-$1" ] && rm -rf -- "$b/.flotilla-$1"
done
:
"""
"""Removes what a job with that label left on the host."""


@dataclass
class _Followed:
    """How far each stream has been read, and where it is."""

    folder: bytes
    at: dict[Stream, int] = field(default_factory=lambda: {"stdout": 0, "stderr": 0})

    @property
    def shown(self) -> str:
        return self.folder.decode("utf-8", "surrogateescape")


async def run_detached(link: Link, ask: Ask, order: Order, take: Take, *, path: str) -> Ended:
    """Run it to its end through whatever becomes of the connection, and feed its output to `take`.

    On cancellation and at the timeout it and its descendants are ended. Unavailable when the host
    stays away until a minute after the timeout.
    """
    began = monotonic()
    label = order.label or secrets.token_hex(16)
    try:
        followed = _Followed(await _launched(link, ask, order, label, path))
    except BaseException:
        await outlast(_forget(ask, label))
        raise
    give_up_at = began + order.timeout_s + _MARGIN_S
    status, timed_out = 128 + 15, False
    try:
        with anyio.move_on_after(order.timeout_s) as scope:
            status = await _follow(link, ask, followed, take, give_up_at)
        if scope.cancelled_caught:
            timed_out = True
            await outlast(_end(ask, followed, label))
            with anyio.move_on_after(_MARGIN_S):
                # Killed with all that carries the mark, its supervisor has noted nothing.
                await _copy(link, followed, take)
    except BaseException:
        await outlast(_end(ask, followed, label))
        raise
    finally:
        with anyio.move_on_after(_START_S, shield=True):
            await _forget(ask, label)
    name = signal_name(status - 128) if 128 < status <= 192 else None
    return Ended(status, name, timed_out, monotonic() - began)


async def _launched(link: Link, ask: Ask, order: Order, label: str, path: str) -> bytes:
    limit_s = ceil(order.timeout_s + _MARGIN_S)
    said = await ask(
        _LAUNCH,
        *(label, str(_KEPT_BYTES), str(limit_s), _SUPERVISE, path, *order.argv),
        timeout_s=_START_S,
        cwd=order.cwd,
        env=order.env,
        stdin=order.stdin,
        label=label,
    )
    word, _, folder = said.partition(b" ")
    if word == b"at" and folder:
        return folder
    if word.strip() == b"missing":
        raise NotFound(f"there is no program {order.argv[0]!r} on {link.alias}")
    raise UpstreamError(
        f"host {link.alias!r} cannot keep a job: no folder there can hold its output"
    )


async def _follow(link: Link, ask: Ask, followed: _Followed, take: Take, give_up_at: float) -> int:
    """Its status, once all that it wrote has been taken."""
    failures, pause_s, looked_at = 0, _POLL_S[0], monotonic()
    while True:
        try:
            moved, status = await _copy(link, followed, take)
            if status is not None:
                return status
            if failures or monotonic() - looked_at > _LOOK_ALIVE_S:
                looked_at = monotonic()
                if (await ask(ALIVE, followed.shown)) == b"no":
                    raise UpstreamError(
                        f"the job is gone from host {link.alias!r}, which may have been restarted"
                    )
            failures = 0
        except (Unavailable, TimedOut) as error:
            failures += 1
            if failures == 1:
                log.warning("job_not_followed", host=link.alias, reason=error.message)
            if monotonic() > give_up_at:
                raise
            await anyio.sleep(delay_s(failures, cap_s=10.0))
            continue
        pause_s = _POLL_S[0] if moved else min(pause_s * 1.5, _POLL_S[1])
        await anyio.sleep(pause_s)


async def _copy(link: Link, followed: _Followed, take: Take) -> tuple[bool, int | None]:
    """Take what is new; whether there was any, and the status once it has ended."""
    moved = False
    async with file_session(link) as sftp:
        with file_errors(link.alias, "the job's output"):
            # The status first: what was written before it is then all there.
            status = await _status(sftp, followed)
            names = await _names(sftp, followed.folder)
            for stream in followed.at:
                starts = _starts(names, stream)
                for index, start in enumerate(starts):
                    last = index == len(starts) - 1
                    moved = (
                        await _take_segment(sftp, followed, stream, start, take, done=not last)
                        or moved
                    )
    return moved, status


async def _names(sftp: asyncssh.SFTPClient, folder: bytes) -> list[bytes]:
    found: list[bytes] = []
    async for one in sftp.scandir(folder):
        if len(found) == _MAX_NAMES:
            raise UpstreamError("the folder of a job's output holds more than it can")
        found.append(one.filename if isinstance(one.filename, bytes) else one.filename.encode())
    return found


async def _take_segment(
    sftp: asyncssh.SFTPClient,
    followed: _Followed,
    stream: Stream,
    start: int,
    take: Take,
    *,
    done: bool,
) -> bool:
    name = posixpath.join(followed.folder, f"{stream}.{start}".encode())
    missed = start - followed.at[stream]
    if missed > 0:
        take(stream, f"\n[... {missed} bytes were not kept while the host was away ...]\n".encode())
        followed.at[stream] = start
    moved = False
    try:
        async with opened(sftp, name, FXF_READ) as file:
            while data := await file.read_once(followed.at[stream] - start, _READ_BYTES):
                take(stream, data)
                followed.at[stream] += len(data)
                moved = True
    except asyncssh.SFTPNoSuchFile:
        # Dropped since it was listed; the next look says how much was missed.
        return False
    if done:
        await sftp.remove(name)
    return moved


async def _status(sftp: asyncssh.SFTPClient, followed: _Followed) -> int | None:
    try:
        async with opened(sftp, posixpath.join(followed.folder, b"status"), FXF_READ) as file:
            told = (await file.read_once(0, 16)).strip()
    except asyncssh.SFTPNoSuchFile:
        return None
    return int(told) if told.isdigit() else 255


def _starts(names: list[bytes], stream: Stream) -> list[int]:
    found = (name.rpartition(b".") for name in names)
    return sorted(int(at) for kind, _, at in found if kind == stream.encode() and at.isdigit())


async def _end(ask: Ask, followed: _Followed, label: str) -> None:
    try:
        await ask(_END, followed.shown, label)
    except FlotillaError as error:
        # It ends there by itself when its time is over.
        log.warning("job_not_ended", reason=error.message)


async def _forget(ask: Ask, label: str) -> None:
    try:
        await ask(FORGET, label)
    except FlotillaError as error:
        log.warning("job_output_left", reason=error.message)
