"""The seam behind which values are kept: the embedded store, or a Vault. One contract suite runs
over every implementation (tests/13_secrets_mcp/test_backend_contract.py).

A backend knows paths, versions and values, and no rules: who may use a secret, leases and the trail
are the spoke's own, in its own database, whatever the backend.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Protocol

from sqlalchemy.ext.asyncio import AsyncConnection

from flotilla import FlotillaError
from secret_store.stamps import Time

MAX_VALUE_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class Value:
    """A secret itself; it never prints."""

    text: str = field(repr=False)
    version: int


@dataclass(frozen=True, slots=True)
class Broken:
    """A value that is there and does not open."""

    path: str
    version: int
    reason: str = "seal_broken"
    why: str = "it was changed or moved in the store"
    hint: str = "Write the secret again, or restore the store from a backup."


Found = Value | Broken | None


@dataclass(frozen=True, slots=True)
class Kept:
    """What is known of a secret that is there; `version` is the newest, `versions` how many are."""

    path: str
    version: int
    versions: int
    created_at: Time
    updated_at: Time


@dataclass(frozen=True, slots=True)
class VersionKept:
    number: int
    created_at: Time


@dataclass(frozen=True, slots=True)
class Wanted:
    """A value that is asked for; `version` None means the newest."""

    path: str
    version: int | None = None


Learn = Callable[[Sequence[str]], None]
"""Told every value that leaves the store, so that this process never says it."""


def whole(found: Found) -> Value | None:
    """The value, if it is there; an error with the reason, where it does not open."""
    if isinstance(found, Broken):
        raise FlotillaError(
            f"version {found.version} of {found.path} does not open: {found.why}",
            hint=found.hint,
            details={"reason": found.reason},
        )
    return found


class Backend(Protocol):
    """Keeps values. Paths have been checked; errors are FlotillaErrors and quote no value.

    `transaction` is the open write transaction of the spoke's own database, which also holds the
    trail of the act. The embedded backend writes in it, so that both are one. A remote one ignores
    it: its write must be durable when it returns, and bounded, since other writes wait meanwhile.
    """

    def opened(self) -> AbstractAsyncContextManager[None]:
        """Open as long as the spoke runs; what is away is tried again later."""
        ...

    async def ready(self) -> str | None:
        """Why no value can be read just now, or None."""
        ...

    async def get(self, wanted: Sequence[Wanted]) -> Sequence[Found]:
        """The values in the order asked for; None for each that is not there."""
        ...

    async def put(
        self, path: str, value: str, *, expected: int | None, transaction: AsyncConnection
    ) -> Kept:
        """Add a version; Conflict unless the newest is `expected` (0: there must be none).

        Versions count up and no number comes twice, also not after a deletion. The oldest beyond
        the bound are destroyed.
        """
        ...

    async def delete(self, path: str, *, transaction: AsyncConnection) -> None:
        """Destroy all versions; nothing happens where there are none."""
        ...

    async def metadata(self, path: str) -> Kept | None: ...

    async def versions(self, path: str) -> Sequence[VersionKept]:
        """Those that can be read, the newest first; none where there is no such secret."""
        ...

    async def list(self, prefix: str, after: str, limit: int) -> Sequence[Kept]:
        """The secrets whose path begins with `prefix` and sorts after `after`, in byte order."""
        ...
