"""A document is read whole or refused in words, in bounded time, whoever wrote it."""

import json
from time import perf_counter
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from flotilla import FlotillaError, TooLarge
from master.external.openapi import BadDocument, import_document, load
from master.external.openapi.document import MAX_BYTES
from master.external.openapi.yaml_text import BadYaml, read_yaml

HOSTILE_S = 20.0
"""Far above what any takes here (the slowest about 5 s), far below what an attack would."""


def test_yaml_is_read_as_the_json_that_it_stands_for() -> None:
    text = """
    openapi: 3.1.0
    paths: {}
    x: &x {a: no, b: on, c: 2024-01-01, d: 12:30:45, e: 0x1F, f: 0o17, g: 010, h: 1e3, i: .5}
    200: ~
    y: ["true", 'null', !!str 5, null, True, -3, 1_000, .inf, =]
    z: {<<: [*x, {j: 1}], a: own}
    text: |
      two
      lines
    """
    root = load(text).root
    words = {"a": "no", "b": "on", "c": "2024-01-01", "d": "12:30:45"}
    assert root["x"] == words | {"e": 31, "f": 15, "g": 10, "h": 1000.0, "i": 0.5}
    assert root["200"] is None
    assert root["y"] == ["true", "null", "5", None, True, -3, "1_000", ".inf", "="]
    assert root["z"] == {**root["x"], "j": 1, "a": "own"}
    assert root["text"] == "two\nlines\n"


_json = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(_json)
def test_json_is_yaml_and_reads_the_same(value: Any) -> None:
    text = json.dumps(value)
    if "<<" in text or "\\ud" in text.lower() or "\\u007f" in text:
        return
    assert read_yaml(text, max_nodes=1000, max_depth=100) == value


@given(_json)
def test_what_a_yaml_writer_writes_is_read_back(value: Any) -> None:
    # YAML 1.1 writes some texts plain that 1.2 reads as numbers; quoted they are texts in both.
    text = yaml.safe_dump(value, allow_unicode=True, default_style='"')
    if "!!" in text or "<<" in text:
        return
    assert read_yaml(text, max_nodes=1000, max_depth=100) == value


@given(st.text(alphabet="ab:-{}[],&*!|>#'\"\n ~<?%@`0", max_size=60))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        json.dumps(read_yaml(text, max_nodes=1000, max_depth=50))
    except BadYaml as error:
        assert str(error)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("swagger: '2.0'", "Swagger 2.0"),
        ('{"swagger": "2.0"}', "Swagger 2.0"),
        ("openapi: 2.0", "`openapi` is '2.0'"),
        ("openapi: 3.2.0", "3.0 and 3.1 are read"),
        ("{}", "is missing"),
        ("[]", "no object"),
        ("", "no object"),
        ("just text", "no object"),
        ('{"openapi": "3.1.0"', "no valid JSON"),
        ('{"openapi": "3.1.0", "x": [1e999]}', "too large to be JSON"),
        ("a: b: c", "no valid YAML"),
        ("a: 1\na: 2", "'a' stands twice"),
        ("a: *b", "stands for nothing"),
        ("a: &b [*b]", "stands for nothing"),
        ("? [a]\n: b", "no text"),
        ("a\n---\nb", "several YAML documents"),
        (b"\xff\xfe", "not UTF-8"),
        ("openapi: 3.0.0\npaths: {}", "no operations"),
        ("openapi: 3.0.0\npaths: []", "no operations"),
        ("openapi: 3.0.0\npaths: {/a: {$ref: 'x.yaml#/a'}}", "leads out of the document"),
    ],
)
def test_what_is_no_document_is_told(text: Any, said: str) -> None:
    with pytest.raises(BadDocument, match=said) as refused:
        import_document(load(text))
    if "Swagger" in said:
        assert "swagger2openapi" in (refused.value.hint or "")


def laughs(kind: str) -> str:
    first = "[x, x, x, x, x, x, x, x, x]" if kind == "list" else "{k: 1}"
    lines = [f"openapi: 3.0.0\na0: &a0 {first}"]
    for level in range(1, 15):
        nine = ", ".join([f"*a{level - 1}"] * 9)
        value = f"[{nine}]" if kind == "list" else f"{{<<: [{nine}]}}"
        lines.append(f"a{level}: &a{level} {value}")
    return "\n".join(lines)


def with_schemas(schemas: dict[str, Any], *used: str) -> str:
    parameters = [
        {"name": name, "in": "query", "schema": {"$ref": f"#/components/schemas/{name}"}}
        for name in used
    ]
    paths = {"/a": {"get": {"parameters": parameters}}}
    return json.dumps({"openapi": "3.1.0", "paths": paths, "components": {"schemas": schemas}})


def ref(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{name}"}


def one_for_all(item: dict[str, Any]) -> str:
    """A small document of 2000 paths that all refer to one large one."""
    paths = {f"/a{n}": {"$ref": "#/x"} for n in range(2000)}
    return json.dumps({"openapi": "3.0.0", "paths": paths, "x": item})


HOSTILE = {
    "laughs": laughs("list"),
    "merged laughs": laughs("map"),
    "too many bytes": "x" * (MAX_BYTES + 1),
    "open brackets": "[" * 5_000_000,
    "open braces": '{"a":' * 2_000_000,
    "deep JSON": '{"openapi":"3.0.0","x":' + "[" * 500 + "]" * 500 + "}",
    "deep YAML": "openapi: 3.0.0\nx: " + "[" * 500 + "]" * 500,
    "deep aliases": "openapi: 3.0.0\na0: &a0 []\n"
    + "\n".join(f"a{n}: &a{n} [*a{n - 1}]" for n in range(1, 300)),
    "many values": '{"openapi":"3.0.0","x":[' + ",".join(["[]"] * 3_000_000) + "]}",
    "many lines": "- a\n" * 3_000_000,
    "a huge number": '{"openapi":"3.0.0","x":' + "9" * 5_000_000 + "}",
    "an alias of itself": with_schemas({"A": ref("A")}, "A"),
    "a circle": with_schemas({"A": ref("B"), "B": ref("C"), "C": ref("A")}, "A"),
    "a circle in allOf": with_schemas({"A": {"allOf": [{"not": ref("A")}]}}, "A"),
    "a chain": with_schemas(
        {f"A{n}": {"anyOf": [ref(f"A{n + 1}")]} for n in range(5000)} | {"A5000": {}}, "A0"
    ),
    "many definitions": with_schemas(
        {"A": {"properties": {f"p{n}": ref(f"B{n}") for n in range(20_000)}}}
        | {f"B{n}": {"type": "string"} for n in range(20_000)},
        "A",
    ),
    "a large schema": with_schemas({"A": {"enum": ["x" * 100] * 10_000}}, "A"),
    "10,000 operations": json.dumps(
        {"openapi": "3.0.0", "paths": {f"/a{n}": {"get": {}} for n in range(10_000)}}
    ),
    "10 MB in one path": json.dumps({"openapi": "3.0.0", "paths": {"a" * 10_000_000: {"get": {}}}}),
    "a circle of parameters": json.dumps(
        {
            "openapi": "3.0.0",
            "paths": {"/a": {"get": {"parameters": [{"$ref": "#/x/a"}]}}},
            "x": {"a": {"$ref": "#/x/b"}, "b": {"$ref": "#/x/a"}},
        }
    ),
    "one large schema for all": one_for_all(
        {
            "get": {
                "parameters": [
                    {
                        "name": "q",
                        "in": "query",
                        "schema": {
                            "properties": {f"p{n}": {"type": "string"} for n in range(50_000)}
                        },
                    }
                ]
            }
        }
    ),
    "one large enum for all": one_for_all(
        {
            "post": {
                "requestBody": {"content": {"a/json": {"schema": {"enum": ["x" * 9] * 300_000}}}}
            }
        }
    ),
    "many parameters for all": one_for_all(
        {"parameters": [{"name": "q", "in": "query"}] * 100_000, "get": {}}
    ),
    "a body of bodies": json.dumps(
        {
            "openapi": "3.0.0",
            "paths": {
                "/a": {
                    "post": {
                        "requestBody": {"content": {"application/json": {"schema": ref("A0")}}}
                    }
                }
            },
            "components": {
                "schemas": {f"A{n}": {"allOf": [ref(f"A{n + 1}")] * 50} for n in range(60)}
            },
        }
    ),
}


@pytest.mark.real
@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_document_ends_in_a_clear_error_in_bounded_time(name: str) -> None:
    started = perf_counter()
    with pytest.raises((BadDocument, TooLarge)) as refused:
        import_document(load(HOSTILE[name]))
    assert perf_counter() - started < HOSTILE_S
    assert 10 < len(refused.value.message) < 600


ENDS_WELL = {
    "many answers for all": one_for_all(
        {"get": {"responses": {str(n): {"content": {}} for n in range(100_000)}}}
    ),
    "many tags for all": one_for_all({"get": {"tags": ["a"] * 100_000}}),
    "many alternatives for all": json.dumps(
        {
            "openapi": "3.0.0",
            "paths": {f"/a{n}": {"get": {}} for n in range(2000)},
            "security": [{}] * 300_000,
        }
    ),
}


@pytest.mark.parametrize("name", ENDS_WELL)
def test_what_a_hostile_document_has_too_much_of_may_also_just_not_be_read(name: str) -> None:
    started = perf_counter()
    assert len(import_document(load(ENDS_WELL[name])).operations) == 2000
    assert perf_counter() - started < HOSTILE_S


def test_a_recursive_schema_that_ends_with_its_value_is_no_attack() -> None:
    text = with_schemas({"A": {"type": "object", "properties": {"inner": ref("A")}}}, "A")
    (operation,) = import_document(load(text)).operations.values()
    assert operation.input_schema["$defs"]["A"]["properties"] == {"inner": {"$ref": "#/$defs/A"}}


_anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=6),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    *("get", "post", "parameters", "name", "in", "schema", "content", "$ref"),
                    *("requestBody", "responses", "200", "application/json", "security", "servers"),
                    *("multipart/form-data", "encoding", "operationId", "tags", "type", "required"),
                    *("properties", "description", "summary", "url", "variables", "style"),
                ]
            ),
            inner,
            max_size=5,
        )
    ),
    max_leaves=30,
)


@given(
    st.dictionaries(st.sampled_from(["/a", "/{b}", "c", "/d{e}{f}"]), _anything, max_size=3),
    st.dictionaries(st.sampled_from(["schemas", "securitySchemes"]), _anything, max_size=2),
)
def test_garbage_in_any_place_never_breaks_the_reader(paths: Any, components: Any) -> None:
    text = json.dumps({"openapi": "3.1.0", "paths": paths, "components": components})
    try:
        imported = import_document(load(text))
    except FlotillaError as error:
        assert error.message
    else:
        json.dumps([operation.tool() for operation in imported.operations.values()])
