"""What gives a workload the node or somebody the cluster, in whatever kind it stands."""

from typing import Any

import pytest

from k8s.safety import added, bound_role, findings_of, refusal

WAYS_OF_POD: dict[str, tuple[str, ...]] = {
    "v1/Pod": (),
    "apps/v1/Deployment": ("template",),
    "apps/v1/StatefulSet": ("template",),
    "apps/v1/DaemonSet": ("template",),
    "apps/v1/ReplicaSet": ("template",),
    "batch/v1/Job": ("template",),
    "batch/v1/CronJob": ("jobTemplate", "spec", "template"),
    "v1/ReplicationController": ("template",),
    "v1/PodTemplate": ("..", "template"),
    "serving.example.org/v1/Service": ("template",),
    "rollouts.example.org/v1/Rollout": ("deep", "er", "still", "template"),
}
PLAIN: dict[str, Any] = {"containers": [{"name": "a", "image": "a"}]}


def _in(kind: str, pod: dict[str, Any]) -> dict[str, Any]:
    version, _, name = kind.rpartition("/")
    ways = WAYS_OF_POD[kind]
    spec: Any = pod
    for way in reversed(ways):
        if way == "..":
            return {"apiVersion": version, "kind": name, "metadata": {"name": "x"}, **spec}
        spec = {way: {"spec": spec} if way == "template" else spec}
    return {"apiVersion": version, "kind": name, "metadata": {"name": "x"}, "spec": spec}


def _container(**more: Any) -> dict[str, Any]:
    return {"containers": [{"name": "a", "image": "a", **more}]}


BAD: list[tuple[dict[str, Any], str]] = [
    ({**PLAIN, "hostNetwork": True}, "hostNetwork"),
    ({**PLAIN, "hostPID": True}, "hostPID"),
    ({**PLAIN, "hostIPC": True}, "hostIPC"),
    (_container(securityContext={"privileged": True}), "containers[0].securityContext.privileged"),
    (
        {**PLAIN, "initContainers": [{"name": "b", "securityContext": {"privileged": True}}]},
        "initContainers[0].securityContext.privileged",
    ),
    (
        {**PLAIN, "ephemeralContainers": [{"name": "b", "securityContext": {"privileged": True}}]},
        "ephemeralContainers[0].securityContext.privileged",
    ),
    (
        _container(securityContext={"capabilities": {"add": ["SYS_ADMIN"]}}),
        "containers[0].securityContext.capabilities.add",
    ),
    (
        _container(securityContext={"capabilities": {"add": ["ALL"]}}),
        "containers[0].securityContext.capabilities.add",
    ),
    (
        _container(securityContext={"procMount": "Unmasked"}),
        "containers[0].securityContext.procMount",
    ),
    (
        {**PLAIN, "securityContext": {"seccompProfile": {"type": "Unconfined"}}},
        "securityContext.seccompProfile",
    ),
    (
        {**PLAIN, "securityContext": {"seLinuxOptions": {"type": "spc_t"}}},
        "securityContext.seLinuxOptions",
    ),
    (
        {**PLAIN, "securityContext": {"windowsOptions": {"hostProcess": True}}},
        "securityContext.windowsOptions.hostProcess",
    ),
    (
        {**PLAIN, "securityContext": {"sysctls": [{"name": "kernel.msgmax", "value": "1"}]}},
        "securityContext.sysctls[0]",
    ),
    ({**PLAIN, "volumes": [{"name": "v", "hostPath": {"path": "/"}}]}, "volumes[0].hostPath"),
    (_container(ports=[{"containerPort": 80, "hostPort": 80}]), "containers[0].ports[0].hostPort"),
]


@pytest.mark.parametrize("kind", WAYS_OF_POD)
@pytest.mark.parametrize(("pod", "path"), BAD, ids=[path for _, path in BAD])
def test_a_pod_that_wants_the_node_is_found_in_any_kind(
    kind: str, pod: dict[str, Any], path: str
) -> None:
    (found,) = findings_of(_in(kind, pod))
    assert found.path.endswith(path)


@pytest.mark.parametrize("kind", WAYS_OF_POD)
def test_an_ordinary_pod_is_not_found(kind: str) -> None:
    ordinary: dict[str, Any] = {
        "hostNetwork": False,
        "containers": [
            {
                "name": "a",
                "image": "a",
                "ports": [{"containerPort": 80, "hostPort": 0}],
                "securityContext": {
                    "privileged": False,
                    "capabilities": {"add": ["NET_BIND_SERVICE", "CAP_CHOWN"], "drop": ["ALL"]},
                    "seccompProfile": {"type": "RuntimeDefault"},
                    "procMount": "Default",
                },
            }
        ],
        "securityContext": {"sysctls": [{"name": "net.ipv4.tcp_syncookies", "value": "1"}]},
        "volumes": [{"name": "v", "emptyDir": {}}],
    }
    assert findings_of(_in(kind, ordinary)) == []


def test_a_definition_of_a_kind_that_describes_pods_is_none() -> None:
    schema: dict[str, Any] = {
        "hostNetwork": {"type": "boolean"},
        "hostPath": {"properties": {"path": {}}},
    }
    content: dict[str, Any] = {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "x"},
        "spec": {"schema": schema, "privileged": True},
    }
    assert findings_of(content) == []


@pytest.mark.parametrize(
    "content",
    [
        {"kind": "PersistentVolume", "spec": {"hostPath": {"path": "/etc"}}},
        {"kind": "PersistentVolume", "spec": {"local": {"path": "/etc"}}},
        {
            "kind": "Namespace",
            "metadata": {"labels": {"pod-security.kubernetes.io/enforce": "privileged"}},
        },
        {
            "kind": "Pod",
            "metadata": {
                "annotations": {"container.apparmor.security.beta.kubernetes.io/a": "unconfined"}
            },
        },
    ],
)
def test_what_is_around_pods_is_found_too(content: dict[str, Any]) -> None:
    assert len(findings_of({"apiVersion": "v1", **content})) == 1


def _rbac(kind: str, **more: Any) -> dict[str, Any]:
    return {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": kind, **more}


@pytest.mark.parametrize(
    ("content", "path"),
    [
        (_rbac("Role", rules=[{"verbs": ["*"], "resources": ["pods"]}]), "rules[0].verbs"),
        (_rbac("Role", rules=[{"verbs": ["get"], "resources": ["*"]}]), "rules[0].resources"),
        (_rbac("ClusterRole", rules=[{"verbs": ["bind"], "resources": ["x"]}]), "rules[0].verbs"),
        (_rbac("Role", rules=[{"verbs": ["escalate"], "resources": ["roles"]}]), "rules[0].verbs"),
        (_rbac("Role", rules=[{"verbs": ["impersonate"], "resources": ["u"]}]), "rules[0].verbs"),
        (
            _rbac(
                "Role", rules=[{}, {"verbs": ["create"], "resources": ["serviceaccounts/token"]}]
            ),
            "rules[1].resources",
        ),
        (
            _rbac("ClusterRole", rules=[{"verbs": ["get"], "nonResourceURLs": ["*"]}]),
            "rules[0].nonResourceURLs",
        ),
        (_rbac("ClusterRole", aggregationRule={"clusterRoleSelectors": [{}]}), "aggregationRule"),
        (_rbac("RoleBinding", roleRef={"name": "cluster-admin"}), "roleRef.name"),
        (_rbac("ClusterRoleBinding", roleRef={"name": "admin"}), "roleRef.name"),
        (
            _rbac(
                "RoleBinding",
                roleRef={"name": "view"},
                subjects=[{"name": "a"}, {"kind": "Group", "name": "system:authenticated"}],
            ),
            "subjects[1].name",
        ),
    ],
)
def test_rights_that_lead_to_all_rights_are_found(content: dict[str, Any], path: str) -> None:
    (found,) = findings_of(content)
    assert found.path == path


def test_ordinary_rights_are_not_found() -> None:
    rule = {"apiGroups": [""], "verbs": ["get", "list"], "resources": ["pods", "pods/log"]}
    assert findings_of(_rbac("Role", rules=[rule])) == []
    binding = _rbac("RoleBinding", roleRef={"kind": "ClusterRole", "name": "admin"})
    assert findings_of(binding) == []
    assert bound_role(binding) is None
    assert bound_role(_rbac("RoleBinding", roleRef={"kind": "ClusterRole", "name": "x"})) == (
        "ClusterRole",
        "x",
        None,
    )
    assert bound_role(_rbac("Role", rules=[])) is None


def test_what_is_privileged_already_may_not_be_changed_either() -> None:
    pod = _container(securityContext={"privileged": True})
    live, wanted = _in("apps/v1/DaemonSet", pod), _in("apps/v1/DaemonSet", pod)
    wanted["spec"]["template"]["spec"]["containers"][0]["image"] = "another"
    assert added(wanted, live)


def test_a_label_of_a_namespace_may_stay_as_it_was() -> None:
    live = {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"labels": {"pod-security.kubernetes.io/enforce": "privileged"}},
    }
    assert added(live, live) == []
    assert added(live, None)


def test_the_refusal_names_the_field_and_who_may_allow_it() -> None:
    found = findings_of(_in("apps/v1/Deployment", {**PLAIN, "hostPID": True}))
    error = refusal("document 1 (Deployment x)", found, bound=True)
    assert error.code == "not_allowed"
    assert "spec.template.spec.hostPID" in error.message
    assert "K8S_ALLOW_PRIVILEGED" in str(error.hint)
    assert error.details["reason"] == "privileged"
    assert error.details["fields"][0]["path"] == "spec.template.spec.hostPID"
