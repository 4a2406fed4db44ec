"""What approvals are shown of a call beforehand: how the operations that say so look at Azure."""

from flotilla import Context, Deadline, Model, Principal
from flotilla.correlation import new_correlation_id

LIMIT_S = 8.0
"""A person waits for it."""


class MachineAsked(Model):
    """The machine that a call speaks of."""

    name: str
    resource_group: str
    account: str | None = None
    subscription: str | None = None


def looking() -> Context:
    """The context of requests that the hub has made beforehand."""
    return Context(
        principal=Principal("hub"),
        correlation_id=new_correlation_id(),
        deadline=Deadline.after(LIMIT_S),
    )
