"""The seam of lasting state: one hub alone keeps it in files, several share it in PostgreSQL."""

from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any, Protocol


@dataclass(frozen=True, slots=True)
class Document:
    """What was saved last under a name; one that never was is empty and has no version."""

    body: Mapping[str, Any]
    """JSON that nobody changes in place."""
    version: str | None
    """Another one for another body; to be compared for equality alone."""


class Documents(Protocol):
    """JSON objects by name, each saved whole, by whoever saw its newest version.

    Every method raises Unavailable while the store is away, and Misconfigured where it holds what
    is none of ours or refuses us for good.
    """

    def at_hand(self, name: str) -> Document | None:
        """The document where it can be had without waiting, None where `load` must be awaited."""
        ...

    async def load(self, name: str) -> Document: ...

    async def version(self, name: str) -> str | None:
        """That of the newest document of the name, as `load` would tell it."""
        ...

    async def save(self, name: str, body: Mapping[str, Any], version: str | None) -> str:
        """Replace the document whose version was `version`, for good; tells the new version.

        Conflict where somebody else saved since. After Unavailable it may or may not be saved.
        """
        ...

    @property
    def secrets(self) -> tuple[str, ...]:
        """What must never be read outside: the password of the store."""
        ...

    def where(self, name: str) -> str:
        """Where the document is, in words for the person who must mend it."""
        ...

    def running(self) -> AbstractAsyncContextManager[None]:
        """Open within; never waits for a store that is away."""
        ...
