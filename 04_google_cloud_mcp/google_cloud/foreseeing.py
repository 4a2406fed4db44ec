"""What a person is told before an instance is started, stopped, reset, labelled or deleted."""

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, JsonValue

from flotilla import Deadline, Model
from flotilla.operations import HUB_ROLE, Operation
from flotilla.preview import Change, Foreseen
from google_cloud.instance_shapes import attached
from google_cloud.instances import Found, Instances
from google_cloud.places import last

LIMIT_S = 10.0
"""Somebody waits for it; the hub itself waits less."""
_MAX_SHOWN = 20


class OfInstance(Model):
    """An instance as the call names it."""

    instance: str
    account: str | None = None
    project: str | None = None
    zone: str | None = None


class OfLabels(OfInstance):
    labels: dict[str, str] = Field(default_factory=dict[str, str])
    mode: Literal["merge", "replace"] = "merge"


class ForeseenInstances:
    """The previews of what happens to an instance."""

    def __init__(self, instances: Instances) -> None:
        self._instances = instances

    def operations(self) -> tuple[Operation, ...]:
        done = (
            ("startInstance", OfInstance, self.start),
            ("stopInstance", OfInstance, self.stop),
            ("resetInstance", OfInstance, self.reset),
            ("setInstanceLabels", OfLabels, self.labels),
            ("deleteInstance", OfInstance, self.delete),
        )
        return tuple(
            Operation(name=f"previews.{name}", takes=takes, run=run, role=HUB_ROLE)
            for name, takes, run in done
        )

    async def start(self, asked: OfInstance) -> Foreseen:
        found, there = await self._look(asked)
        warnings = [] if there.status in ("TERMINATED", "SUSPENDED") else [_is_now(there)]
        return Foreseen(
            action=f"Start the instance {there.name}",
            target=_target(found, there),
            state=_state(there),
            changes=[Change(field="status", before=there.status, after="RUNNING")],
            warnings=[*warnings, "From then on it is paid for by the second."],
        )

    async def stop(self, asked: OfInstance) -> Foreseen:
        found, there = await self._look(asked)
        warnings = [] if there.status == "RUNNING" else [_is_now(there)]
        if any(disk.type_ == "SCRATCH" for disk in there.disks):
            warnings.append("It has local SSDs; what is on them is lost.")
        if any(one.nat_i_p for each in there.network_interfaces for one in each.access_configs):
            warnings.append("An external address that is not reserved is lost.")
        return Foreseen(
            action=f"Shut down the instance {there.name}",
            target=_target(found, there),
            state=_state(there),
            changes=[Change(field="status", before=there.status, after="TERMINATED")],
            warnings=[*warnings, "Its disks stay and are still paid for."],
        )

    async def reset(self, asked: OfInstance) -> Foreseen:
        found, there = await self._look(asked)
        warnings = [] if there.status == "RUNNING" else [_is_now(there)]
        return Foreseen(
            action=f"Reset the instance {there.name} HARD, without shutting it down",
            target=_target(found, there),
            state=_state(there),
            warnings=[*warnings, "What it has not written to a disk is lost."],
        )

    async def labels(self, asked: OfLabels) -> Foreseen:
        found, there = await self._look(asked)
        before = dict(there.labels)
        after = {**before, **asked.labels} if asked.mode == "merge" else dict(asked.labels)
        return Foreseen(
            action=f"Label the instance {there.name}",
            target=_target(found, there),
            state={"status": there.status},
            changes=changed_labels(before, after),
            warnings=[] if before != after else ["Its labels are these already."],
        )

    async def delete(self, asked: OfInstance) -> Foreseen:
        found, there = await self._look(asked)
        disks = [attached(disk) for disk in there.disks]
        go = [f"{each.name} ({each.size_gb} GB)" for each in disks if each.auto_delete]
        stay = [f"{each.name} ({each.size_gb} GB)" for each in disks if not each.auto_delete]
        warnings = [f"It is {there.status} now."]
        if there.deletion_protection:
            warnings.append("It is protected against deletion: Google will refuse.")
        if go:
            warnings.append(f"These disks are deleted with it: {', '.join(go[:_MAX_SHOWN])}.")
        if stay:
            warnings.append(
                f"These disks stay and are still paid for: {', '.join(stay[:_MAX_SHOWN])}."
            )
        return Foreseen(
            action=f"Delete the instance {there.name} for good",
            target=_target(found, there),
            state=_state(there),
            changes=[Change(field="instance", before=there.name, after=None)],
            warnings=warnings,
        )

    async def _look(self, asked: OfInstance) -> tuple[Found, Any]:
        due = Deadline.after(LIMIT_S)
        found = await self._instances.find(
            due, asked.account, asked.project, asked.zone, asked.instance
        )
        return found, await self._instances.raw(due, found)


def changed_labels(before: Mapping[str, str], after: Mapping[str, str]) -> list[Change]:
    """The labels that would have another value, or none any more."""
    return [
        Change(field=f"labels.{name}", before=before.get(name), after=after.get(name))
        for name in sorted({*before, *after})
        if before.get(name) != after.get(name)
    ][:100]


def _target(found: Found, there: Any) -> str:
    return (
        f"{there.name} (instance {there.id} in {found.zone}, project {found.aim.project}, "
        f"account {found.aim.alias})"
    )


def _is_now(there: Any) -> str:
    return f"It is {there.status} just now."


def _state(there: Any) -> dict[str, JsonValue]:
    return {
        "status": there.status,
        "machineType": last(there.machine_type),
        "labels": dict(there.labels),
        "deletionProtection": there.deletion_protection,
    }
