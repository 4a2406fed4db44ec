"""What a client shows at the door, once it is known, and the end of it while requests wait."""

import asyncio
import math
from dataclasses import dataclass, field

from starlette.types import Message, Receive

from flotilla.identity import Caller

FOR_EVER = math.inf


class BadBearer(Exception):
    """The token is not good here; the message is for whoever holds it."""


class NoRight(Exception):
    """The token is good, and gives no right here; `scope` is what it lacks, if that is it."""

    def __init__(self, message: str, scope: str | None = None) -> None:
        super().__init__(message)
        self.scope = scope


@dataclass(slots=True, eq=False)
class Credential:
    """A token that was found good, and whose it is.

    `until` is the second, since 1970, from which it counts no more. `mark` is what it is ended by:
    the ID of a token in the table, or the ID of the key that signed a JWT.
    """

    caller: Caller
    until: float = FOR_EVER
    mark: str = ""
    ended: bool = False
    """It was revoked, or ran out, and was told to those who wait."""
    _waiting: set[asyncio.Task[object]] = field(
        default_factory=set[asyncio.Task[object]], repr=False
    )

    def end(self) -> None:
        """From now on its open requests see their client gone: streams end, calls are cancelled."""
        self.ended = True
        for task in self._waiting:
            task.cancel()

    def watched(self, receive: Receive) -> Receive:
        """`receive` of a request of this credential, which yields a disconnect once it ends."""

        async def received() -> Message:
            if self.ended:
                return {"type": "http.disconnect"}
            task = asyncio.current_task()
            assert task is not None, "requests are served in tasks"
            cancelled_before = task.cancelling()
            self._waiting.add(task)
            try:
                return await receive()
            except asyncio.CancelledError:
                # As asyncio.timeout does it: a cancellation that is ours alone goes no further.
                if not self.ended or task.uncancel() > cancelled_before:
                    raise
                return {"type": "http.disconnect"}
            finally:
                self._waiting.discard(task)

        return received
