"""The sessions that there are: opened for somebody, found again for the same, closed in time."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from flotilla import Context
from web_browsing.browser.session import Session


class Sessions:
    """Of all principals; each sees its own alone."""

    @asynccontextmanager
    async def acting(self, session_id: str, context: Context) -> AsyncGenerator[Session]:
        """The caller's session, its lock held until the end, within the caller's deadline.

        Raises NotFound where there is none or it is another's (the same words), Conflict where
        something else is still being done in it when the deadline comes.
        """
        raise NotImplementedError
        yield

    @asynccontextmanager
    async def looking(self, session_id: str, context: Context) -> AsyncGenerator[Session]:
        """The same without the lock, for what only looks."""
        raise NotImplementedError
        yield

    async def rendered(self, url: str, context: Context) -> "tuple[str, str]":
        """Open a page in a context of its own, wait until it rests: its HTML and its URL then.

        Every request of it but GET and HEAD is refused. For fetchPage.
        """
        raise NotImplementedError
