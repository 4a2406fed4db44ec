"""One program on a host elsewhere, from start to end, over a channel of the pooled connection."""

import secrets
import signal
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from time import monotonic
from typing import Any

import anyio
import asyncssh
from asyncssh.constants import EXTENDED_DATA_STDERR

from flotilla import (
    FlotillaError,
    InvalidArgument,
    NotAllowed,
    NotConfigured,
    NotFound,
    RateLimited,
    Unavailable,
    UpstreamError,
)
from flotilla.outlast import outlast
from linux_cli.host import Ended, Order, Stream, Take
from linux_cli.ssh import scripts
from linux_cli.ssh.connecting import told
from linux_cli.ssh.pool import Link, Live

_STARTED_S = 20.0
"""A login shell may be slow to start."""
_END_S = 5.0
"""The watcher on the host gives a program a second, then kills it."""
_DRAIN_S = 0.5
"""How long output may still come once the program has ended."""
_LAST_OUTPUT_S = 5.0
_CLOSE_S = 2.0
_OPEN_S, _RETRY_OPEN_S = 3.0, 0.05
_RETRY_AFTER_MS = 1000
_MAX_NOISE = 64 * 1024
"""What a login shell may say before our script begins."""
_MAX_TOLD = 300
_WINDOW_BYTES = 1024 * 1024


class _Channel(asyncssh.SSHClientSession[bytes]):
    """Feeds what comes after the mark to `take`, as it comes."""

    def __init__(self, mark: str, take: Take) -> None:
        self._mark = b"\n" + mark.encode() + b" "
        self._take = take
        self._noise: dict[Stream, bytearray] = {"stdout": bytearray(), "stderr": bytearray()}
        self._open: set[Stream] = set()
        self.state: str | None = None
        self.status: int | None = None
        self.signal: str | None = None
        self.started = anyio.Event()
        self.exited = anyio.Event()
        self.drained = anyio.Event()

    def data_received(self, data: bytes, datatype: int | None) -> None:
        stream: Stream = "stderr" if datatype == EXTENDED_DATA_STDERR else "stdout"
        if stream in self._open:
            self._take(stream, data)
            return
        noise = self._noise[stream]
        noise += data
        at = noise.find(self._mark)
        end = noise.find(b"\n", at + 1) if at >= 0 else -1
        if end < 0:
            # The mark is looked for where it can still come; the rest is not kept.
            if len(noise) - max(at, 0) > _MAX_NOISE:
                del noise[: -len(self._mark)]
            return
        said = bytes(noise[at + len(self._mark) : end]).decode("ascii", "replace")
        rest = bytes(noise[end + 1 :])
        noise.clear()
        self._open.add(stream)
        if stream == "stdout":
            self.state = said
            self.started.set()
        if rest:
            self._take(stream, rest)

    def exit_status_received(self, status: int) -> None:
        self.status = status
        self._ended()

    def exit_signal_received(self, signal: str, core_dumped: bool, msg: str, lang: str) -> None:
        del core_dumped, msg, lang
        self.signal = signal
        self._ended()

    def eof_received(self) -> bool:
        self.drained.set()
        # Our side stays open: its end tells the watcher to end a program, and one that has closed
        # its output, or is within its exit and has no files any more, has not ended.
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        self._ended()
        self.drained.set()

    def _ended(self) -> None:
        self.started.set()
        self.exited.set()

    @property
    def noise(self) -> str:
        """What was said in place of the mark."""
        return (bytes(self._noise["stdout"]) + bytes(self._noise["stderr"])).decode(
            errors="replace"
        )


async def run_program(link: Link, order: Order, take: Take, *, path: str) -> Ended:
    """Run it to its end, or have the host end it and its descendants.

    That happens at the timeout, on cancellation, and by the host alone when the connection breaks.
    """
    mark = secrets.token_hex(16)
    label = order.label or secrets.token_hex(16)
    script = scripts.run_script(
        order.argv,
        env=order.env,
        path=path,
        cwd=order.cwd,
        mark=mark,
        label=label,
        input_bytes=None if order.stdin is None else len(order.stdin),
    )
    began = monotonic()
    async with _channel_of(link, mark, take) as (live, opened, channel):
        # A host that gives no shell may have ended it already, and then says why.
        with suppress(OSError):
            opened.write(script + (order.stdin or b""))
        try:
            timed_out = await _ended(link, opened, channel, order)
        finally:
            if not channel.exited.is_set():
                # It answers no more: the next call shall not wait for the same connection.
                link.retire(live)
    code, name = _outcome(link, channel)
    return Ended(code, name, timed_out, monotonic() - began)


@asynccontextmanager
async def _channel_of(
    link: Link, mark: str, take: Take
) -> AsyncGenerator[tuple[Live, Any, _Channel]]:
    """A session of the host with nothing sent yet; it is closed, and the place free, afterwards."""
    async with AsyncExitStack() as stack:
        live = await stack.enter_async_context(link.session())
        channel = _Channel(mark, take)
        try:
            opened = await _opened(link, live, channel)
        except Unavailable:
            # It broke while nobody looked. Nothing was sent, so another is as good.
            await stack.aclose()
            live = await stack.enter_async_context(link.session())
            channel = _Channel(mark, take)
            opened = await _opened(link, live, channel)
        try:
            yield live, opened, channel
        finally:
            opened.close()
            with anyio.move_on_after(_CLOSE_S, shield=True):
                await opened.wait_closed()


def told_by_host(text: str) -> str:
    """What a host says of itself, short and without anything that is not plainly readable."""
    plain = "".join(one if one.isascii() and one.isprintable() else " " for one in text)
    return " ".join(plain.split())[:_MAX_TOLD]


async def _opened(link: Link, live: Live, channel: _Channel) -> Any:
    connection: Any = live.connection
    give_up_at = monotonic() + _OPEN_S
    try:
        while True:
            try:
                opened, _ = await connection.create_session(
                    lambda: channel,
                    scripts.BOOTSTRAP,
                    encoding=None,
                    window=_WINDOW_BYTES,
                    request_pty=False,
                    # None of the variables that the library or the user would send along.
                    env=None,
                    send_env=None,
                )
            except asyncssh.ChannelOpenError:
                # The host counts a session for a moment longer than we do.
                if monotonic() > give_up_at or live.stale or live.connection.is_closed():
                    raise
                await anyio.sleep(_RETRY_OPEN_S)
            else:
                return opened
    except asyncssh.ChannelOpenError:
        if live.stale or live.connection.is_closed():
            link.retire(live)
            raise _lost(link) from None
        raise RateLimited(
            f"host {link.alias!r} opens no further session",
            retry_after_ms=_RETRY_AFTER_MS,
            hint="Set max_sessions of the host in hosts.yaml to sshd's MaxSessions or below.",
        ) from None
    except (asyncssh.Error, OSError) as error:
        link.retire(live)
        raise told(link.alias, link.entry, error) from None


async def _ended(link: Link, opened: Any, channel: _Channel, order: Order) -> bool:
    """Whether its time was over; on return it has ended, and all that it wrote has been taken."""
    try:
        timed_out = await _waited(link, channel, order)
    finally:
        # Also the way of a cancellation: it goes on only when nothing runs any more.
        if not channel.exited.is_set():
            await outlast(_end(opened, channel))
    if not channel.exited.is_set():
        raise Unavailable(
            f"host {link.alias!r} was told to end the program, and does not answer",
            hint="It ends there once the host sees that the connection is closed.",
        )
    with anyio.move_on_after(_DRAIN_S):
        await channel.drained.wait()
    return timed_out


async def _waited(link: Link, channel: _Channel, order: Order) -> bool:
    """Whether its time was over before it ended."""
    with anyio.move_on_after(min(_STARTED_S, order.timeout_s)) as starting:
        await channel.started.wait()
    if starting.cancelled_caught and order.timeout_s > _STARTED_S:
        raise Unavailable(
            f"host {link.alias!r} did not start the program within {_STARTED_S:.0f} s"
        )
    if channel.state is None and channel.exited.is_set():
        # sshd may tell of the end before it has read all that the program wrote.
        with anyio.move_on_after(_LAST_OUTPUT_S):
            await channel.drained.wait()
    _check_started(link, channel, order)
    with anyio.move_on_after(order.timeout_s) as scope:
        await channel.exited.wait()
    return scope.cancelled_caught and not channel.exited.is_set()


async def _end(opened: Any, channel: _Channel) -> None:
    """Close the program's line, so that its watcher on the host ends it; bounded in time."""
    with suppress(OSError):
        opened.write_eof()
    with anyio.move_on_after(_END_S):
        await channel.exited.wait()


def _check_started(link: Link, channel: _Channel, order: Order) -> None:
    program = order.argv[0]
    match channel.state:
        case "go":
            return
        case "program":
            raise NotFound(f"there is no program {program!r} on {link.alias}")
        case "denied":
            raise NotAllowed(f"{program!r} may not be run on {link.alias}")
        case "folder":
            raise InvalidArgument(f"cwd {order.cwd!r} is not a folder that can be entered")
        case str(state) if state in scripts.FAILURES:
            raise NotConfigured(
                f"host {link.alias!r} cannot run programs for us: {scripts.FAILURES[state]}"
            )
        case _ if channel.exited.is_set():
            raise _not_started(link, channel)
        case _:
            # Its time is over before it began.
            return


def _not_started(link: Link, channel: _Channel) -> FlotillaError:
    if channel.status is None and channel.signal is None:
        return _lost(link)
    said = told_by_host(channel.noise)
    return UpstreamError(
        f"host {link.alias!r} gives user {link.entry.user!r} no POSIX shell"
        + (f"; it says: {said}" if said else ""),
        hint="The user needs a login shell, and sshd no ForceCommand for it.",
    )


def _lost(link: Link) -> FlotillaError:
    return Unavailable(
        f"the connection to host {link.alias!r} broke while the program ran",
        hint="The host ends the program by itself; what it had done so far is done.",
        details={"reason": "connection_lost"},
    )


def _outcome(link: Link, channel: _Channel) -> tuple[int, str | None]:
    if channel.signal is not None:
        name = f"SIG{channel.signal}"
        number = getattr(signal, name, None)
        return (128 + number if number else 255), name
    if channel.status is None:
        raise _lost(link)
    return channel.status, None
