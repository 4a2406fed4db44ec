"""Tools that show what there is, and never a value."""

from typing import Annotated

from pydantic import Field

from flotilla import Cursor, Limit, Model, Page, Tool, reads
from secret_store.backend import VersionKept
from secret_store.cards import SecretInfo, Tag
from secret_store.keeper import Keeper
from secret_store.paths import Prefix, SecretPath, check_path
from secret_store.stamps import GivenTime, Time, read_time
from secret_store.trail import Act, Outcome, Trail, TrailEntry

PrincipalName = Annotated[str, Field(min_length=1, max_length=200)]


class VersionShown(Model):
    number: int
    created_at: Time


class Metadata(SecretInfo):
    """A secret without its value, with the versions that can be read, the newest first."""

    history: list[VersionShown]


class Existence(Model):
    """Whether the secret is there, and its newest version if it is."""

    exists: bool
    version: int | None = None


class ReadTools:
    """security.secrets.listSecrets, getMetadata, exists, queryAudit."""

    def __init__(self, keeper: Keeper, trail: Trail) -> None:
        self._keeper = keeper
        self._trail = trail

    def tools(self) -> tuple[Tool, ...]:
        return (
            reads("security.secrets.listSecrets", self.list_secrets, title="List secrets"),
            reads("security.secrets.getMetadata", self.get_metadata, title="Show a secret's data"),
            reads("security.secrets.exists", self.exists, title="Look whether a secret exists"),
            reads("security.secrets.queryAudit", self.query_audit, title="Show who used secrets"),
        )

    async def list_secrets(
        self,
        prefix: Prefix = "",
        tag: Tag | None = None,
        limit: Limit = 50,
        cursor: Cursor = None,
    ) -> Page[SecretInfo]:
        """List the secrets by path, with who may use each; never a value.

        To use one, lease it with leaseSecret for a tool among its usableBy.tools.
        """
        return await self._keeper.page(prefix=prefix, tag=tag, limit=limit, cursor=cursor)

    async def get_metadata(self, path: SecretPath) -> Metadata:
        """Show what is known of a secret: versions, expiry, public key, who may use it.

        The value is never shown.
        """
        info = await self._keeper.info(path)
        history = [shown_version(each) for each in await self._keeper.versions(path)]
        return Metadata(
            **{name: getattr(info, name) for name in SecretInfo.model_fields}, history=history
        )

    async def exists(self, path: SecretPath) -> Existence:
        """Tell whether there is a secret at that path."""
        kept = await self._keeper.kept(path)
        return Existence(exists=kept is not None, version=kept.version if kept else None)

    async def query_audit(
        self,
        path: SecretPath | None = None,
        principal: PrincipalName | None = None,
        act: Act | None = None,
        outcome: Outcome | None = None,
        since: GivenTime | None = None,
        until: GivenTime | None = None,
        limit: Limit = 50,
        cursor: Cursor = None,
    ) -> Page[TrailEntry]:
        """List who wrote, leased, used or was refused which secret when, newest first.

        Times are RFC 3339: since is included, until is not. Values are never in it.
        """
        if path is not None:
            check_path(path)
        return await self._trail.query(
            path=path,
            principal=principal,
            act=act,
            outcome=outcome,
            since=None if since is None else read_time(since, "since"),
            until=None if until is None else read_time(until, "until"),
            limit=limit,
            cursor=cursor,
        )


def shown_version(kept: VersionKept) -> VersionShown:
    return VersionShown(number=kept.number, created_at=kept.created_at)
