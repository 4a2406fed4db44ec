"""How a call that waited came to its end."""

import time
from typing import Any, Literal

import anyio

State = Literal["unknown", "waiting", "cancelled", "finished"]


class Ending:
    """Made by whoever speaks of the call first: the call itself, or who asks about it."""

    def __init__(self) -> None:
        self.started = anyio.Event()
        self.ended = anyio.Event()
        self._since = 0.0
        self._how: State = "waiting"
        self._after_s = 0.0
        self._ended_at = 0.0

    def begin(self) -> None:
        self._since = time.monotonic()
        self.started.set()

    def end(self, how: State) -> None:
        self._how = how
        self._after_s = time.monotonic() - self._since
        self._ended_at = time.time()
        self.ended.set()

    def shown(self) -> dict[str, Any]:
        """The state, and once it has ended: after how many ms, and when in Unix seconds."""
        if not self.started.is_set():
            return {"state": "unknown"}
        if not self.ended.is_set():
            return {"state": "waiting"}
        return {
            "state": self._how,
            "afterMs": self._after_s * 1000,
            "endedAt": self._ended_at,
        }
