"""What needs no server: paths of fields, names of kinds, quantities, rollouts, what is a secret."""

from base64 import b64encode
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flotilla.errors import InvalidArgument
from k8s.fields import picked, steps_of
from k8s.hiding import holds_whole, is_secret_literal, shown
from k8s.kinds import ResourceRef, group_versions, named, segment
from k8s.logs import moment
from k8s.rollout_state import progress_of
from k8s.rollouts import selector_of
from k8s.seen import deployment_of, machine_of
from k8s.tables import Row, rendered
from k8s.usage import quantity

PODS = ResourceRef(group="", version="v1", plural="pods", kind="Pod", short_names=("po",))
METRICS = ResourceRef(group="metrics.k8s.io", version="v1beta1", plural="pods", kind="PodMetrics")


@pytest.mark.parametrize(
    ("path", "steps"),
    [
        ("spec.replicas", ["spec", "replicas"]),
        ("spec.containers[0].image", ["spec", "containers", 0, "image"]),
        ('metadata.labels["a.b/name"]', ["metadata", "labels", "a.b/name"]),
        (r"metadata.labels.a\.b/name", ["metadata", "labels", "a.b/name"]),
        ("data['a b']", ["data", "a b"]),
    ],
)  # fmt: skip
def test_a_path_names_keys_and_indexes(path: str, steps: list[str | int]) -> None:
    assert steps_of(path) == steps


@pytest.mark.parametrize("path", ["spec..x", "spec[", "spec[-1]", "a" + ".b" * 50, "spec[x]"])
def test_what_is_no_path_is_told(path: str) -> None:
    with pytest.raises(InvalidArgument):
        steps_of(path)


def test_a_path_to_nothing_says_what_there_is() -> None:
    thing = {"spec": {"replicas": 2, "list": [1]}}
    assert picked(thing, "spec.list[0]") == 1
    with pytest.raises(InvalidArgument) as error:
        picked(thing, "spec.image")
    assert error.value.hint == "There are: replicas, list."
    with pytest.raises(InvalidArgument, match="there are 1 items"):
        picked(thing, "spec.list[1]")


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("pods", PODS), ("Pod", PODS), ("po", PODS), ("PODS", PODS), ("pods/v1", PODS),
        ("pods.metrics.k8s.io", METRICS), ("podmetrics", METRICS),
        ("pods.v1beta1.metrics.k8s.io", METRICS), ("pods/v2", None), ("pods.apps", None),
    ],
)  # fmt: skip
def test_a_kind_goes_by_many_names_and_the_core_goes_first(
    name: str, found: ResourceRef | None
) -> None:
    assert named([PODS, METRICS], name) is found


def test_the_preferred_version_of_a_group_goes_first() -> None:
    versions = [{"groupVersion": "batch/v1beta1"}, {"groupVersion": "batch/v1"}]
    group = {"name": "batch", "versions": versions, "preferredVersion": versions[1]}
    assert group_versions({"groups": [group]}) == ["batch/v1", "batch/v1beta1"]


@given(st.text())
def test_no_name_leaves_its_segment_of_a_path(name: str) -> None:
    try:
        told = segment(name, "name")
    except InvalidArgument:
        return
    assert told not in (".", "..")
    assert not set(told) & set("/?#\\ ")
    assert told.isascii()


@pytest.mark.parametrize(
    ("text", "value"),
    [("1500m", 1.5), ("2", 2), ("128Mi", 128 * 2**20), ("1e3", 1000), ("250000n", 0.00025),
     ("1.5Gi", 1.5 * 2**30), ("5k", 5000), ("", 0), ("lots", 0)],
)  # fmt: skip
def test_a_quantity_is_a_number(text: str, value: float) -> None:
    assert quantity(text) == pytest.approx(value)


def workload(spec: dict[str, Any], status: dict[str, Any], generation: int = 2) -> dict[str, Any]:
    return {"metadata": {"generation": generation}, "spec": spec,
            "status": {"observedGeneration": 2, **status}}  # fmt: skip


FULL = {"replicas": 3, "updatedReplicas": 3, "readyReplicas": 3, "availableReplicas": 3}
LATE = {"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded"}


@pytest.mark.parametrize(
    ("kind", "thing", "phase", "words"),
    [
        ("Deployment", workload({"replicas": 3}, FULL), "complete", "all replicas"),
        ("Deployment", workload({"replicas": 3}, FULL, 3), "progressing", "not seen"),
        ("Deployment", workload({"replicas": 3}, {**FULL, "updatedReplicas": 1}),
         "progressing", "1 of 3 replicas have been updated"),
        ("Deployment", workload({"replicas": 3}, {**FULL, "replicas": 5}),
         "progressing", "2 old replicas"),
        ("Deployment", workload({"replicas": 3}, {**FULL, "availableReplicas": 2}),
         "progressing", "2 of 3 replicas are available"),
        ("Deployment", workload({"replicas": 3, "paused": True}, {**FULL, "updatedReplicas": 0}),
         "paused", "paused"),
        ("Deployment", workload({"replicas": 3}, {**FULL, "conditions": [LATE]}),
         "failed", "progress deadline"),
        ("Deployment", workload({"replicas": 0}, {}), "complete", "all replicas"),
        ("Deployment", workload({}, {}), "progressing", "0 of 1"),
        ("StatefulSet", workload({"replicas": 3}, {**FULL, "updatedReplicas": 2}),
         "progressing", "2 of 3"),
        ("StatefulSet", workload(
            {"replicas": 3, "updateStrategy": {"rollingUpdate": {"partition": 2}}},
            {**FULL, "updatedReplicas": 1}), "complete", "all replicas"),
        ("StatefulSet", workload({"replicas": 3, "updateStrategy": {"type": "OnDelete"}}, {}),
         "complete", "OnDelete"),
        ("DaemonSet", workload({}, {"desiredNumberScheduled": 2, "updatedNumberScheduled": 2,
                                    "numberReady": 1, "numberAvailable": 1}),
         "progressing", "1 of 2"),
    ],
)  # fmt: skip
def test_a_rollout_is_judged_as_kubectl_judges_it(
    kind: str, thing: dict[str, Any], phase: str, words: str
) -> None:
    at = progress_of(kind, thing)
    assert at.phase == phase
    assert words in at.reason


def test_a_selector_is_written_as_a_list_takes_it() -> None:
    expressions = [
        {"key": "tier", "operator": "In", "values": ["a", "b"]},
        {"key": "old", "operator": "DoesNotExist"},
        {"key": "env", "operator": "NotIn", "values": ["dev"]},
        {"key": "team", "operator": "Exists"},
    ]
    told = selector_of({"matchLabels": {"app": "web"}, "matchExpressions": expressions})
    assert told == "app=web,tier in (a,b),!old,env notin (dev),team"


@pytest.mark.parametrize(
    "name", ["DB_PASSWORD", "API_KEY", "GITHUB_TOKEN", "PGPASS", "client-secret", "apiKey", "KEY"]
)
def test_a_variable_that_is_named_a_secret_is_one(name: str) -> None:
    assert is_secret_literal(name, "s3cr3t")


@pytest.mark.parametrize("name", ["LOG_LEVEL", "KEYBOARD", "TOKENIZER", "PASSENGERS", "HOST"])
def test_a_variable_that_is_not_named_a_secret_is_shown(name: str) -> None:
    assert not is_secret_literal(name, "value")


def test_secrets_are_hidden_wherever_they_stand_in_an_object() -> None:
    inner = {"kind": "Secret", "metadata": {"name": "s"}, "data": {"k": "aGlkZGVu"}}
    thing = {"kind": "Bundle", "metadata": {"name": "b"}, "spec": {"objects": [inner]}}
    told = shown(thing)
    assert told["spec"]["objects"][0]["data"] == {"k": "<hidden: 6 bytes>"}
    assert inner["data"] == {"k": "aGlkZGVu"}, "the object itself stays as it is"
    assert holds_whole("kubectl.kubernetes.io/last-applied-configuration")
    assert holds_whole("objectset.rio.cattle.io/applied")
    assert not holds_whole("team")


@pytest.mark.parametrize("title", ["PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY"])
def test_a_private_key_in_base64_is_hidden_in_any_text(title: str) -> None:
    key, certificate = encoded_pem(title), encoded_pem("CERTIFICATE")
    text = f"client-key-data: {key}\nclient-certificate-data: {certificate}\n"
    thing = {"kind": "ConfigMap", "metadata": {"name": "c"}, "data": {"kubeconfig": text}}
    told = shown(thing)["data"]["kubeconfig"]
    assert key[20:] not in told
    assert certificate in told


def encoded_pem(title: str) -> str:
    body = "MIIEowIBAAKCAQEA" * 20
    return b64encode(f"-----BEGIN {title}-----\n{body}\n-----END {title}-----\n".encode()).decode()


def test_moments_keep_their_nanoseconds() -> None:
    assert moment("2026-01-02T03:04:05.000000001Z") > moment("2026-01-02T03:04:05Z")
    assert moment("2026-01-02T05:04:05+02:00") == moment("2026-01-02T03:04:05Z")
    for bad in ("yesterday", "2026-13-02T03:04:05Z", "2026-01-02"):
        with pytest.raises(InvalidArgument):
            moment(bad)


def test_a_pod_is_its_deployments_only_by_the_hash_of_its_template() -> None:
    owner = {"kind": "ReplicaSet", "name": "web-app-5d4f"}
    assert deployment_of({"labels": {"pod-template-hash": "5d4f"}, "ownerReferences": [owner]}) == (
        "web-app"
    )
    assert deployment_of({"labels": {}, "ownerReferences": [owner]}) is None
    assert deployment_of({"labels": {"pod-template-hash": "x"}, "ownerReferences": [owner]}) is None


@pytest.mark.parametrize(
    ("provider_id", "machine"),
    [("aws:///eu/i-0", "virtual_machine"), ("vsphere://42", "virtual_machine"), ("", "server"),
     ("metal3://x", "server"), ("kind://docker/kind/node", "server")],
)  # fmt: skip
def test_a_node_is_a_virtual_machine_where_a_cloud_provides_it(
    provider_id: str, machine: str
) -> None:
    assert machine_of([{"spec": {"providerID": provider_id}}]) == machine


def test_a_table_is_drawn_in_columns_that_no_cell_can_forge() -> None:
    rows = (Row("a", "x", {"Name": "x", "Note": "one\ntwo   three"}), Row("b", "y", {"Name": "y"}))
    assert rendered(("Name", "Note"), rows, namespaces=True).splitlines() == [
        "NAMESPACE   NAME   NOTE",
        "a           x      one two three",
        "b           y      <none>",
    ]
