"""What would give a workload the node, or somebody the cluster: found in any object. Pure.

Found by the names of fields wherever they stand, so that a pod template in a kind that nobody here
has heard of is judged as one in a Deployment is. What the server makes of an object is judged, not
its text alone: a patch shows only a part.
Source: Pod Security Standards, policy `baseline`; RBAC good practices, "escalation risks".
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, cast

from flotilla import NotAllowed

Object = Mapping[str, Any]

_HOST_NAMESPACES: Final = ("hostNetwork", "hostPID", "hostIPC")
_CAPABILITIES: Final = frozenset(
    (
        "AUDIT_WRITE",
        "CHOWN",
        "DAC_OVERRIDE",
        "FOWNER",
        "FSETID",
        "KILL",
        "MKNOD",
        "NET_BIND_SERVICE",
        "SETFCAP",
        "SETGID",
        "SETPCAP",
        "SETUID",
        "SYS_CHROOT",
    )
)
"""Those that a container may add; runtimes give most of them anyway."""
_SYSCTLS: Final = frozenset(
    (
        "kernel.shm_rmid_forced",
        "net.ipv4.ip_local_port_range",
        "net.ipv4.ip_unprivileged_port_start",
        "net.ipv4.tcp_syncookies",
        "net.ipv4.ping_group_range",
        "net.ipv4.ip_local_reserved_ports",
        "net.ipv4.tcp_keepalive_time",
        "net.ipv4.tcp_fin_timeout",
        "net.ipv4.tcp_keepalive_intvl",
        "net.ipv4.tcp_keepalive_probes",
    )
)
"""Those that are of the pod alone."""
_SELINUX_TYPES: Final = frozenset(
    ("", "container_t", "container_init_t", "container_kvm_t", "container_engine_t")
)
_UNCONFINED_ANNOTATIONS: Final = (
    "container.apparmor.security.beta.kubernetes.io/",
    "container.seccomp.security.alpha.kubernetes.io/",
    "seccomp.security.alpha.kubernetes.io/pod",
)
_ENFORCED: Final = "pod-security.kubernetes.io/enforce"

_RBAC: Final = "rbac.authorization.k8s.io"
_GRANTING_VERBS: Final = frozenset(("bind", "escalate", "impersonate"))
_GRANTING_RESOURCES: Final = frozenset(
    ("nodes/proxy", "serviceaccounts/token", "certificatesigningrequests/approval")
)
_ALL_SUBJECTS: Final = frozenset(
    ("system:masters", "system:authenticated", "system:unauthenticated", "system:anonymous")
)
_EVERYWHERE: Final = frozenset(("admin", "edit"))
"""Roles that are meant for one namespace: bound in all, they read every Secret."""
_OF_PLATFORM: Final = frozenset((*_EVERYWHERE, "cluster-admin", "view"))
"""Roles that every cluster has; they are judged by their names."""
MAX_TOLD: Final = 20


@dataclass(frozen=True, slots=True, order=True)
class Finding:
    """A field that gives too much: its path as kubectl would write it, and what it gives."""

    path: str
    why: str

    def __str__(self) -> str:
        return f"{self.path}: {self.why}"


def findings_of(content: Object) -> list[Finding]:
    """All that is in an object, in the order of its fields."""
    group, kind = _kind_of(content)
    if (group, kind) == ("apiextensions.k8s.io", "CustomResourceDefinition"):
        return []  # it describes fields, and sets none
    if group == _RBAC:
        return list(_grants(content, kind))
    return [*_of_namespace(content, kind), *_of_volume(content, kind), *_walk(content, "")]


def added(content: Object, live: Object | None) -> list[Finding]:
    """The findings that refuse a change of `live` into `content`.

    Whatever stands in the metadata of the object itself may stay as it was; all else counts even if
    it was there before, since another image in a privileged pod is another privileged program.
    """
    before: set[Finding] = set() if live is None else set(findings_of(live))
    return [
        each
        for each in findings_of(content)
        if not (each.path.startswith("metadata.") and each in before)
    ]


def refusal(told: str, found: list[Finding], *, bound: bool) -> NotAllowed:
    """The error for such an object; `bound`: the operator's setting forbids it to everybody."""
    first = found[0]
    more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
    hint = (
        "This service refuses it to everybody; its operator may set K8S_ALLOW_PRIVILEGED=on, and "
        "then allowPrivileged asks for it."
        if bound
        else "Where it has to be, pass allowPrivileged: true; the rules decide who may."
    )
    return NotAllowed(
        f"{told} asks for too much: {first}{more}",
        hint=hint,
        details={
            "reason": "privileged",
            "fields": [{"path": each.path, "why": each.why} for each in found[:MAX_TOLD]],
        },
    )


def bound_role(content: Object) -> tuple[str, str, str | None] | None:
    """Kind, name and namespace of the role that a binding gives, where that has to be read.

    None for what is no binding, and for roles that are judged by their names.
    """
    group, kind = _kind_of(content)
    if group != _RBAC or not kind.endswith("Binding"):
        return None
    ref = _members(content.get("roleRef"))
    role, name = ref.get("kind"), ref.get("name")
    if role not in ("Role", "ClusterRole") or not isinstance(name, str):
        return None
    if role == "ClusterRole" and name in _OF_PLATFORM:
        return None
    space = _members(content.get("metadata")).get("namespace")
    return role, name, space if role == "Role" and isinstance(space, str) else None


def _kind_of(content: Object) -> tuple[str, str]:
    return str(content.get("apiVersion", "")).rpartition("/")[0], str(content.get("kind", ""))


def _walk(node: Any, path: str) -> Iterator[Finding]:
    if isinstance(node, Mapping):
        members = cast("Object", node)
        yield from _pod_fields(members, path)
        for key, value in members.items():
            if isinstance(value, (Mapping, list)):
                yield from _walk(value, _below(path, key))
    elif isinstance(node, list):
        for index, value in enumerate(cast("list[Any]", node)):
            yield from _walk(value, f"{path}[{index}]")


def _pod_fields(members: Object, path: str) -> Iterator[Finding]:
    for name in _HOST_NAMESPACES:
        if members.get(name) is True:
            yield Finding(_below(path, name), "shares the node's own namespace")
    if members.get("privileged") is True:
        yield Finding(_below(path, "privileged"), "a privileged container owns its node")
    host_path = members.get("hostPath")
    if isinstance(host_path, Mapping) and isinstance(_members(host_path).get("path"), str):
        yield Finding(_below(path, "hostPath"), "mounts files of the node")
    port = members.get("hostPort")
    if isinstance(port, int) and port:
        yield Finding(_below(path, "hostPort"), "listens on the node's own address")
    if "securityContext" in members:
        context = _members(members["securityContext"])
        yield from _security(context, _below(path, "securityContext"))
    for key, value in _members(members.get("annotations")).items():
        if key.startswith(_UNCONFINED_ANNOTATIONS) and value == "unconfined":
            yield Finding(f'{_below(path, "annotations")}["{key}"]', "switches its confinement off")


def _security(context: Object, path: str) -> Iterator[Finding]:
    adds = _texts(_members(context.get("capabilities")).get("add"))
    for name in adds:
        if name.upper().removeprefix("CAP_") not in _CAPABILITIES:
            yield Finding(f"{path}.capabilities.add", f"adds {name[:40]} beyond the baseline")
    if context.get("procMount") not in (None, "Default"):
        yield Finding(f"{path}.procMount", "uncovers /proc of the node")
    for profile in ("seccompProfile", "appArmorProfile"):
        if _members(context.get(profile)).get("type") == "Unconfined":
            yield Finding(f"{path}.{profile}", "switches its confinement off")
    selinux = _members(context.get("seLinuxOptions"))
    if selinux.get("type", "") not in _SELINUX_TYPES or selinux.get("user") or selinux.get("role"):
        yield Finding(f"{path}.seLinuxOptions", "leaves the container's own SELinux domain")
    if _members(context.get("windowsOptions")).get("hostProcess") is True:
        yield Finding(f"{path}.windowsOptions.hostProcess", "runs on the node itself")
    sysctls: Any = context.get("sysctls")
    for index, each in enumerate(cast("list[Any]", sysctls) if isinstance(sysctls, list) else []):
        name = _members(each).get("name")
        if name not in _SYSCTLS:
            yield Finding(f"{path}.sysctls[{index}]", f"{str(name)[:60]} is not of the pod alone")


def _of_namespace(content: Object, kind: str) -> Iterator[Finding]:
    if kind != "Namespace":
        return
    labels = _members(_members(content.get("metadata")).get("labels"))
    if labels.get(_ENFORCED) == "privileged":
        yield Finding(f'metadata.labels["{_ENFORCED}"]', "lets privileged pods into the namespace")


def _of_volume(content: Object, kind: str) -> Iterator[Finding]:
    local = _members(_members(content.get("spec")).get("local"))
    if kind == "PersistentVolume" and isinstance(local.get("path"), str):
        yield Finding("spec.local", "mounts files of the node")


def _grants(content: Object, kind: str) -> Iterator[Finding]:
    if kind.endswith("Binding"):
        yield from _bound(content, kind)
        return
    if content.get("aggregationRule"):
        yield Finding("aggregationRule", "takes the rights of other roles, present and future")
    rules: Any = content.get("rules")
    for index, each in enumerate(cast("list[Any]", rules) if isinstance(rules, list) else []):
        rule, path = _members(each), f"rules[{index}]"
        verbs, resources = set(_texts(rule.get("verbs"))), set(_texts(rule.get("resources")))
        for field, given in (("verbs", verbs), ("resources", resources)):
            if "*" in given:
                yield Finding(f"{path}.{field}", "a wildcard, which takes in what is to come")
        if "*" in _texts(rule.get("nonResourceURLs")):
            yield Finding(f"{path}.nonResourceURLs", "a wildcard, which takes in what is to come")
        for verb in sorted(verbs & _GRANTING_VERBS):
            yield Finding(f"{path}.verbs", f"`{verb}` lets its holder take further rights")
        for resource in sorted(resources & _GRANTING_RESOURCES):
            yield Finding(f"{path}.resources", f"`{resource}` lets its holder take further rights")


def _bound(content: Object, kind: str) -> Iterator[Finding]:
    role = _members(content.get("roleRef")).get("name")
    if role == "cluster-admin":
        yield Finding("roleRef.name", "cluster-admin may do everything")
    elif kind == "ClusterRoleBinding" and role in _EVERYWHERE:
        yield Finding("roleRef.name", f"`{role}` in all namespaces reads every Secret")
    subjects: Any = content.get("subjects")
    for index, each in enumerate(cast("list[Any]", subjects) if isinstance(subjects, list) else []):
        name = _members(each).get("name")
        if name in _ALL_SUBJECTS:
            yield Finding(f"subjects[{index}].name", f"{name} is not a person or a workload")


def _below(path: str, key: Any) -> str:
    return f"{path}.{key}" if path else str(key)


def _members(value: Any) -> Object:
    return cast("Object", value) if isinstance(value, Mapping) else {}


def _texts(value: Any) -> list[str]:
    if not isinstance(value, list):
        return []
    return [each for each in cast("list[Any]", value) if isinstance(each, str)]
