"""Which subscriptions an account may use, by ID and by name."""

from collections.abc import Callable, Mapping
from typing import Annotated, Any

from pydantic import Field

from azure_cloud import versions
from azure_cloud.arm import Arm
from azure_cloud.continuation import following
from azure_cloud.ids import is_guid, same
from flotilla import Context, InvalidArgument, NotAllowed, NotFound

KNOWN_FOR_S = 300.0
MOST = 2000
PATH = "/subscriptions"

Subscription = Annotated[
    str | None,
    Field(max_length=120, description="Name or ID, as listSubscriptions has it."),
]


class Subscriptions:
    """Those of one account; what Azure says of them is known for five minutes."""

    def __init__(self, arm: Arm, clock: Callable[[], float]) -> None:
        self._arm = arm
        self._clock = clock
        self._known: list[Mapping[str, Any]] = []
        self._until = 0.0

    def check(self, subscription_id: str) -> str:
        """The ID where this account may use it, else NotAllowed."""
        allowed = self._arm.account.subscriptions
        if allowed and subscription_id.lower() not in allowed:
            raise NotAllowed(
                f"account {self._arm.alias!r} is not set up for subscription {subscription_id}",
                hint="azure.yaml lists the subscriptions that it may use.",
                details={"reason": "subscription_not_listed"},
            )
        return subscription_id

    async def chosen(self, given: str | None, context: Context) -> str:
        """The ID of the one that a call means.

        Raises NotFound for a name that no subscription has, InvalidArgument where several could be
        meant, NotAllowed for one outside the account's list.
        """
        account = self._arm.account
        if given is None:
            if account.subscription:
                return account.subscription
            if len(account.subscriptions) == 1:
                return account.subscriptions[0]
        elif is_guid(given):
            return self.check(given.lower())
        listed = await self.listed(context)
        fitting = [
            str(each.get("subscriptionId"))
            for each in listed
            if given is None or same(str(each.get("displayName")), given)
        ]
        if len(fitting) == 1:
            return fitting[0]
        names = ", ".join(str(each.get("displayName")) for each in listed[:20]) or "none"
        if given is not None and not fitting:
            raise NotFound(f"no subscription is called {given!r}", hint=f"There are: {names}.")
        raise InvalidArgument(
            f"{len(fitting)} subscriptions could be meant",
            hint=f"Pass `subscription`, by its ID where names are alike; there are: {names}.",
        )

    async def listed(self, context: Context) -> list[Mapping[str, Any]]:
        """Those that the account sees and may use, as Azure has them."""
        if self._clock() >= self._until:
            self._known = await self._asked(context)
            self._until = self._clock() + KNOWN_FOR_S
        return self._known

    async def _asked(self, context: Context) -> list[Mapping[str, Any]]:
        allowed = self._arm.account.subscriptions
        found: list[Mapping[str, Any]] = []
        more: Mapping[str, str] | None = {}
        while more is not None and len(found) < MOST:
            body = await self._arm.get(PATH, versions.SUBSCRIPTIONS, context, more)
            found += [
                each
                for each in body.get("value", [])
                if not allowed or str(each.get("subscriptionId")).lower() in allowed
            ]
            more = following(self._arm.endpoint, PATH, {}, body.get("nextLink"))
        return found
