"""Asks a host by a small script, and takes what it prints as the answer."""

from collections.abc import Mapping

from flotilla import TimedOut, TooLarge
from linux_cli.host import Order, Stream
from linux_cli.ssh.pool import Link
from linux_cli.ssh.session import run_program

ASK_S = 20.0
_MAX_ANSWER = 64 * 1024 * 1024


class Ask:
    """The questions to one host."""

    def __init__(self, link: Link, *, path: str) -> None:
        self._link = link
        self._path = path

    async def __call__(
        self,
        script: str,
        *arguments: str,
        timeout_s: float = ASK_S,
        whole: bool = True,
        cwd: str | None = "/",
        env: Mapping[str, str] | None = None,
        stdin: bytes | None = None,
        label: str | None = None,
    ) -> bytes:
        """What `sh -c script sh arguments` prints; with `whole`, a part of it is an error."""
        said = bytearray()
        overflow = False

        def take(stream: Stream, data: bytes) -> None:
            nonlocal overflow
            if stream == "stdout":
                room = _MAX_ANSWER - len(said)
                overflow = overflow or len(data) > room
                said.extend(data[:room])

        order = Order(
            argv=("/bin/sh", "-c", script, "sh", *arguments),
            timeout_s=timeout_s,
            cwd=cwd,
            env=env or {},
            stdin=stdin,
            label=label,
        )
        ended = await run_program(self._link, order, take, path=self._path)
        if whole and overflow:
            raise TooLarge(
                f"the answer of host {self._link.alias!r} has more than {_MAX_ANSWER} bytes"
            )
        if whole and ended.timed_out:
            raise TimedOut(f"host {self._link.alias!r} did not answer within {timeout_s:.0f} s")
        return bytes(said)
