"""Which ServiceNow tables, fields and relation types stand for which of ours. Pure.

`config/servicenow.yaml` goes before what is built in, class by class and type by type.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from cmdb.relation_types import RELATION_TYPES
from cmdb.servicenow.fields import is_secret
from cmdb.values import ATTRIBUTE_PATTERN

KEY = "servicenow_sys_id"
"""Our attribute that holds the sys_id of the CI in ServiceNow."""
INSTANCE = "servicenow_instance"
"""Our attribute that holds the alias of the instance that the sys_id is of."""
CLASS = "servicenow_class"
"""Our attribute that holds the CI's class there, which may be below the table that we read."""
OWN = (KEY, INSTANCE, CLASS)

TABLE_PATTERN = r"^[a-z][a-z0-9_]{0,79}$"
_FIELD = re.compile(r"[a-z][a-z0-9_]{0,79}")


def _known_type(name: str) -> str:
    if name not in RELATION_TYPES:
        raise ValueError(f"there is no relation type of that name; use {', '.join(RELATION_TYPES)}")
    return name


def _fields(told: dict[str, str]) -> dict[str, str]:
    for ours, theirs in told.items():
        if not re.fullmatch(ATTRIBUTE_PATTERN, ours) or ours in OWN:
            raise ValueError("an attribute of ours cannot have that name")
        if not _FIELD.fullmatch(theirs):
            raise ValueError("a field of theirs is lower case letters, digits and _")
        if is_secret(theirs):
            raise ValueError("a field of that name may hold a secret and is never carried")
    return told


Table = Annotated[str, Field(pattern=TABLE_PATTERN)]
Fields = Annotated[dict[str, str], AfterValidator(_fields)]
"""Attribute of ours -> field of theirs."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class MappedClass(_Part):
    """A class of ours in ServiceNow."""

    table: Table
    """Where its CIs are read, and the class that a new one gets."""
    also: tuple[Table, ...] = ()
    """Classes below that table whose CIs are of this class of ours, too."""
    attributes: Fields = Field(default_factory=dict)
    """Carried both ways."""
    pulled: Fields = Field(default_factory=dict)
    """Only read: references and choices, whose display value is text to us."""

    def fields(self) -> dict[str, str]:
        """All that is read: attribute of ours -> field of theirs."""
        return {**self.pulled, **self.attributes}


class MappedRelation(_Part):
    """A type of cmdb_rel_type: the parent is our source, or with `reversed` our target."""

    type: Annotated[str, AfterValidator(_known_type)]
    reversed: bool = False


_COMMON = {"description": "short_description"}
_SEEN = {"owner": "owned_by", "status": "operational_status", "environment": "environment"}
_MADE = {**_SEEN, "manufacturer": "manufacturer", "model": "model_id"}
_MACHINE = {**_COMMON, "ip": "ip_address", "fqdn": "fqdn"}
_VENDED = {**_SEEN, "vendor": "vendor"}


def _class(
    table: str,
    *also: str,
    attributes: Mapping[str, str] = _COMMON,
    pulled: Mapping[str, str] = _SEEN,
) -> MappedClass:
    return MappedClass(table=table, also=also, attributes=dict(attributes), pulled=dict(pulled))


CLASSES: Mapping[str, MappedClass] = {
    "server": _class(
        "cmdb_ci_server",
        "cmdb_ci_linux_server",
        "cmdb_ci_win_server",
        "cmdb_ci_unix_server",
        "cmdb_ci_aix_server",
        "cmdb_ci_solaris_server",
        "cmdb_ci_esx_server",
        attributes={
            **_MACHINE,
            "serial_number": "serial_number",
            "os": "os",
            "os_version": "os_version",
            "cpu_count": "cpu_count",
            "memory_mb": "ram",
            "disk_gb": "disk_space",
        },
        pulled=_MADE,
    ),
    "virtual_machine": _class(
        "cmdb_ci_vm_instance",
        "cmdb_ci_vmware_instance",
        attributes={
            **_MACHINE,
            "instance_uuid": "vm_inst_id",
            "cpu_count": "cpus",
            "memory_mb": "memory",
            "disk_gb": "disks_size",
        },
    ),
    "network_device": _class(
        "cmdb_ci_netgear",
        "cmdb_ci_ip_switch",
        "cmdb_ci_ip_router",
        "cmdb_ci_ip_firewall",
        attributes={
            **_COMMON,
            "ip": "ip_address",
            "serial_number": "serial_number",
            "mac": "mac_address",
            "firmware": "firmware_version",
            "ports": "ports",
        },
        pulled=_MADE,
    ),
    "hardware": _class(
        "cmdb_ci_hardware",
        attributes={**_COMMON, "serial_number": "serial_number"},
        pulled=_MADE,
    ),
    "rack": _class("cmdb_ci_rack", pulled={"owner": "owned_by", "status": "operational_status"}),
    "power_device": _class(
        "cmdb_ci_ups", attributes={**_COMMON, "serial_number": "serial_number"}, pulled=_MADE
    ),
    "database": _class(
        "cmdb_ci_db_instance",
        "cmdb_ci_db_mssql_instance",
        "cmdb_ci_db_mysql_instance",
        "cmdb_ci_db_ora_instance",
        "cmdb_ci_db_postgresql_instance",
        attributes={**_COMMON, "version": "version", "port": "tcp_port"},
        pulled=_VENDED,
    ),
    "application": _class(
        "cmdb_ci_appl", attributes={**_COMMON, "version": "version"}, pulled=_VENDED
    ),
    "middleware": _class(
        "cmdb_ci_app_server",
        "cmdb_ci_web_server",
        attributes={**_COMMON, "version": "version", "port": "tcp_port"},
        pulled=_VENDED,
    ),
    "service": _class(
        "cmdb_ci_service",
        "cmdb_ci_service_auto",
        "cmdb_ci_service_discovered",
        attributes={**_COMMON, "version": "version"},
    ),
    "cluster": _class("cmdb_ci_cluster", attributes={**_COMMON, "cluster_type": "cluster_type"}),
    "kubernetes_cluster": _class("cmdb_ci_kubernetes_cluster"),
    "pod": _class("cmdb_ci_kubernetes_pod", attributes={**_COMMON, "namespace": "namespace"}),
    "load_balancer": _class("cmdb_ci_lb", attributes={**_COMMON, "ip": "ip_address"}),
    "storage": _class("cmdb_ci_storage_device"),
    "network": _class("cmdb_ci_ip_network"),
    "certificate": _class(
        "cmdb_ci_certificate",
        attributes={**_COMMON, "subject": "subject_common_name", "not_after": "valid_to"},
    ),
}

RELATIONS: Mapping[str, MappedRelation] = {
    "Runs on::Runs": MappedRelation(type="runs_on"),
    "Hosted on::Hosts": MappedRelation(type="runs_on"),
    "Virtualized by::Virtualizes": MappedRelation(type="runs_on"),
    "Depends on::Used by": MappedRelation(type="depends_on"),
    "Uses::Used by": MappedRelation(type="uses"),
    "Contains::Contained by": MappedRelation(type="contains"),
    "Connects to::Connected by": MappedRelation(type="connects_to"),
    "Members::Member of": MappedRelation(type="member_of", reversed=True),
    "Cluster of::Cluster": MappedRelation(type="member_of", reversed=True),
}
"""The first type of ServiceNow's for one of ours is the one that is pushed."""


class ClassMap:
    """What is built in, with what the owner said before it."""

    def __init__(
        self, classes: Mapping[str, MappedClass], relations: Mapping[str, MappedRelation]
    ) -> None:
        self._classes = {**CLASSES, **classes}
        # The owner's come first: of several for one of ours the first is pushed.
        self._relations = {**relations, **RELATIONS, **relations}
        self._ours = {table: name for name, one in self._classes.items() for table in one.also}
        self._ours |= {one.table: name for name, one in self._classes.items()}

    def __iter__(self) -> Iterator[str]:
        return iter(self._classes)

    def get(self, ci_class: str) -> MappedClass | None:
        """How a class of ours is said there."""
        return self._classes.get(ci_class)

    def ours(self, table: str) -> str | None:
        """The class of ours that CIs of a ServiceNow class are of."""
        return self._ours.get(table)

    def relation(self, name: str) -> MappedRelation | None:
        """What a type of cmdb_rel_type is to us."""
        return self._relations.get(name)

    def relation_names(self) -> tuple[str, ...]:
        return tuple(self._relations)

    def pushed(self, ours: str) -> tuple[str, MappedRelation] | None:
        """The type of cmdb_rel_type that one of our types is pushed as."""
        for name, mapped in self._relations.items():
            if mapped.type == ours:
                return name, mapped
        return None
