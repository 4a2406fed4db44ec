"""The attributes of an item as values: what may be stored, merged, compared and searched. Pure."""

import re
import unicodedata
from collections.abc import Iterator, Mapping
from typing import Annotated, cast

import orjson
from pydantic import Field, JsonValue

from flotilla import InvalidArgument, TooLarge

Attributes = dict[str, JsonValue]

MAX_ATTRIBUTES_BYTES = 16 * 1024
"""One item must fit a page of an export with every quote in it doubled."""
MAX_DEPTH = 16
MAX_LIST = 1000
"""`uniqueItems` compares every two elements."""
MAX_ATTRIBUTES = 200
MAX_WORDS = 2000
MAX_WORD_LENGTH = 64
MAX_INTEGER = 2**63 - 1
"""What both databases and every JSON parser hold exactly."""

ATTRIBUTE_PATTERN = r"^[A-Za-z_][A-Za-z0-9_.:/-]{0,127}$"
_ATTRIBUTE = re.compile(ATTRIBUTE_PATTERN.removesuffix("$"))
_WORD = re.compile(r"[^\W_]+")

Name = Annotated[
    str,
    Field(
        min_length=1,
        max_length=200,
        pattern=r"^\S(.*\S)?$",
        description="Unique among the live items of its class; no white space at its ends.",
    ),
]
ItemId = Annotated[str, Field(min_length=1, max_length=64, description="ci_... of an item.")]
ClassName = Annotated[
    str, Field(min_length=1, max_length=64, description="A class, say server; see listClasses.")
]


def check_attributes(attributes: Mapping[str, JsonValue]) -> None:
    """Raise InvalidArgument or TooLarge for what a database or a JSON reader could not keep."""
    if len(attributes) > MAX_ATTRIBUTES:
        raise TooLarge(f"attributes has {len(attributes)} members; {MAX_ATTRIBUTES} fit")
    for name, value in attributes.items():
        if not _ATTRIBUTE.fullmatch(name):
            raise InvalidArgument(
                f"{name[:80]!r} cannot be the name of an attribute",
                hint="Start with a letter or _, then letters, digits and _ . : / -, 128 at most.",
            )
        check_value(value, f"attributes.{name}")
    size = len(orjson.dumps(attributes))
    if size > MAX_ATTRIBUTES_BYTES:
        raise TooLarge(
            f"the attributes have {size} bytes as JSON; {MAX_ATTRIBUTES_BYTES} fit",
            hint="Keep long text elsewhere and store a link to it.",
        )


def check_value(value: JsonValue, place: str, depth: int = 0) -> None:
    """Raise InvalidArgument where `value` has NUL, a number no database holds, or is too deep."""
    if depth > MAX_DEPTH:
        raise InvalidArgument(f"{place[:200]} is nested deeper than {MAX_DEPTH} levels")
    if isinstance(value, str):
        check_text(value, place)
    elif isinstance(value, bool):
        return
    elif isinstance(value, int):
        if not -MAX_INTEGER <= value <= MAX_INTEGER:
            raise InvalidArgument(f"{place} is an integer of more than 64 bits")
    elif isinstance(value, float):
        if value != value or value in (float("inf"), float("-inf")):
            raise InvalidArgument(f"{place} is not a finite number")
    elif isinstance(value, list):
        if len(value) > MAX_LIST:
            raise InvalidArgument(f"{place} has {len(value)} elements; {MAX_LIST} fit")
        for index, inner in enumerate(value):
            check_value(inner, f"{place}[{index}]", depth + 1)
    elif isinstance(value, dict):
        for key, inner in value.items():
            check_text(key, f"a key of {place}")
            check_value(inner, f"{place}.{key}"[:300], depth + 1)


def check_text(text: str, place: str) -> None:
    """Raise InvalidArgument for NUL and half surrogates, which PostgreSQL cannot store."""
    if "\0" in text:
        raise InvalidArgument(f"{place} contains a NUL character")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise InvalidArgument(f"{place} contains half of a surrogate pair") from None


def merged(before: Mapping[str, JsonValue], patch: Mapping[str, JsonValue]) -> Attributes:
    """`before` with the members of `patch` set; null removes a member."""
    return {name: value for name, value in {**before, **patch}.items() if value is not None}


def differences(
    before: Mapping[str, JsonValue], after: Mapping[str, JsonValue]
) -> Iterator[tuple[str, JsonValue, JsonValue]]:
    """`(name, before, after)` of each attribute that differs; None where there was or is none."""
    for name in sorted({*before, *after}):
        old, new = before.get(name), after.get(name)
        if not same(old, new):
            yield name, old, new


def same(left: JsonValue, right: JsonValue) -> bool:
    """Equality as JSON has it: 1 and 1.0 are one number, true and 1 are not equal."""
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(same(left[key], right[key]) for key in left)
    return left == right


def words(text: str) -> list[str]:
    """The words of a text as both databases index them: lower case, no accents, no punctuation.

    Made here and not by the databases, whose own word breakers differ.
    """
    plain = "".join(c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c))
    return [word[:MAX_WORD_LENGTH] for word in _WORD.findall(plain.casefold())]


def search_text(name: str, attributes: Mapping[str, JsonValue]) -> str:
    """The distinct words of an item's name and attribute values, at most MAX_WORDS."""
    found = dict.fromkeys(words(name))
    for text in _texts(cast("JsonValue", dict(attributes))):
        found.update(dict.fromkeys(words(text)))
        if len(found) >= MAX_WORDS:
            break
    return " ".join(list(found)[:MAX_WORDS])


def _texts(value: JsonValue) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        yield str(value)
    elif isinstance(value, list):
        for inner in value:
            yield from _texts(inner)
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield key if isinstance(inner, bool) else ""
            yield from _texts(inner)
