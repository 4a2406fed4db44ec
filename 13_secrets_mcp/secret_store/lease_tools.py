"""Tools that hand out handles and take them back."""

from typing import Annotated

from pydantic import Field

from flotilla import Context, Tool, writes
from secret_store.actor import Actor
from secret_store.leases import Lease, Leases, LeaseShown
from secret_store.paths import SecretPath

ToolName = Annotated[
    str,
    Field(
        min_length=1,
        max_length=128,
        pattern=r"^[A-Za-z0-9_.-]+$",
        description="The canonical name of the tool that will use it, say os.linux.runCommand.",
    ),
]
LeaseName = Annotated[
    str, Field(min_length=1, max_length=64, description="The leaseId, or the handle itself.")
]


class LeaseTools:
    """security.secrets.leaseSecret, revokeLease."""

    def __init__(self, leases: Leases) -> None:
        self._leases = leases

    def tools(self) -> tuple[Tool, ...]:
        return (
            writes("security.secrets.leaseSecret", self.lease_secret, title="Lease a secret"),
            writes(
                "security.secrets.revokeLease",
                self.revoke_lease,
                title="Revoke a lease",
                idempotent=True,
                approval=True,
            ),
        )

    async def lease_secret(
        self,
        context: Context,
        path: SecretPath,
        tool: ToolName,
        ttl_s: Annotated[int, Field(ge=1, le=3600, description="Seconds.")] = 300,
        uses: Annotated[int, Field(ge=1, le=100)] = 1,
        version: Annotated[int | None, Field(ge=1, le=2**31 - 1)] = None,
    ) -> Lease:
        """Get a handle, secret://..., which stands for a secret in a call of one tool by you.

        Pass it unchanged as an argument whose schema is marked x-flotilla-secret; the value is put
        in its place after the call has left you, and is kept out of every result. Refused unless a
        person has allowed that tool to use the secret. Without version the newest is meant.
        """
        actor = Actor.calling(context, "leaseSecret")
        return await self._leases.grant(
            actor, path, tool=tool, ttl_s=ttl_s, uses=uses, version=version
        )

    async def revoke_lease(self, context: Context, lease: LeaseName) -> LeaseShown:
        """End a lease before its time, by its leaseId or its handle."""
        return await self._leases.revoke(Actor.calling(context, "revokeLease"), lease)
