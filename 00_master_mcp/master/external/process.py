"""What the hub needs of a started server, wherever that runs, and of what starts it."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol

from typing_extensions import override

from flotilla import Unavailable
from master.external.child import Exit
from master.external.config import ServerEntry
from master.external.lines import TooLong
from master.external.sandbox import Protection
from master.upstream.incoming import Scrub


class StarterAway(Unavailable):
    """What starts programs cannot be reached: no fault of the program, which waits for it."""


@dataclass(frozen=True, slots=True)
class Lost(Exit):
    """How a server ended with whom the connection was lost: it is ended where it runs."""

    @property
    @override
    def reason(self) -> str:
        return self.last_words


class Process(Protocol):
    """A started server: lines out, lines in, and how it ended.

    `lines` is read by one task; `write` may be called by many.
    """

    too_long: Callable[[TooLong], None] | None
    """Hears of lines that `lines` leaves out because they are too long."""

    @property
    def pid(self) -> int:
        """The process that all of the server's are below, as numbered where it runs."""
        ...

    @property
    def protection(self) -> Protection: ...

    @property
    def exited(self) -> bool: ...

    @property
    def silent(self) -> bool:
        """Whether its standard output has ended."""
        ...

    def lines(self) -> AsyncIterator[bytes]:
        """Whole lines of its standard output, without line breaks, until that ends."""
        ...

    async def write(self, line: bytes) -> None:
        """Send a line, which gets its line break where the program runs.

        Waits a while for a server that does not read, then TimedOut, and nothing of the line is
        sent; Unavailable when it has ended.
        """
        ...

    async def wait(self) -> Exit:
        """Return when it has ended by itself or was ended; Lost when nobody knows how."""
        ...

    async def end(self) -> Exit:
        """End it and everything that it started; a cancellation is passed on afterwards."""
        ...


@dataclass(frozen=True, slots=True)
class Started:
    """A running server, and what takes its secrets out of its messages where nobody did."""

    process: Process
    scrub: Scrub | None


class Starter(Protocol):
    """Starts servers: beside the hub, or in a runner."""

    def open(self, name: str, entry: ServerEntry) -> AbstractAsyncContextManager[Started]:
        """The server runs within; at the end it is gone with everything that it started.

        NotConfigured when something is missing, StarterAway when nobody can say, Unavailable when
        it cannot be fetched or started.
        """
        ...
