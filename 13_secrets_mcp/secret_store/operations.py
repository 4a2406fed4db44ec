"""What the hub asks for itself, and what the owner of the fleet has done, outside MCP."""

from typing import Annotated

from pydantic import Field

from flotilla import Cursor, Limit, Model, Page
from flotilla.operations import HUB_ROLE, OWNER_ROLE, Operation
from secret_store.actor import Actor
from secret_store.cards import Description, SecretInfo, Tag, Tags
from secret_store.generation import Alphabet, Kind, Length, Recipe
from secret_store.giving import Credentials, Giving, Released
from secret_store.keeper import Keeper, Notes
from secret_store.leases import Leases, LeaseShown, Resolved
from secret_store.paths import Prefix, SecretPath
from secret_store.read_tools import Metadata, ReadTools, VersionShown, shown_version
from secret_store.rewrapping import Rewrapped, Rewrapping
from secret_store.rules import Rules
from secret_store.stamps import GivenTime
from secret_store.trail import Trail, Verified
from secret_store.write_tools import Deleted, ExpectedVersion


class Resolve(Model):
    handle: str = Field(max_length=200)
    tool: str = Field(max_length=200)
    principal: str = Field(max_length=1000)


class GiveCredentials(Model):
    service: str = Field(min_length=1, max_length=100)
    names: list[Annotated[str, Field(max_length=300)]] = Field(max_length=200)


class Nothing(Model):
    pass


class OfPath(Model):
    path: SecretPath


class Write(OfPath):
    value: str = Field(min_length=1, max_length=65_536, repr=False)
    description: Description | None = None
    tags: Tags | None = None
    expires_at: GivenTime | None = None
    allow: Rules | None = None
    """Who may use it from now on; None leaves that as it was."""
    expected_version: ExpectedVersion | None = None


class Generate(OfPath):
    kind: Kind = "password"
    length: Length | None = None
    alphabet: Alphabet | None = None
    description: Description = ""
    tags: Tags | None = None
    expires_at: GivenTime | None = None
    allow: Rules | None = None


class Rotate(OfPath):
    kind: Kind | None = None
    length: Length | None = None
    alphabet: Alphabet | None = None
    expected_version: ExpectedVersion | None = None


class Allow(OfPath):
    allow: Rules = Rules()
    revoke: Rules = Rules()
    expires_at: GivenTime | None = None


class Delete(OfPath):
    expected_version: ExpectedVersion | None = None


class ListAsked(Model):
    prefix: Prefix = ""
    tag: Tag | None = None
    limit: Limit = 50
    cursor: Cursor = None


class LeasesAsked(Model):
    path: SecretPath | None = None
    live_only: bool = True
    limit: Limit = 50
    cursor: Cursor = None


class Revoke(Model):
    lease: str = Field(min_length=1, max_length=64)


class Rewrap(Model):
    new_master_key: bool = False
    values: bool = False


class Versions(Model):
    path: str
    versions: list[VersionShown]


class HubOperations:
    """resolve, credentials, released."""

    def __init__(self, leases: Leases, giving: Giving) -> None:
        self._leases = leases
        self._giving = giving

    def operations(self) -> tuple[Operation, ...]:
        return (
            Operation(name="resolve", takes=Resolve, run=self.resolve, role=HUB_ROLE),
            Operation(
                name="credentials", takes=GiveCredentials, run=self.credentials, role=HUB_ROLE
            ),
            Operation(name="released", takes=Nothing, run=self.released, role=HUB_ROLE),
        )

    async def resolve(self, asked: Resolve) -> Resolved:
        return await self._leases.resolve(asked.handle, tool=asked.tool, principal=asked.principal)

    async def credentials(self, asked: GiveCredentials) -> Credentials:
        return await self._giving.credentials(asked.service, asked.names)

    async def released(self, asked: Nothing) -> Released:
        del asked
        return await self._giving.released()


class OwnerOperations:
    """write, generate, rotate, allow, delete, list, show, versions, leases, revoke, rewrap, verify.

    None of them shows a value.
    """

    def __init__(
        self,
        keeper: Keeper,
        leases: Leases,
        reading: ReadTools,
        rewrapping: Rewrapping,
        trail: Trail,
    ) -> None:
        self._keeper = keeper
        self._leases = leases
        self._reading = reading
        self._rewrapping = rewrapping
        self._trail = trail

    def operations(self) -> tuple[Operation, ...]:
        wanted = (
            ("write", Write, self.write),
            ("generate", Generate, self.generate),
            ("rotate", Rotate, self.rotate),
            ("allow", Allow, self.allow),
            ("delete", Delete, self.delete),
            ("list", ListAsked, self.list),
            ("show", OfPath, self.show),
            ("versions", OfPath, self.versions),
            ("leases", LeasesAsked, self.leases),
            ("revoke", Revoke, self.revoke),
            ("rewrap", Rewrap, self.rewrap),
            ("verify", Nothing, self.verify),
        )
        return tuple(
            Operation(name=name, takes=takes, run=run, role=OWNER_ROLE)
            for name, takes, run in wanted
        )

    async def write(self, asked: Write) -> SecretInfo:
        notes = Notes(
            description=asked.description,
            tags=asked.tags,
            expires_at=asked.expires_at,
            rules=asked.allow,
        )
        return await self._keeper.write(
            Actor.owner("write"), asked.path, asked.value, notes, expected=asked.expected_version
        )

    async def generate(self, asked: Generate) -> SecretInfo:
        recipe = Recipe(kind=asked.kind, length=asked.length, alphabet=asked.alphabet)
        notes = Notes(
            description=asked.description,
            tags=asked.tags,
            expires_at=asked.expires_at,
            rules=asked.allow,
        )
        return await self._keeper.generate(Actor.owner("generate"), asked.path, recipe, notes)

    async def rotate(self, asked: Rotate) -> SecretInfo:
        given = asked.kind is not None or asked.length is not None or asked.alphabet is not None
        recipe = Recipe(kind=asked.kind or "password", length=asked.length, alphabet=asked.alphabet)
        return await self._keeper.rotate(
            Actor.owner("rotate"),
            asked.path,
            recipe if given else None,
            expected=asked.expected_version,
        )

    async def allow(self, asked: Allow) -> SecretInfo:
        return await self._keeper.allow(
            Actor.owner("allow"),
            asked.path,
            asked.allow,
            asked.revoke,
            expires_at=asked.expires_at,
        )

    async def delete(self, asked: Delete) -> Deleted:
        kept = await self._keeper.delete(
            Actor.owner("delete"), asked.path, expected=asked.expected_version
        )
        return Deleted(path=kept.path, version=kept.version, versions=kept.versions)

    async def list(self, asked: ListAsked) -> Page[SecretInfo]:
        return await self._keeper.page(
            prefix=asked.prefix, tag=asked.tag, limit=asked.limit, cursor=asked.cursor
        )

    async def show(self, asked: OfPath) -> Metadata:
        return await self._reading.get_metadata(asked.path)

    async def versions(self, asked: OfPath) -> Versions:
        kept = await self._keeper.versions(asked.path)
        return Versions(path=asked.path, versions=[shown_version(each) for each in kept])

    async def leases(self, asked: LeasesAsked) -> Page[LeaseShown]:
        return await self._leases.page(
            path=asked.path, live_only=asked.live_only, limit=asked.limit, cursor=asked.cursor
        )

    async def revoke(self, asked: Revoke) -> LeaseShown:
        return await self._leases.revoke(Actor.owner("revoke"), asked.lease)

    async def rewrap(self, asked: Rewrap) -> Rewrapped:
        return await self._rewrapping.rewrap(
            Actor.owner("rewrap"), new_master_key=asked.new_master_key, values=asked.values
        )

    async def verify(self, asked: Nothing) -> Verified:
        del asked
        return await self._trail.verify()
