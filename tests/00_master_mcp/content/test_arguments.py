"""Files in the arguments of a call, found by the input schema of its tool."""

import base64
import json
from typing import Any

import pytest
from pydantic import Base64Bytes, BaseModel

from flotilla import FlotillaError
from flotilla.resilience import Files
from master.files.arguments import check, files_in, spots_of
from master.files.rule import Rule

BASE64 = {"type": "string", "contentEncoding": "base64"}


def found(schema: Any, arguments: Any) -> dict[str, tuple[int, tuple[str, ...]]]:
    spot = spots_of(schema)
    assert spot is not None
    return {
        where: (file.size_bytes, tuple(file.types)) for where, file in files_in(arguments, spot)
    }


def object_of(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties}


def b64(size: int) -> str:
    return base64.b64encode(b"x" * size).decode()


@pytest.mark.parametrize("size", range(8))
def test_base64_counts_as_what_it_stands_for(size: int) -> None:
    assert found(object_of(data=BASE64), {"data": b64(size)}) == {
        "data": (size, ("application/octet-stream",))
    }
    bare = b64(size).rstrip("=")
    assert found(object_of(data=BASE64), {"data": bare})["data"][0] == size
    broken = base64.encodebytes(b"x" * 200).decode()
    assert found(object_of(data=BASE64), {"data": broken})["data"][0] == 200


@pytest.mark.parametrize(
    ("marks", "size", "mime_type"),
    [
        ({"format": "byte"}, 6, "application/octet-stream"),
        ({"format": "base64url"}, 6, "application/octet-stream"),
        ({"contentEncoding": "BASE64", "contentMediaType": "image/png"}, 6, "image/png"),
        ({"format": "binary"}, 8, "application/octet-stream"),
        ({"contentMediaType": "text/csv"}, 8, "text/csv"),
    ],
)
def test_each_way_to_say_that_a_text_is_a_file_is_known(
    marks: dict[str, Any], size: int, mime_type: str
) -> None:
    schema = object_of(data={"type": "string", **marks})
    assert found(schema, {"data": b64(6)}) == {"data": (size, (mime_type,))}


def test_a_type_that_stands_beside_a_file_is_its_type() -> None:
    schema = object_of(file=object_of(data=BASE64, mimeType={"type": "string"}))
    arguments = {"file": {"data": b64(3), "mimeType": "image/png"}}
    assert found(schema, arguments) == {"file.data": (3, ("image/png",))}


def test_a_data_url_says_its_type_itself() -> None:
    schema = object_of(data=BASE64)
    url = f"data:image/webp;base64,{b64(5)}"
    assert found(schema, {"data": url}) == {"data": (5, ("image/webp",))}


def test_files_are_found_in_lists_references_and_alternatives() -> None:
    schema = {
        **object_of(
            files={"type": "array", "items": {"$ref": "#/$defs/File"}},
            one={"anyOf": [{"type": "null"}, BASE64]},
            named={"type": "object", "additionalProperties": BASE64},
        ),
        "$defs": {"File": object_of(data=BASE64)},
    }
    arguments = {"files": [{"data": b64(1)}, {}, {"data": b64(2)}], "one": b64(3)}
    arguments["named"] = {"x": b64(4)}
    sizes = {where: size for where, (size, _) in found(schema, arguments).items()}
    assert sizes == {"files[0].data": 1, "files[2].data": 2, "one": 3, "named.x": 4}


def test_what_pydantic_writes_of_bytes_in_base64_is_known() -> None:
    class Upload(BaseModel):
        data: Base64Bytes

    assert found(Upload.model_json_schema(), {"data": b64(7)})["data"][0] == 7


@pytest.mark.parametrize(
    "schema",
    [
        None,
        [],
        {"type": "object"},
        object_of(text={"type": "string"}),
        {"$ref": "#"},
        {"properties": {"a": {"$ref": "#"}, "b": {"$ref": "#"}}},
        {"$ref": "https://example.com/schema"},
        {"$ref": "#/nowhere/at/all"},
        {"properties": "nonsense", "items": 7, "anyOf": {}, "$ref": 3},
    ],
)
def test_a_schema_without_files_or_without_end_has_none(schema: Any) -> None:
    assert spots_of(schema) is None


def refusal(arguments: dict[str, Any], schema: Any, **files: Any) -> FlotillaError | None:
    rule = Rule.of(Files(**files), "services.web.files")
    try:
        check(json.dumps(arguments), arguments, spots_of(schema), rule)
    except FlotillaError as error:
        return error
    return None


def test_an_argument_that_is_too_large_is_named() -> None:
    schema = object_of(data=BASE64)
    assert refusal({"data": b64(10)}, schema, max_file_size=10) is None
    error = refusal({"data": b64(11)}, schema, max_file_size=10)
    assert error is not None and error.code == "too_large"
    assert "'data'" in error.message and "11" in error.message
    assert "services.web.files.max_file_size" in str(error.hint)


def test_an_argument_of_a_refused_type_is_named() -> None:
    schema = object_of(data={**BASE64, "contentMediaType": "application/zip"})
    error = refusal({"data": b64(1)}, schema, allowed_types=("image/*",))
    assert error is not None and error.code == "not_allowed"
    assert "application/zip" in error.message


def test_arguments_are_bounded_as_a_whole_whatever_the_schema_says() -> None:
    most = 4 * 3000 // 3 + 64 * 1024
    fits, exceeds = {"x": "y" * (most - 9)}, {"x": "y" * (most - 8)}
    assert len(json.dumps(fits)) == most
    assert refusal(fits, {}, max_file_size=3000) is None
    error = refusal(exceeds, {}, max_file_size=3000)
    assert error is not None and error.code == "too_large" and str(most) in error.message


def test_values_that_are_not_as_the_schema_says_are_the_servers_business() -> None:
    schema = object_of(data=BASE64, files={"type": "array", "items": BASE64})
    assert refusal({"data": 7, "files": {"a": "b"}}, schema, max_file_size=1) is None
