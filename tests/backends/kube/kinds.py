"""The kinds that the emulator has, as its discovery tells of them."""

from dataclasses import dataclass
from typing import Any

READ = ("get", "list", "watch")
ALL = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")


@dataclass(frozen=True)
class Kind:
    group: str
    version: str
    plural: str
    kind: str
    namespaced: bool = True
    short: tuple[str, ...] = ()
    verbs: tuple[str, ...] = ALL
    parts: tuple[str, ...] = ()

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def singular(self) -> str:
        return self.kind.lower()


KINDS: tuple[Kind, ...] = (
    Kind("", "v1", "namespaces", "Namespace", False, ("ns",), parts=("status",)),
    Kind("", "v1", "nodes", "Node", False, ("no",), parts=("status",)),
    Kind("", "v1", "pods", "Pod", True, ("po",), parts=("log", "exec", "eviction", "status")),
    Kind("", "v1", "services", "Service", True, ("svc",), parts=("status",)),
    Kind("", "v1", "secrets", "Secret"),
    Kind("", "v1", "configmaps", "ConfigMap", True, ("cm",)),
    Kind("", "v1", "serviceaccounts", "ServiceAccount", True, ("sa",)),
    Kind("", "v1", "persistentvolumes", "PersistentVolume", False, ("pv",)),
    Kind("", "v1", "persistentvolumeclaims", "PersistentVolumeClaim", True, ("pvc",)),
    Kind("", "v1", "events", "Event", True, ("ev",)),
    Kind("apps", "v1", "deployments", "Deployment", True, ("deploy",), parts=("scale", "status")),
    Kind("apps", "v1", "replicasets", "ReplicaSet", True, ("rs",), parts=("scale", "status")),
    Kind("apps", "v1", "statefulsets", "StatefulSet", True, ("sts",), parts=("scale", "status")),
    Kind("apps", "v1", "daemonsets", "DaemonSet", True, ("ds",), parts=("status",)),
    Kind("batch", "v1", "jobs", "Job", True, (), parts=("status",)),
    Kind("batch", "v1", "cronjobs", "CronJob", True, ("cj",), parts=("status",)),
    Kind("policy", "v1", "poddisruptionbudgets", "PodDisruptionBudget", True, ("pdb",)),
    Kind("rbac.authorization.k8s.io", "v1", "roles", "Role"),
    Kind("rbac.authorization.k8s.io", "v1", "rolebindings", "RoleBinding"),
    Kind("rbac.authorization.k8s.io", "v1", "clusterroles", "ClusterRole", False),
    Kind("rbac.authorization.k8s.io", "v1", "clusterrolebindings", "ClusterRoleBinding", False),
    Kind(
        "apiextensions.k8s.io", "v1", "customresourcedefinitions", "CustomResourceDefinition",
        False, ("crd", "crds"),
    ),
    Kind("stable.example.com", "v1", "crontabs", "CronTab", True, ("ct",)),
    Kind("metrics.k8s.io", "v1beta1", "pods", "PodMetrics", True, (), ("get", "list")),
    Kind("metrics.k8s.io", "v1beta1", "nodes", "NodeMetrics", False, (), ("get", "list")),
)  # fmt: skip


def find(group: str, version: str, plural: str) -> Kind | None:
    for kind in KINDS:
        if (kind.group, kind.version, kind.plural) == (group, version, plural):
            return kind
    return None


def groups(without: frozenset[str]) -> list[str]:
    return [each for each in dict.fromkeys(kind.group for kind in KINDS) if each not in without]


def aggregated(of_core: bool, without: frozenset[str]) -> dict[str, Any]:
    """An APIGroupDiscoveryList, of /api or of /apis."""
    return {
        "kind": "APIGroupDiscoveryList",
        "apiVersion": "apidiscovery.k8s.io/v2",
        "metadata": {},
        "items": [
            {
                "metadata": {"name": group, "creationTimestamp": None},
                "versions": [
                    {
                        "version": next(k.version for k in KINDS if k.group == group),
                        "freshness": "Current",
                        "resources": [_aggregated(kind) for kind in KINDS if kind.group == group],
                    }
                ],
            }
            for group in groups(without)
            if (group == "") is of_core
        ],
    }


def _aggregated(kind: Kind) -> dict[str, Any]:
    told: dict[str, Any] = {
        "resource": kind.plural,
        "responseKind": {"group": kind.group, "version": kind.version, "kind": kind.kind},
        "scope": "Namespaced" if kind.namespaced else "Cluster",
        "singularResource": kind.singular,
        "verbs": list(kind.verbs),
    }
    if kind.short:
        told["shortNames"] = list(kind.short)
    if kind.parts:
        told["subresources"] = [
            {"subresource": part, "responseKind": told["responseKind"], "verbs": ["get"]}
            for part in kind.parts
        ]
    return told


def group_list(without: frozenset[str]) -> dict[str, Any]:
    """An APIGroupList, as older servers tell it."""
    listed: list[dict[str, Any]] = []
    for group in groups(without):
        if group:
            version = next(kind.version for kind in KINDS if kind.group == group)
            told = {"groupVersion": f"{group}/{version}", "version": version}
            listed.append({"name": group, "versions": [told], "preferredVersion": told})
    return {"kind": "APIGroupList", "apiVersion": "v1", "groups": listed}


def resource_list(group: str, version: str) -> dict[str, Any]:
    """An APIResourceList; parts stand as names with a slash."""
    listed: list[dict[str, Any]] = []
    for kind in KINDS:
        if (kind.group, kind.version) != (group, version):
            continue
        told = {
            "name": kind.plural,
            "singularName": "",
            "namespaced": kind.namespaced,
            "kind": kind.kind,
            "verbs": list(kind.verbs),
        }
        listed.append({**told, "shortNames": list(kind.short)} if kind.short else told)
        listed += [
            {**told, "name": f"{kind.plural}/{part}", "verbs": ["get"]} for part in kind.parts
        ]
    return {
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": f"{group}/{version}" if group else version,
        "resources": listed,
    }
