"""What a fault of vSphere means to a caller of ours. Pure: it knows faults by their names alone.

The fault's own name stays in `details` as `upstreamCode`. Source: vSphere Web Services API
reference, the fault types of namespace vim25.
"""

from collections.abc import Mapping
from typing import Any

from flotilla.errors import (
    Conflict,
    FlotillaError,
    InvalidArgument,
    NotAllowed,
    NotConfigured,
    NotFound,
    RateLimited,
    TimedOut,
    TooLarge,
    Unavailable,
    UpstreamError,
)

SESSION_ENDED = frozenset({"NotAuthenticated"})
"""The call was not done: log in again and repeat it."""
GONE = "ManagedObjectNotFound"
MAX_MESSAGE_CHARS = 1000

_TOOLS = (
    "VMware Tools must run in the guest; where they do not, use infra.vmware.powerOff "
    "(or reboot with force), which the guest does not notice."
)
_STATE = "Look at its power state with getVirtualMachine; it may have changed meanwhile."

_KINDS: dict[str, tuple[type[FlotillaError], str | None]] = {
    "InvalidLogin": (
        NotConfigured,
        "The user or the password of this vCenter in vmware.yaml is wrong; it is not tried again "
        "until the password is another one, so that the user is not locked out.",
    ),
    "InvalidLocale": (NotConfigured, None),
    "PasswordExpired": (NotConfigured, "The user's password has expired in vCenter."),
    "NotAuthenticated": (Unavailable, "The session ended; try again."),
    "NoPermission": (NotAllowed, "The user of this vCenter lacks a privilege; grant it there."),
    "RestrictedVersion": (NotAllowed, "The licence of this host does not allow it."),
    "ManagedObjectNotFound": (NotFound, "It has been deleted, or moved to another vCenter."),
    "NotFound": (NotFound, None),
    "FileNotFound": (NotFound, None),
    "InvalidPowerState": (Conflict, _STATE),
    "InvalidState": (Conflict, _STATE),
    "ConcurrentAccess": (Conflict, "It changed meanwhile; read it again and decide anew."),
    "TaskInProgress": (Conflict, "Another task works on it; see listTasks, and try again after."),
    "DuplicateName": (Conflict, "Choose another name, or another folder."),
    "AlreadyExists": (Conflict, None),
    "FileAlreadyExists": (Conflict, None),
    "FileLocked": (Conflict, "Another host or a backup holds a file of it."),
    "ResourceInUse": (Conflict, None),
    "ToolsUnavailable": (Conflict, _TOOLS),
    "MethodDisabled": (Conflict, "vCenter has this switched off for it just now, say by a backup."),
    "InvalidArgument": (InvalidArgument, None),
    "InvalidName": (InvalidArgument, None),
    "InvalidProperty": (InvalidArgument, None),
    "InvalidVmConfig": (InvalidArgument, None),
    "InvalidDatastore": (InvalidArgument, None),
    "InvalidFolder": (InvalidArgument, None),
    "CpuHotPlugNotSupported": (Conflict, "Power it off first: its CPUs cannot be added to now."),
    "MemoryHotPlugNotSupported": (Conflict, "Power it off first: its memory cannot grow now."),
    "NotSupported": (Conflict, "This machine or host does not support that in its state."),
    "MethodNotFound": (UpstreamError, "This vCenter's version does not know that."),
    "NotImplemented": (UpstreamError, "This vCenter's version does not know that."),
    "InsufficientResourcesFault": (Conflict, "The target has too little free; choose another."),
    "InsufficientMemoryResourcesFault": (Conflict, "The host has too little free memory."),
    "InsufficientCpuResourcesFault": (Conflict, "The host has too little free CPU."),
    "NoDiskSpace": (TooLarge, "The datastore is full; see listDatastores."),
    "InsufficientStorageSpace": (TooLarge, "The datastore is full; see listDatastores."),
    "NoDisksToCustomize": (Conflict, None),
    "Timedout": (TimedOut, None),
    "RequestCanceled": (Conflict, "Somebody cancelled it in vCenter."),
    "HostNotConnected": (Unavailable, "vCenter does not reach the host."),
    "HostNotReachable": (Unavailable, "vCenter does not reach the host."),
    "HostCommunication": (Unavailable, "vCenter does not reach the host."),
    "SystemError": (UpstreamError, None),
}


def fault_error(
    name: str, message: str, members: Mapping[str, Any] | None = None, *, doing: str = ""
) -> FlotillaError:
    """The error of ours for a fault called `name` (`InvalidPowerState`), with what it carries.

    `members` are the fault's own plain values; `doing` is what was asked, for the sentence.
    """
    if name == "TooManyRequests":
        error: FlotillaError = RateLimited("vCenter has too much to do", retry_after_ms=5000)
    else:
        kind, hint = _KINDS.get(name, (UpstreamError, None))
        told = " ".join(message.split())[:MAX_MESSAGE_CHARS]
        error = kind(f"vCenter{f' ({doing})' if doing else ''}: {told or name}", hint=hint)
    error.details.update({"upstreamCode": name, **_plain(members or {})})
    return error


def task_failed(name: str, message: str) -> dict[str, str]:
    """A task's error as its result shows it: our code, the fault's name, its words."""
    error = fault_error(name, message)
    return {
        "code": error.code,
        "fault": name,
        "message": error.message,
        **({"hint": error.hint} if error.hint else {}),
    }


_SHOWN = {
    "privilegeId": "privilegeId",
    "existingState": "existingState",
    "requestedState": "requestedState",
    "invalidProperty": "invalidProperty",
    "property": "property",
    "name": "name",
}


def _plain(members: Mapping[str, Any]) -> dict[str, str]:
    return {
        shown: str(members[name])[:200]
        for name, shown in _SHOWN.items()
        if members.get(name) is not None
    }
