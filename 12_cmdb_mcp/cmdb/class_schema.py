"""The JSON Schema of a class's attributes: which schemas are taken, and how they are checked. Pure.

A schema is written by a caller and run against every item, so only keywords of known cost are
taken, references are not, and patterns run in an engine that needs linear time.
"""

from collections.abc import Iterator, Mapping
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_network
from typing import Any, cast

import orjson
from jsonschema import Draft202012Validator, FormatChecker
from jsonschema.exceptions import SchemaError, ValidationError
from jsonschema.validators import extend  # pyright: ignore[reportUnknownVariableType]
from pydantic_core import SchemaError as BadPattern
from pydantic_core import SchemaValidator, core_schema

from cmdb.values import ATTRIBUTE_PATTERN, check_value
from flotilla import InvalidArgument, TooLarge

DIALECT = "https://json-schema.org/draft/2020-12/schema"
MAX_SCHEMA_BYTES = 16 * 1024
MAX_SCHEMA_DEPTH = 12
MAX_PATTERN_LENGTH = 512

FORMATS = FormatChecker(formats=())
"""The formats that are checked; others are only documentation, as the specification has it."""

_PLAIN = frozenset(
    [
        "type",
        "enum",
        "const",
        "minLength",
        "maxLength",
        "minimum",
        "maximum",
        "exclusiveMinimum",
        "exclusiveMaximum",
        "multipleOf",
        "minItems",
        "maxItems",
        "uniqueItems",
        "minContains",
        "maxContains",
        "minProperties",
        "maxProperties",
        "required",
        "dependentRequired",
        "format",
        "title",
        "description",
        "default",
        "examples",
        "deprecated",
    ]
)
_ONE = frozenset(
    ["items", "contains", "not", "if", "then", "else", "propertyNames", "additionalProperties"]
)  # each holds one schema
_MANY = frozenset(["allOf", "anyOf", "oneOf", "prefixItems"])  # each holds a list of schemas
_TOP = frozenset(
    [
        "$schema",
        "type",
        "properties",
        "required",
        "additionalProperties",
        "dependentRequired",
        "allOf",
        "title",
        "description",
    ]
)


@FORMATS.checks("ipv4", raises=ValueError)
def _is_ipv4(value: object) -> bool:
    return not isinstance(value, str) or bool(IPv4Address(value))


@FORMATS.checks("ipv6", raises=ValueError)
def _is_ipv6(value: object) -> bool:
    return not isinstance(value, str) or bool(IPv6Address(value))


@FORMATS.checks("cidr", raises=ValueError)
def _is_cidr(value: object) -> bool:
    return not isinstance(value, str) or bool(ip_network(value, strict=False))


for _name in ("date", "email", "uuid"):
    FORMATS.checkers[_name] = FormatChecker.checkers[_name]


@lru_cache(maxsize=512)
def linear_pattern(pattern: str) -> SchemaValidator:
    """`pattern` in an engine without backtracking; InvalidArgument for what it cannot run."""
    if len(pattern) > MAX_PATTERN_LENGTH:
        raise InvalidArgument(f"a pattern has at most {MAX_PATTERN_LENGTH} characters")
    try:
        return SchemaValidator(core_schema.str_schema(pattern=pattern, regex_engine="rust-regex"))
    except BadPattern as error:
        why = str(error).strip().splitlines()[-1].removeprefix("error: ")[:200]
        raise InvalidArgument(
            f"pattern {pattern[:80]!r} cannot be used: {why}",
            hint="Look-around and back-references are not taken: patterns run in linear time.",
        ) from None


def _pattern(
    _validator: Any, pattern: str, instance: object, _schema: object
) -> Iterator[ValidationError]:
    if isinstance(instance, str) and not linear_pattern(pattern).isinstance_python(instance):
        yield ValidationError(f"does not match {pattern[:80]!r}")


_Validator: Any = extend(  # pyright: ignore[reportUnknownVariableType]
    Draft202012Validator, {"pattern": _pattern}, format_checker=FORMATS
)


def validator_of(schema: Mapping[str, Any]) -> Any:
    """A validator whose `iter_errors(attributes)` tells what is wrong."""
    return _Validator(schema, format_checker=FORMATS)


def check_class_schema(schema: Mapping[str, Any]) -> None:
    """Raise InvalidArgument or TooLarge unless `schema` may describe a class's attributes."""
    check_value(cast("Any", dict(schema)), "attributeSchema", -MAX_SCHEMA_DEPTH)
    size = len(orjson.dumps(schema))
    if size > MAX_SCHEMA_BYTES:
        raise TooLarge(f"attributeSchema has {size} bytes; {MAX_SCHEMA_BYTES} fit")
    _refuse_unknown(schema, _TOP | {"properties"}, "attributeSchema")
    if schema.get("$schema", DIALECT) != DIALECT:
        raise InvalidArgument(f"attributeSchema.$schema must be {DIALECT}")
    if schema.get("type", "object") != "object":
        raise InvalidArgument("attributeSchema.type must be object: attributes are members")
    if not isinstance(schema.get("additionalProperties", True), bool):
        raise InvalidArgument("attributeSchema.additionalProperties must be true or false")
    try:
        Draft202012Validator.check_schema(dict(schema), format_checker=FORMATS)
    except SchemaError as error:
        place = ".".join(["attributeSchema", *(str(part) for part in error.absolute_path)])
        raise InvalidArgument(f"{place[:200]} is not JSON Schema: {error.message[:200]}") from None
    for name, part in schema.get("properties", {}).items():
        if not linear_pattern(ATTRIBUTE_PATTERN).isinstance_python(name):
            raise InvalidArgument(f"{name[:80]!r} cannot be the name of an attribute")
        _check(part, f"attributeSchema.properties.{name}", 1)
    for index, part in enumerate(schema.get("allOf", ())):
        _check(part, f"attributeSchema.allOf[{index}]", 1)


def _check(schema: Any, place: str, depth: int) -> None:
    if isinstance(schema, bool):
        return
    if depth > MAX_SCHEMA_DEPTH:
        raise InvalidArgument(f"{place[:200]} is nested deeper than {MAX_SCHEMA_DEPTH} schemas")
    node = cast("dict[str, Any]", schema)
    _refuse_unknown(node, _PLAIN | _ONE | _MANY | {"properties", "pattern"}, place)
    if "pattern" in node:
        linear_pattern(node["pattern"])
    for keyword in _ONE & node.keys():
        _check(node[keyword], f"{place}.{keyword}", depth + 1)
    for keyword in _MANY & node.keys():
        for index, part in enumerate(node[keyword]):
            _check(part, f"{place}.{keyword}[{index}]", depth + 1)
    for name, part in node.get("properties", {}).items():
        _check(part, f"{place}.properties.{name}", depth + 1)


def _refuse_unknown(schema: Mapping[str, Any], known: frozenset[str], place: str) -> None:
    unknown = sorted(schema.keys() - known)
    if not unknown:
        return
    hint = f"Taken here: {', '.join(sorted(known))}."
    if unknown[0] in ("$ref", "$dynamicRef", "$defs", "$id", "$anchor"):
        hint = "References are not followed, local or remote: write the schema in place."
    raise InvalidArgument(f"{place[:200]} has the keyword {unknown[0][:40]!r}", hint=hint)


def combined(lineage: list[Mapping[str, Any]]) -> dict[str, Any]:
    """One schema that holds all of `lineage`, root first: a value must satisfy every class in it.

    `additionalProperties: false` anywhere closes the class against attributes that none names.
    """
    properties: dict[str, Any] = {}
    required: dict[str, None] = {}
    conditions: list[Any] = []
    together: dict[str, list[str]] = {}
    for schema in lineage:
        for name, part in schema.get("properties", {}).items():
            held = properties.get(name)
            properties[name] = part if held is None else {"allOf": [held, part]}
        required.update(dict.fromkeys(schema.get("required", ())))
        conditions.extend(schema.get("allOf", ()))
        for name, others in schema.get("dependentRequired", {}).items():
            together[name] = [*together.get(name, []), *others]
    closed = any(schema.get("additionalProperties") is False for schema in lineage)
    return {
        "$schema": DIALECT,
        "type": "object",
        "properties": properties,
        **({"required": list(required)} if required else {}),
        **({"dependentRequired": together} if together else {}),
        **({"allOf": conditions} if conditions else {}),
        **({"additionalProperties": False} if closed else {}),
    }
