"""A document's operations as tools: names, schemas, annotations, filters."""

import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from flotilla import InvalidArgument, TooLarge
from master.external.openapi import BadDocument, Choice, Document, import_document, load
from master.external.openapi.naming import argument_name, tool_names

Make = Callable[..., Document]


def tools_of(document: Document, **entry: Any) -> dict[str, dict[str, Any]]:
    imported = import_document(document, Choice.read(entry))
    assert imported.left_out == ()
    return {name: operation.tool() for name, operation in imported.operations.items()}


def test_names_are_operation_ids_with_the_verb_first(petstore: Document) -> None:
    assert list(tools_of(petstore)) == [
        *("listPets", "createPets", "getPetsByPetId", "replacePet", "deletePet", "updatePet"),
        *("purgePetsHistory", "getPhoto", "uploadPhoto", "login", "putNote", "putBlob"),
        "putLabels",
    ]


@pytest.mark.parametrize(
    ("method", "path", "operation_id", "name"),
    [
        ("get", "/a", "repos/list-for-user", "listReposForUser"),
        ("get", "/a", "users.get", "getUsers"),
        ("get", "/a", "ListPets", "listPets"),
        ("post", "/a", "order_createForUser", "createOrderForUser"),
        ("get", "/a", "searchOrders", "searchOrders"),
        ("get", "/a", "findPets2ByStatus", "findPets2ByStatus"),
        ("post", "/a", "session", "postSession"),
        ("get", "/", "", "get"),
        ("delete", "/store/orders/{order-id}/items", "", "deleteStoreOrdersByOrderIdItems"),
        ("get", "/a", "HTTPServerList", "listHttpServer"),
        ("get", "/a", "日本", "getA"),
    ],
)
def test_a_name_is_camel_case(method: str, path: str, operation_id: str, name: str) -> None:
    assert tool_names([(method, path, operation_id)]) == [name]


_ids = st.sampled_from(["", "get_a", "getA", "a-get", "list", "x" * 80]) | st.text(max_size=12)


@given(
    st.dictionaries(
        st.tuples(
            st.sampled_from(["get", "post", "delete"]),
            st.sampled_from(["/a", "/A", "/{a}", "/a/b"]) | st.text(max_size=8),
        ),
        _ids,
        max_size=8,
    )
)
def test_names_are_safe_unique_and_independent_of_the_order(given: dict[Any, str]) -> None:
    operations = [(method, path, each) for (method, path), each in given.items()]
    names = tool_names(operations)
    assert len(set(names)) == len(names)
    for name in names:
        assert re.fullmatch(r"[a-z][a-zA-Z0-9]{0,47}|[a-z][a-zA-Z0-9]*_[0-9a-f]{8}", name)
        assert len(name) <= 48
    backwards = tool_names(operations[::-1])
    assert backwards == names[::-1]


def test_two_operations_that_meet_get_a_hash_and_the_one_that_said_it_keeps_it() -> None:
    names = tool_names([("get", "/a", "get_a"), ("get", "/b", "getA"), ("get", "/c", "get-a")])
    assert names[1] == "getA"
    assert names[0].startswith("getA_") and names[2].startswith("getA_")
    assert names[0] != names[2]


@given(st.text(max_size=90))
def test_an_argument_is_named_as_model_apis_take_it(wire: str) -> None:
    name = argument_name(wire)
    assert 0 < len(name) <= 64
    assert all(each.isascii() and (each.isalnum() or each in "_.-") for each in name)


def test_parameters_and_members_of_the_body_stand_side_by_side(petstore: Document) -> None:
    tool = tools_of(petstore)["replacePet"]
    assert tool["inputSchema"] == {
        "type": "object",
        "properties": {
            "petId": {"type": "string"},
            "name": {"type": "string"},
            "kind": {"type": ["string", "null"], "enum": ["cat", "dog", None]},
            "secret": {"type": "string", "writeOnly": True},
            "parent": {"$ref": "#/$defs/Named"},
        },
        "required": ["petId", "name"],
        "additionalProperties": False,
        "$defs": {
            "Named": {
                "type": "object",
                "required": ["name"],
                "properties": {"name": {"type": "string"}},
            }
        },
    }


def test_parameters_keep_what_they_say_and_credentials_are_nobodys_argument(
    petstore: Document,
) -> None:
    properties = tools_of(petstore)["listPets"]["inputSchema"]["properties"]
    assert properties == {
        "limit": {
            "type": "integer",
            "exclusiveMinimum": 0,
            "examples": [10],
            "description": "How many",
        },
        "filter_name": {"type": ["string", "null"]},
        "X-Request-Id": {"type": "string", "description": "For your logs."},
    }


def test_answers_are_promised_as_objects_and_others_are_wrapped(petstore: Document) -> None:
    tools = tools_of(petstore)
    pet = {
        "type": "object",
        "required": ["id", "name"],
        "properties": {
            "id": {"type": "integer"},
            # A stranger's regular expression could hang whoever checks the answer.
            "name": {"type": "string"},
            "mother": {"anyOf": [{"allOf": [{"$ref": "#/$defs/Pet"}]}, {"type": "null"}]},
            "children": {"type": "array", "items": {"$ref": "#/$defs/Pet"}},
        },
    }
    assert tools["createPets"]["outputSchema"] == {**pet, "$defs": {"Pet": pet}}
    assert tools["listPets"]["outputSchema"] == {
        "type": "object",
        "properties": {"result": {"type": "array", "items": {"$ref": "#/$defs/Pet"}}},
        "required": ["result"],
        "$defs": {"Pet": pet},
    }
    assert "outputSchema" not in tools["replacePet"]
    assert "outputSchema" not in tools["getPhoto"]


def test_nothing_is_promised_where_one_of_the_answers_is_empty(document: Make) -> None:
    answers = {
        "200": {"content": {"application/json": {"schema": {"type": "object"}}}},
        "202": {"description": "later"},
    }
    tools = tools_of(document({"/a": {"get": {"responses": answers}}}))
    assert "outputSchema" not in tools["getA"]


def test_several_answers_are_alternatives(document: Make) -> None:
    one = {"content": {"application/json": {"schema": {"type": "object", "required": ["a"]}}}}
    two = {"content": {"application/vnd.x+json": {"schema": {"type": "object"}}}}
    tools = tools_of(document({"/a": {"get": {"responses": {"200": one, "2XX": two}}}}))
    assert tools["getA"]["outputSchema"] == {
        "type": "object",
        "anyOf": [{"type": "object", "required": ["a"]}, {"type": "object"}],
    }


def test_annotations_say_what_the_method_promises(petstore: Document) -> None:
    hints = {
        name: {key: value for key, value in tool["annotations"].items() if key != "title"}
        for name, tool in tools_of(petstore).items()
    }
    writes = {"readOnlyHint": False, "idempotentHint": False, "openWorldHint": True}
    assert hints["listPets"] == {"readOnlyHint": True, "openWorldHint": True}
    assert hints["createPets"] == {**writes, "destructiveHint": False}
    assert hints["updatePet"] == {**writes, "destructiveHint": False}
    assert hints["replacePet"] == {**writes, "idempotentHint": True}
    assert hints["deletePet"] == {**writes, "idempotentHint": True, "destructiveHint": True}
    assert hints["purgePetsHistory"] == {**writes, "destructiveHint": True}


def test_a_description_says_what_when_and_how(petstore: Document) -> None:
    tools = tools_of(petstore)
    assert tools["listPets"]["title"] == "List pets"
    assert tools["listPets"]["description"] == ("List pets\n\nAll pets, page by page.\n\nGET /pets")
    assert tools["updatePet"]["description"].startswith("Deprecated.")


def test_a_long_description_is_cut_at_a_word_and_keeps_its_request(document: Make) -> None:
    tool = tools_of(document({"/a": {"get": {"description": "word " * 2000}}}))["getA"]
    assert len(tool["description"]) < 1300
    assert tool["description"].endswith("word …\n\nGET /a")


def test_invisible_text_does_not_reach_a_model(document: Make) -> None:
    told = "See\u200b this\U000e0041"
    tool = tools_of(document({"/a": {"get": {"summary": told, "description": told}}}))["getA"]
    assert tool["title"] == "See this"
    assert tool["description"] == "See this\n\nGET /a"


@pytest.mark.parametrize(
    ("entry", "names"),
    [
        ({"include": {"tags": ["pets"]}}, ["listPets", "createPets"]),
        (
            {"include": {"tags": ["pets", "writing"], "methods": ["POST", "DELETE"]}},
            ["createPets", "deletePet"],
        ),
        ({"include": {"operationIds": ["login", "createPets"]}}, ["createPets", "login"]),
        (
            {"include": {"paths": ["/pets/{petId}"]}, "exclude": {"methods": ["get", "put"]}},
            ["deletePet", "updatePet", "purgePetsHistory", "uploadPhoto"],
        ),
        ({"include": {"paths": ["/log"]}, "exclude": {}}, None),
    ],
)
def test_a_filter_chooses(petstore: Document, entry: Any, names: list[str] | None) -> None:
    if names is None:
        with pytest.raises(BadDocument, match="leave none of the document's 13"):
            tools_of(petstore, **entry)
    else:
        assert list(tools_of(petstore, **entry)) == names


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ({"include": []}, "include: must be an object"),
        ({"exclude": {"tag": ["a"]}}, "exclude: unknown member 'tag'"),
        ({"include": {"paths": "/a"}}, "include.paths: must be a list"),
    ],
)
def test_a_mistaken_filter_is_told(entry: Any, said: str) -> None:
    with pytest.raises(InvalidArgument, match=said):
        Choice.read(entry)


def test_parameters_of_one_name_in_several_places_get_names_of_their_own(document: Make) -> None:
    places = [{"name": "id", "in": place} for place in ("query", "header", "cookie", "path")]
    tool = tools_of(document({"/a/{id}": {"get": {"parameters": places}}}))["getAById"]
    assert list(tool["inputSchema"]["properties"]) == ["id", "id_query", "id_header", "id_cookie"]


def test_a_body_that_clashes_or_is_open_stays_whole(document: Make) -> None:
    def body(schema: Any, required: bool = True) -> dict[str, Any]:
        content = {"application/json": {"schema": schema}}
        return {"required": required, "content": content}

    named = {"type": "object", "properties": {"id": {}}, "required": ["id"]}
    open_one = {**named, "additionalProperties": True}
    chosen = {"oneOf": [named, named]}
    parameter = {"name": "id", "in": "query"}
    tools = tools_of(
        document(
            {
                "/clash": {"post": {"parameters": [parameter], "requestBody": body(named)}},
                "/open": {"post": {"requestBody": body(open_one)}},
                "/chosen": {"post": {"requestBody": body(chosen)}},
                "/optional": {"post": {"requestBody": body(named, required=False)}},
                "/lifted": {"post": {"requestBody": body(named)}},
            }
        )
    )
    arguments = {name: list(tool["inputSchema"]["properties"]) for name, tool in tools.items()}
    assert arguments == {
        "postClash": ["id", "body"],
        "postOpen": ["body"],
        "postChosen": ["body"],
        "postOptional": ["body"],
        "postLifted": ["id"],
    }
    assert "required" not in tools["postOptional"]["inputSchema"]


@pytest.mark.parametrize(
    ("reference", "said"),
    [
        ("other.yaml#/A", "leads out of the document"),
        ("https://example.com/a.json", "leads out of the document"),
        ("#/components/schemas/None", "names nothing"),
        ("#anchor", "only JSON pointers"),
    ],
)
def test_a_reference_that_leads_nowhere_here_leaves_its_operation_out(
    document: Make, reference: str, said: str
) -> None:
    bad = {"parameters": [{"name": "q", "in": "query", "schema": {"items": {"$ref": reference}}}]}
    imported = import_document(document({"/a": {"get": bad}, "/b": {"get": {}}}))
    assert list(imported.operations) == ["getB"]
    assert imported.left_out[0].operation == "GET /a"
    assert said in imported.left_out[0].reason
    with pytest.raises(BadDocument, match=said):
        import_document(document({"/a": {"get": bad}}))


@pytest.mark.parametrize(
    "path", ["/a/../b", "/%2e%2E/b", "/a?x=1", "/a#b", "a", "/a\\b", "/a\r\nb"]
)
def test_a_path_that_is_no_path_is_left_out(document: Make, path: str) -> None:
    imported = import_document(document({path: {"get": {}}, "/ok": {"get": {}}}))
    assert list(imported.operations) == ["getOk"]


def test_3_1_is_read_as_the_json_schema_that_it_is(document: Make) -> None:
    schema = {
        "type": ["object", "null"],
        "properties": {
            "a": {"const": 1},
            "b": {"$ref": "#/components/schemas/B", "description": "beside a reference"},
            "c": {"type": "array", "prefixItems": [{"type": "string"}], "items": False},
            "d": {"exclusiveMinimum": 3},
            "e": True,
        },
        "if": {"required": ["a"]},
        "then": {"required": ["b"]},
        "$id": "https://example.com/x",
    }
    body = {"content": {"application/json": {"schema": schema}}}
    components = {"schemas": {"B": {"type": "string"}}}
    tools = tools_of(document({"/a": {"post": {"requestBody": body}}}, components=components))
    whole = tools["postA"]["inputSchema"]["properties"]["body"]
    expected = {key: value for key, value in schema.items() if key != "$id"}
    expected["properties"] = {
        **schema["properties"],  # type: ignore[dict-item]
        "b": {"$ref": "#/$defs/B", "description": "beside a reference"},
    }
    assert whole == expected


_json = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=8,
)
_KEYWORDS = """
    type properties required items enum const allOf anyOf oneOf not if then $ref nullable minimum
    exclusiveMinimum maximum exclusiveMaximum multipleOf minLength maxItems pattern format example
    examples default readOnly writeOnly additionalProperties patternProperties uniqueItems
    dependentRequired dependentSchemas prefixItems contains propertyNames unevaluatedProperties
    $defs $id $anchor $dynamicRef $schema discriminator deprecated description title
    """
_keywords = st.sampled_from(_KEYWORDS.split())
_values = (
    st.sampled_from(["object", "string", "array", "file", "any", "#/components/schemas/A", True])
    | st.lists(st.sampled_from(["object", "null", "a", 1]), max_size=3)
    | _json
)
_schemas = st.recursive(
    st.dictionaries(_keywords, _values, max_size=5),
    lambda inner: (
        st.fixed_dictionaries(
            {"properties": st.dictionaries(st.text(max_size=3), inner, max_size=2)}
        )
        | st.fixed_dictionaries({"allOf": st.lists(inner, max_size=2)})
        | st.fixed_dictionaries({"items": inner})
        | st.dictionaries(_keywords, inner, max_size=3)
    ),
    max_leaves=6,
)


@given(schema=_schemas, other=_schemas, version=st.sampled_from(["3.0.0", "3.1.0"]))
def test_whatever_a_document_calls_a_schema_comes_out_valid_and_closed(
    schema: Any, other: Any, version: str
) -> None:
    media = {"content": {"application/json": {"schema": schema}}}
    text = json.dumps(
        {
            "openapi": version,
            "paths": {
                "/a": {
                    "post": {
                        "parameters": [{"name": "q", "in": "query", "schema": schema}],
                        "requestBody": media,
                        "responses": {"200": media},
                    }
                },
                "/ok": {"get": {}},
            },
            "components": {"schemas": {"A": other}},
        }
    )
    for tool in (each.tool() for each in import_document(load(text)).operations.values()):
        for member in {"inputSchema", "outputSchema"} & tool.keys():
            assert tool[member]["type"] == "object"
            Draft202012Validator.check_schema(tool[member])
            for reference in _references(tool[member]):
                assert reference.removeprefix("#/$defs/") in tool[member]["$defs"]


def _references(schema: Any) -> list[str]:
    """Every `$ref` where a validator would follow one."""
    found: list[str] = []
    if isinstance(schema, list):
        for each in schema:
            found += _references(each)
    elif isinstance(schema, dict):
        for key, value in schema.items():
            if key == "$ref":
                found.append(value)
            elif key in ("properties", "$defs", "dependentSchemas"):
                found += [each for inner in value.values() for each in _references(inner)]
            elif key not in ("enum", "const", "default", "examples", "dependentRequired"):
                found += _references(value)
    return found


def test_over_two_thousand_tools_are_refused_with_what_to_do(document: Make) -> None:
    paths = {f"/p{index}": {"get": {"tags": [str(index % 10)]}} for index in range(10_000)}
    many = document(paths)
    with pytest.raises(TooLarge, match="10000 operations would become tools") as refused:
        import_document(many)
    assert refused.value.hint is not None and "include" in refused.value.hint
    assert len(tools_of(many, include={"tags": ["3"]})) == 1000
