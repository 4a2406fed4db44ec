"""pyVmomi's classes, which it makes while it runs: no checker knows them, so they are Any here."""

from collections.abc import Mapping
from typing import Any

import pyVmomi.SoapAdapter
import pyVmomi.VmomiSupport
from pyVmomi import vim as _vim
from pyVmomi import vmodl as _vmodl

vim: Any = _vim
vmodl: Any = _vmodl
Adapter: Any = pyVmomi.SoapAdapter.SoapStubAdapter
support: Any = pyVmomi.VmomiSupport

NAMESPACE = "vim25"
VERSION = "vim.version.version12"
"""vSphere 6.7: every later vCenter answers in the words of this version too."""


def type_of(kind: str) -> Any:
    """The class of a type of managed objects by the API's own name."""
    return support.GetWsdlType(f"urn:{NAMESPACE}", kind)


def name_of(fault: Any) -> str:
    """A fault's name in the API: `InvalidPowerState`."""
    return type(fault).__name__.rpartition(".")[2]


def fault_of(fault: Any) -> tuple[str, str]:
    """The name and the words of a fault that stands in a property, such as a task's error."""
    # pyVmomi gives the fault itself where the API has it within a LocalizedMethodFault.
    return name_of(fault), str(fault.msg or "")


def members_of(fault: Any) -> Mapping[str, Any]:
    """What a fault carries, by the names of the API."""
    return {info.name: getattr(fault, info.name, None) for info in fault._GetPropertyList()}
