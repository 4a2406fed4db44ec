"""The SFTP session of a pooled connection, and what its errors mean."""

from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager

import asyncssh

from flotilla import (
    Conflict,
    FlotillaError,
    InvalidArgument,
    NotAllowed,
    NotConfigured,
    NotFound,
    Unavailable,
    UpstreamError,
)
from linux_cli.ssh.connecting import told
from linux_cli.ssh.pool import FileSession, Link, Live
from linux_cli.ssh.session import told_by_host


@asynccontextmanager
async def file_session(link: Link) -> AsyncGenerator[asyncssh.SFTPClient]:
    """The host's files, with paths as bytes; NotConfigured where it offers no SFTP.

    A call that is cancelled leaves the session to those that use it: the server answers in turn,
    and may be held by the very request that nobody waits for any more.
    """
    async with link.use() as live:
        files = await _files(link, live)
        files.users += 1
        whole = False
        try:
            yield files.client
            whole = True
        except FlotillaError as error:
            # The session itself is as good as before, unless the host is away.
            whole = not isinstance(error, Unavailable)
            raise
        finally:
            files.users -= 1
            if not whole:
                _set_aside(live, files)
                # Cancelled or broken: where the host answers no more, the next call shall not wait
                # for the same connection.
                link.retire(live)
            _left(live, files)


async def _files(link: Link, live: Live) -> FileSession:
    async with live.opening_files:
        if live.files is None:
            await live.sessions.acquire()
            try:
                client = await live.connection.start_sftp_client(path_encoding=None)
            except BaseException as error:
                live.sessions.release()
                if isinstance(error, (asyncssh.Error, OSError)):
                    raise _no_files(link, live, error) from None
                raise
            live.files = FileSession(client)
        return live.files


def _no_files(link: Link, live: Live, error: Exception) -> Exception:
    if isinstance(error, asyncssh.ChannelOpenError | asyncssh.SFTPError) and not (
        live.stale or live.connection.is_closed()
    ):
        return NotConfigured(
            f"host {link.alias!r} opens no session for files (SFTP)",
            hint="Its sshd_config needs `Subsystem sftp internal-sftp`, and room in MaxSessions.",
        )
    link.retire(live)
    return told(link.alias, link.entry, error)


def _set_aside(live: Live, files: FileSession) -> None:
    files.stale = True
    if live.files is files:
        live.files = None


def _left(live: Live, files: FileSession) -> None:
    if files.stale and not files.users:
        files.client.exit()
        live.sessions.release()


@contextmanager
def file_errors(alias: str, path: str) -> Generator[None]:
    """Turns SFTP's errors about `path` into ours."""
    try:
        yield
    except asyncssh.SFTPError as error:
        raise _translated(alias, path, error) from None
    except (asyncssh.Error, OSError):
        raise Unavailable(
            f"the connection to host {alias!r} broke",
            details={"reason": "connection_lost"},
        ) from None


def _translated(alias: str, path: str, error: asyncssh.SFTPError) -> FlotillaError:
    match error:
        case asyncssh.SFTPNoSuchFile() | asyncssh.SFTPNoSuchPath():
            return NotFound(f"there is no {path!r} on {alias}")
        case asyncssh.SFTPPermissionDenied() | asyncssh.SFTPWriteProtect():
            return NotAllowed(f"host {alias!r} does not permit access to {path!r}")
        case asyncssh.SFTPFileAlreadyExists():
            return Conflict(f"{path!r} exists already on {alias}")
        case asyncssh.SFTPNoConnection() | asyncssh.SFTPConnectionLost():
            return Unavailable(
                f"the connection to host {alias!r} broke", details={"reason": "connection_lost"}
            )
        case asyncssh.SFTPOpUnsupported():
            return NotConfigured(
                f"the SFTP server of host {alias!r} lacks an operation that this needs"
            )
        case asyncssh.SFTPBadMessage() | asyncssh.SFTPNotADirectory():
            return InvalidArgument(f"{path!r}: {told_by_host(error.reason)}")
        case _:
            # SFTP version 3 knows no finer reasons; a full disk is a failure like any other.
            return UpstreamError(f"{path!r} on {alias}: {told_by_host(error.reason) or 'failure'}")
