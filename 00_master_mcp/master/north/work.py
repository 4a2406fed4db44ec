"""A request while it is answered, in the very task that serves it, and what may end it early."""

import asyncio
from collections.abc import Awaitable, Callable
from types import TracebackType

WATCH_AFTER_S = 0.02
"""Most requests are answered by then and need nobody to look out for their client."""


class Work:
    """`stop` ends what runs inside the `with`, from another task; afterwards it does nothing.

    With `gone`, which returns once the client has closed the connection, that ends it too.
    """

    def __init__(self, gone: Callable[[], Awaitable[None]] | None = None) -> None:
        self.stopped = False
        self._gone = gone
        self._task: asyncio.Task[object] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._watching: asyncio.Task[None] | None = None

    def __enter__(self) -> "Work":
        self._task = asyncio.current_task()
        if self._gone is not None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(WATCH_AFTER_S, self._look_out)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool:
        task, self._task = self._task, None
        if self._timer is not None:
            self._timer.cancel()
        if self._watching is not None:
            self._watching.cancel()
        if not self.stopped or task is None:
            return False
        # Ours alone: when somebody else cancels the task too, that one goes on.
        return task.uncancel() == 0 and isinstance(error, asyncio.CancelledError)

    def stop(self) -> None:
        if self._task is not None and not self.stopped:
            self.stopped = True
            self._task.cancel()

    def _look_out(self) -> None:
        self._watching = asyncio.create_task(self._until_gone())

    async def _until_gone(self) -> None:
        if self._gone is not None:
            await self._gone()
            self.stop()
