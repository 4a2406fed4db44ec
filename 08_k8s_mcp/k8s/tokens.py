"""Bearer tokens from where they may change: a file, a stored secret, an exec plugin."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic

from flotilla.context import Deadline
from flotilla.credentials import Credentials
from flotilla.errors import NotConfigured

REREAD_S = 10.0
"""A service account's token file is written anew long before the token in it ends."""
MAX_TOKEN_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class Fixed:
    """A token that stands in a kubeconfig."""

    value: str = field(repr=False)

    async def token(self, due: Deadline) -> str:
        del due
        return self.value

    def stale(self) -> None:
        return


class FromFile:
    """A token in a file that somebody else keeps fresh."""

    def __init__(self, file: Path, clock: Callable[[], float] = monotonic) -> None:
        self._file = file
        self._clock = clock
        self._value = ""
        self._read_at = float("-inf")

    async def token(self, due: Deadline) -> str:
        del due
        if self._clock() - self._read_at > REREAD_S:
            self._value = await asyncio.to_thread(token_in, self._file)
            self._read_at = self._clock()
        return self._value

    def stale(self) -> None:
        self._read_at = float("-inf")


@dataclass(frozen=True, slots=True)
class FromSecret:
    """A stored secret, which the hub brings and brings again when it is another."""

    name: str
    credentials: Credentials = field(repr=False)

    async def token(self, due: Deadline) -> str:
        del due
        return self.credentials.get(self.name).strip()

    def stale(self) -> None:
        return


def token_in(file: Path) -> str:
    """The token that a file holds; NotConfigured where it cannot be one."""
    try:
        with file.open("rb") as opened:
            raw = opened.read(MAX_TOKEN_BYTES + 1)
    except OSError as error:
        raise NotConfigured(f"cannot read the token file {file}: {error.strerror}") from None
    text = raw.decode("ascii", errors="replace").strip()
    if not text or len(raw) > MAX_TOKEN_BYTES or any(c.isspace() or c == "\ufffd" for c in text):
        raise NotConfigured(f"the token file {file} holds no token")
    return text
