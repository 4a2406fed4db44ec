"""What an approval of a tool of vSphere shows: the very machine, its state, what changes or goes.

One hub-only operation answers for all tools; nothing of it can be called by a client.
"""

from collections.abc import Awaitable, Callable
from typing import Any

from flotilla import Model
from flotilla.operations import HUB_ROLE, Operation
from flotilla.preview import Foreseen
from flotilla.tool import Preview

OPERATION = "machine.foresee"
LIMIT_S = 10.0


class Call(Model):
    """A call that waits for a person: the tool, and those of its arguments that matter here."""

    action: str
    vcenter: str | None = None
    vm_id: str | None = None
    name: str | None = None
    force: bool = False
    snapshot_name: str | None = None
    snapshot_id: str | None = None
    memory: bool = False
    quiesce: bool = False
    with_children: bool = False
    cpu_count: int | None = None
    memory_mb: int | None = None
    notes: str | None = None
    new_name: str | None = None
    host_id: str | None = None
    cluster_id: str | None = None
    datastore_id: str | None = None
    folder_id: str | None = None
    power_on: bool = False
    template: bool = False


_ALWAYS = ("vcenter", "vmId", "name")


def preview_of(action: str, *arguments: str) -> Preview:
    """The preview of the tool `infra.vmware.<action>`; `arguments` are those that it needs
    besides the machine."""
    return Preview(
        operation=OPERATION,
        taken={name: name for name in (*_ALWAYS, *arguments)},
        fixed={"action": action},
    )


def operation(foresee: Callable[[Any], Awaitable[Foreseen]]) -> Operation:
    return Operation(name=OPERATION, takes=Call, run=foresee, role=HUB_ROLE)
