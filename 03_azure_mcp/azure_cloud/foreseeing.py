"""What approvals are shown of a call beforehand: how the operations that say so look at Azure."""

from collections.abc import Awaitable, Callable
from typing import Any

from flotilla import Context, Deadline, Model, Principal
from flotilla.correlation import new_correlation_id
from flotilla.operations import HUB_ROLE, Operation
from flotilla.preview import Foreseen

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


def foresees(name: str, takes: type[Model], run: Callable[[Any], Awaitable[Foreseen]]) -> Operation:
    """The operation that a `Preview` names."""
    return Operation(name=name, takes=takes, run=run, role=HUB_ROLE, reads=True)
