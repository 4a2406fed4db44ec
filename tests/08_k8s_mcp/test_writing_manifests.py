"""What is taken for a manifest, and what is refused before any cluster hears of it."""

import contextlib
import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flotilla import FlotillaError, InvalidArgument, TooLarge
from k8s.manifests import MAX_DOCUMENTS, read_manifest, read_object

HEAD = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n"


def _data(text: str) -> object:
    (document,) = read_manifest(HEAD + text)
    return document.content.get("data")


def test_namespaces_and_definitions_of_kinds_come_before_the_rest_whose_order_stays() -> None:
    text = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: settings, namespace: shop}
---
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: things.example.org}
---
---
apiVersion: v1
kind: Namespace
metadata: {name: shop}
"""
    found = read_manifest(text)
    assert [(each.kind, each.number) for each in found] == [
        ("Namespace", 4),
        ("CustomResourceDefinition", 3),
        ("Deployment", 1),
        ("ConfigMap", 2),
    ]


def test_json_and_lists_of_objects_are_manifests_too() -> None:
    a, b = (
        json.dumps({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}})
        for name in ("a", "b")
    )
    listed = f'{{"apiVersion": "v1", "kind": "List", "items": [{a}, {b}]}}'
    assert [each.name for each in read_manifest(listed)] == ["a", "b"]
    assert [each.name for each in read_manifest(f"[{a}, {b}]")] == ["a", "b"]


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("0644", 420),
        ("0o644", 420),
        ("0x1F", 31),
        ("10", 10),
        ("-7", -7),
        ("1.5", 1.5),
        ("22:22", "22:22"),
        ("2026-01-31", "2026-01-31"),
        ("1234e567", "1234e567"),
        ("true", True),
        ("~", None),
        ("'yes'", "yes"),
        ("1_000", "1_000"),
        ("100m", "100m"),
    ],
)
def test_plain_values_are_read_as_kubectl_reads_them(written: str, read: object) -> None:
    assert _data(f"data: {{value: {written}}}") == {"value": read}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("data: {a: 1, a: 2}", "line 4: the key 'a' stands twice"),
        ("data: &x {a: b}\nmore: *x", "anchors and aliases"),
        ("data: {a: *x}", "alias"),
        ("data: {a: yes}", "line 4: yes means different things"),
        ("data: {a: .inf}", ".inf"),
        ("data: {a: !!python/object/apply:os.system [ls]}", "tags such as"),
        ("data: {a: !!binary aGk=}", "tags such as"),
        ("data: {? [a] : b}", "a key must be text"),
        ("data: {a: 99999999999999999999}", "64 bits"),
        ("data: {a: " + "9" * 5000 + "}", "64 bits"),
        ("data: " + "[" * 100 + "]" * 100, "levels deep"),
        ("data: [", "not valid YAML: line"),
    ],
)
def test_what_could_be_misread_is_refused_with_its_line(text: str, told: str) -> None:
    with pytest.raises(InvalidArgument) as refused:
        read_manifest(HEAD + text)
    assert told in refused.value.message


@pytest.mark.parametrize(
    "text",
    [
        "",
        "---\n---\n",
        "just words",
        "kind: ConfigMap\nmetadata: {name: a}",
        "apiVersion: v1\nmetadata: {name: a}",
        "apiVersion: v1\nkind: ConfigMap",
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {generateName: a-}",
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: ../../nodes/n1}",
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, namespace: ../x}",
        "apiVersion: ../../v1\nkind: ConfigMap\nmetadata: {name: a}",
        '{"apiVersion": "v1", "kind": "ConfigMap", "kind": "Secret", "metadata": {"name": "a"}}',
        '{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "x": NaN}',
        '{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "x": 1e999}',
        "[" * 100_000,
    ],
)
def test_what_is_no_manifest_is_told_so(text: str) -> None:
    with pytest.raises(InvalidArgument):
        read_manifest(text)


def test_size_and_number_of_documents_are_bounded() -> None:
    with pytest.raises(TooLarge):
        read_manifest(HEAD + "data: {a: '" + "x" * 300_000 + "'}")
    with pytest.raises(TooLarge):
        read_manifest("---\n".join(HEAD for _ in range(MAX_DOCUMENTS + 1)))


def test_a_bomb_of_aliases_is_refused_before_it_grows() -> None:
    levels = "\n".join(
        f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 9)}]" if n else "l0: &l0 [a]" for n in range(12)
    )
    started = time.process_time()
    with pytest.raises(FlotillaError):
        read_manifest(HEAD + levels)
    assert time.process_time() - started < 0.5


def test_a_patch_is_one_value() -> None:
    assert read_object('[{"op": "remove", "path": "/spec"}]', "patch") == [
        {"op": "remove", "path": "/spec"}
    ]
    assert read_object("spec: {replicas: 2}", "patch") == {"spec": {"replicas": 2}}
    with pytest.raises(InvalidArgument):
        read_object("a: 1\n---\nb: 2\n", "patch")


@given(
    st.lists(
        st.sampled_from([*"{}[],:-&*!|>'\"#%@`? \n\t~<0x.e", "---\n", "apiVersion", "v1", "kind"]),
        max_size=60,
    )
)
def test_whatever_is_written_is_read_or_refused_in_our_words(parts: list[str]) -> None:
    for text in ("".join(parts), f"{HEAD}data: {''.join(parts)}"):
        with contextlib.suppress(FlotillaError):
            assert read_manifest(text)
