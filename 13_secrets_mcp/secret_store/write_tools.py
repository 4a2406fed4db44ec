"""Tools that make, change and destroy secrets."""

from typing import Annotated

from pydantic import Field

from flotilla import Context, Model, NotAllowed, Tool, destroys, writes
from flotilla.secret_text import HANDLE, SecretText
from secret_store.actor import Actor
from secret_store.cards import Description, SecretInfo, Tags
from secret_store.generation import Alphabet, Kind, Length, Recipe
from secret_store.keeper import Keeper, Notes
from secret_store.leases import Leases
from secret_store.paths import SecretPath
from secret_store.stamps import GivenTime

ExpectedVersion = Annotated[
    int,
    Field(ge=0, le=2**31 - 1, description="Refuse unless this is the newest version; 0: none."),
]


class Deleted(Model):
    """What was destroyed."""

    path: str
    version: int
    versions: int


class WriteTools:
    """security.secrets.generateSecret, writeSecret, rotateSecret, deleteSecret."""

    def __init__(self, keeper: Keeper, leases: Leases, *, from_chat: bool) -> None:
        self._keeper = keeper
        self._leases = leases
        self._from_chat = from_chat

    def tools(self) -> tuple[Tool, ...]:
        return (
            writes(
                "security.secrets.generateSecret", self.generate_secret, title="Generate a secret"
            ),
            writes(
                "security.secrets.writeSecret",
                self.write_secret,
                title="Write a secret",
                approval=True,
            ),
            writes(
                "security.secrets.rotateSecret",
                self.rotate_secret,
                title="Rotate a secret",
                approval=True,
            ),
            destroys("security.secrets.deleteSecret", self.delete_secret, title="Delete a secret"),
        )

    async def generate_secret(
        self,
        context: Context,
        path: SecretPath,
        kind: Kind = "password",
        length: Length | None = None,
        alphabet: Alphabet | None = None,
        description: Description = "",
        tags: Tags | None = None,
        expires_at: GivenTime | None = None,
    ) -> SecretInfo:
        """Make a new secret with a random value, which nobody is shown; refused if it exists.

        Kinds: password, hex, base64, uuid, and the key pairs ed25519 and rsa, whose publicKey is
        returned. Nobody can use it until a person has allowed a tool or a service to.
        """
        recipe = Recipe(kind=kind, length=length, alphabet=alphabet)
        notes = Notes(description=description, tags=tags, expires_at=expires_at)
        actor = Actor.calling(context, "generateSecret")
        return await self._keeper.generate(actor, path, recipe, notes)

    async def write_secret(
        self,
        context: Context,
        path: SecretPath,
        value: SecretText,
        description: Description | None = None,
        tags: Tags | None = None,
        expires_at: GivenTime | None = None,
        expected_version: ExpectedVersion | None = None,
    ) -> SecretInfo:
        """Write a secret as a new version, from a handle that was leased for this tool.

        A value that stands in the conversation is refused, because it is a secret no more: a person
        writes one with `python3 -m flotilla secrets write`, generateSecret makes one that nobody
        sees. Who may use the secret stays as it was; its expiry is the one given here, or none.
        """
        actor = Actor.calling(context, "writeSecret")
        notes = Notes(description=description, tags=tags, expires_at=expires_at)
        told = await self._told(value, actor)
        return await self._keeper.write(actor, path, told, notes, expected=expected_version)

    async def rotate_secret(
        self,
        context: Context,
        path: SecretPath,
        kind: Kind | None = None,
        length: Length | None = None,
        alphabet: Alphabet | None = None,
        expected_version: ExpectedVersion | None = None,
    ) -> SecretInfo:
        """Give a secret a new random value as its next version, made as the last one was.

        One that was written by somebody needs kind. The version before can still be leased by its
        number, so that what uses it can be moved over; then nothing else holds it back but
        deleteSecret. Services get the new value within a minute.
        """
        given = kind is not None or length is not None or alphabet is not None
        recipe = Recipe(kind=kind or "password", length=length, alphabet=alphabet)
        actor = Actor.calling(context, "rotateSecret")
        return await self._keeper.rotate(
            actor, path, recipe if given else None, expected=expected_version
        )

    async def delete_secret(
        self,
        context: Context,
        path: SecretPath,
        expected_version: ExpectedVersion | None = None,
    ) -> Deleted:
        """Destroy all versions of a secret, its rules and its leases; not to be undone."""
        actor = Actor.calling(context, "deleteSecret")
        kept = await self._keeper.delete(actor, path, expected=expected_version)
        return Deleted(path=kept.path, version=kept.version, versions=kept.versions)

    async def _told(self, value: str, actor: Actor) -> str:
        """The value that may be written: that of a handle, or any where policy allows it."""
        if value.startswith(HANDLE):
            resolved = await self._leases.resolve(value, tool=actor.tool, principal=actor.principal)
            return resolved.value
        # The hub puts the value in the place of a handle on the way, and has just asked us for it.
        if self._from_chat or await self._leases.was_resolved(
            value, principal=actor.principal, tool=actor.tool
        ):
            return value
        raise NotAllowed(
            "a value that stands in the conversation is not taken",
            hint="A person writes it with `python3 -m flotilla secrets write`, or generateSecret "
            "makes one that nobody sees. SECRETS_WRITE_FROM_CHAT=on allows it.",
            details={"reason": "value_in_conversation"},
        )
