"""The tool that shows a value, which is there only where an operator wants it."""

from typing import Annotated

from pydantic import Field

from flotilla import Context, Model, Tool, writes
from secret_store.actor import Actor
from secret_store.paths import SecretPath
from secret_store.using import Using


class Revealed(Model):
    """A value; where it looks like a key or token, or is in use, the fleet still withholds it."""

    path: str
    version: int
    value: str


class RevealTools:
    """security.secrets.revealSecret."""

    def __init__(self, using: Using) -> None:
        self._using = using

    def tools(self) -> tuple[Tool, ...]:
        return (
            writes(
                "security.secrets.revealSecret",
                self.reveal_secret,
                title="Reveal a secret",
                approval=True,
                risk="The value becomes part of the conversation and of whatever keeps it.",
            ),
        )

    async def reveal_secret(
        self,
        context: Context,
        path: SecretPath,
        version: Annotated[int | None, Field(ge=1, le=2**31 - 1)] = None,
    ) -> Revealed:
        """Put the value of a secret into the conversation, where it is a secret no more.

        The secret must allow security.secrets.revealSecret. Prefer leaseSecret, which needs nobody
        to see it; rotate the secret afterwards.
        """
        actor = Actor.calling(context, "revealSecret")
        taken = await self._using.take(actor, "revealed", [path], version, quietly=False)
        value = taken[path]
        return Revealed(path=path, version=value.version, value=value.text)
