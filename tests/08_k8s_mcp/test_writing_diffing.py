"""What is shown of a change, and what of it never is."""

import base64
from typing import Any

from k8s.diffing import CUT, Fingerprints, bounded, changes, diff, shown

PRINTS = Fingerprints(b"k" * 32)


def _object(kind: str = "ConfigMap", **more: Any) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": kind, "metadata": {"name": "a", "namespace": "n"}, **more}


def test_what_the_server_adds_is_no_change() -> None:
    live = _object(data={"a": "1"}, status={"phase": "x"})
    live["metadata"] |= {
        "uid": "u",
        "resourceVersion": "7",
        "generation": 3,
        "creationTimestamp": "2026-01-01T00:00:00Z",
        "managedFields": [{"manager": "kubectl"}],
        "annotations": {"kubectl.kubernetes.io/last-applied-configuration": '{"data": 1}'},
    }
    assert shown(live, PRINTS) == shown(_object(data={"a": "1"}), PRINTS)
    assert diff(shown(live, PRINTS), shown(_object(data={"a": "1"}), PRINTS)) == ""


def test_a_diff_has_the_lines_that_change_with_some_around_them() -> None:
    before, after = (_object(data={"a": "x", "log": f"one\n{word}\n"}) for word in ("two", "2"))
    told = diff(shown(before, PRINTS), shown(after, PRINTS))
    assert told.startswith("--- live\n+++ after\n")
    assert "-    two\n+    2\n" in told
    assert diff(None, shown(after, PRINTS)).startswith("--- /dev/null\n+++ after\n")
    assert diff(shown(before, PRINTS), None).startswith("--- live\n+++ /dev/null\n")


def test_values_of_a_secret_never_stand_in_a_diff_but_that_they_changed_does() -> None:
    def secret(value: str) -> dict[str, Any]:
        return _object(
            "Secret",
            data={"same": "c2FtZQ==", "password": base64.b64encode(value.encode()).decode()},
            stringData={"more": value},
        )

    before, after = shown(secret("canary-one"), PRINTS), shown(secret("canary-two"), PRINTS)
    told = diff(before, after)
    for text in ("canary-one", "canary-two", base64.b64encode(b"canary-two").decode(), "c2FtZQ"):
        assert text not in told
        assert text not in str(before) + str(after)
    assert "-  password: (hidden, " in told
    assert "-  same" not in told
    assert shown(secret("canary-one"), Fingerprints()) != before, "the key makes the difference"


def test_equal_secrets_at_two_places_look_different() -> None:
    found = shown(_object("Secret", data={"a": "c2FtZQ==", "b": "c2FtZQ=="}), PRINTS)
    assert found["data"]["a"] != found["data"]["b"]


def test_literals_that_look_like_secrets_are_hidden_wherever_they_stand() -> None:
    container = {
        "name": "web",
        "env": [
            {"name": "DB_PASSWORD", "value": "hunter2-canary"},
            {"name": "LEVEL", "value": "debug"},
        ],
    }
    content = _object(
        "Pod",
        spec={"containers": [container]},
        settings={"apiKey": "another-canary-1234"},
    )
    told = diff(None, shown(content, PRINTS))
    assert "canary" not in told
    assert "DB_PASSWORD" in told
    assert "debug" in told


def test_a_long_diff_is_cut_at_a_line_and_says_so() -> None:
    before = _object(data={f"k{n}": "x" * 50 for n in range(2000)})
    after = _object(data={f"k{n}": "y" * 50 for n in range(2000)})
    told = diff(before, after, 4096)
    assert len(told.encode()) <= 4096
    assert told.endswith(CUT)
    huge = _object(data={f"k{n}": "x" for n in range(20_000)})
    assert "too large" in diff(huge, after)
    assert bounded("a\n") == "a\n"


def test_changes_are_told_by_field() -> None:
    before = {"spec": {"replicas": 1, "list": [{"a": 1}], "gone": True}}
    after = {"spec": {"replicas": 3, "list": [{"a": 1}, {"b": 2}]}}
    assert changes(before, after) == [
        ("spec.replicas", 1, 3),
        ("spec.list[1]", None, {"b": 2}),
        ("spec.gone", True, None),
    ]
