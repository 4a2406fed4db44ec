"""Do the arguments of a call fit what its tool lists, before anybody is asked about it?

A person shall not be asked about a call that its server would refuse. What a service of the fleet
would take is never refused here: it reads `"5"` where a number is meant and a `null` as left out
(pydantic, "Conversion Table"), and so does this. The schemas of strangers are taken at their word,
except for keywords that they could make costly, and never for longer than a moment.
"""

import asyncio
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, cast

from jsonschema import (
    Draft4Validator,
    Draft6Validator,
    Draft7Validator,
    Draft201909Validator,
    Draft202012Validator,
    SchemaError,
    ValidationError,
    validators,
)
from jsonschema.exceptions import UnknownType
from referencing.exceptions import Unresolvable

from flotilla import meta
from flotilla.json_text import TooDeep, to_json
from master.entry import Entry
from master.external.openapi.check import Check, bounded

LIMIT_S = 1.0
MAX_SCHEMA_BYTES = 512 * 1024
_LARGE_CHARS = 32 * 1024
"""Arguments from which on the loop is not kept waiting."""
_MAX_TOOLS = 1024
_TRUTHS = frozenset(["0", "off", "f", "false", "n", "no", "1", "on", "t", "true", "y", "yes"])
_Extended = Callable[[Any, Any, Any, Any], Iterator[ValidationError] | None]


@dataclass(frozen=True, slots=True)
class Fit:
    """What is wrong with the arguments; `broken`: it could not be told, since the schema is."""

    mistakes: tuple[str, ...] = ()
    broken: bool = False


class Fits:
    """The checks of the tools, each made when it is needed first and again when it is listed
    differently."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[object, Check | None]] = {}

    async def of(self, entry: Entry, arguments: Mapping[str, Any], chars: int) -> Fit:
        """`chars`: how long the arguments are as text. TooLarge where it takes too long."""
        check = await self._check(entry)
        if check is None:
            return Fit(broken=True)
        if chars > _LARGE_CHARS:
            return await asyncio.to_thread(fit, check, arguments)
        return fit(check, arguments)

    def is_broken(self, entry: Entry) -> bool:
        """Whether the schema is known to be broken."""
        listed, check = self._known.get(entry.name, (None, None))
        return listed is entry.listed and check is None

    async def _check(self, entry: Entry) -> Check | None:
        known = self._known.get(entry.name)
        if known is None or known[0] is not entry.listed:
            check = await asyncio.to_thread(check_of, entry)
            if len(self._known) >= _MAX_TOOLS:
                self._known.clear()
            known = self._known[entry.name] = entry.listed, check
        return known[1]


def fit(check: Check, arguments: Mapping[str, Any]) -> Fit:
    """TooLarge where it takes too long."""
    try:
        return Fit(tuple(check.mistakes(arguments, limit_s=LIMIT_S)))
    except (UnknownType, Unresolvable, re.error):
        # A reference that leads out of the schema is followed nowhere.
        return Fit(broken=True)


def check_of(entry: Entry) -> Check | None:
    """The check of a tool's schema; None where that is none."""
    schema = entry.listed.get("inputSchema")
    if not isinstance(schema, Mapping):
        return None
    if not entry.origin.external:
        return Check(cast("Mapping[str, Any]", schema), _LENIENT)
    draft = validators.validator_for(cast("Any", schema), default=Draft202012Validator)
    try:
        if draft not in _STRICT or len(to_json(schema)) > MAX_SCHEMA_BYTES:
            return None
        draft.check_schema(cast("Any", schema))
    except (SchemaError, TooDeep, RecursionError, Unresolvable, re.error):
        return None
    return Check(cast("Mapping[str, Any]", schema), _STRICT[draft])


def _type(_validator: Any, wanted: Any, instance: Any, schema: Any) -> Iterator[ValidationError]:
    kinds: list[str] = [wanted] if isinstance(wanted, str) else wanted
    if not any(_becomes(instance, kind, schema) for kind in kinds):
        yield ValidationError("of another type")


def _becomes(value: Any, kind: str, schema: Any) -> bool:
    """Whether a service of the fleet can read the value as one of that type."""
    match kind:
        case "null":
            return value is None
        case "boolean":
            return value in (0, 1) if _is_number(value) else _is_truth(value)
        case "integer" | "number":
            number = _number(value)
            return number is not None and (kind == "number" or _is_whole(number))
        case "string":
            is_time = meta.members(schema).get("format") in ("date-time", "date", "time")
            return isinstance(value, str) or (is_time and _is_number(value))
        case "array":
            return isinstance(value, list)
        case "object":
            return isinstance(value, Mapping)
        case _:
            return True


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _is_truth(value: Any) -> bool:
    return isinstance(value, bool) or (isinstance(value, str) and value.lower() in _TRUTHS)


def _is_whole(number: float) -> bool:
    return isinstance(number, int) or number.is_integer()


def _number(value: Any) -> float | None:
    """The number that a service of the fleet reads there; None where it reads none."""
    if isinstance(value, (int, float)):
        return int(value) if isinstance(value, bool) else value
    if not isinstance(value, str) or len(value) > 4300:
        return None
    for read in (int, float):
        try:
            return read(value)
        except (ValueError, OverflowError):
            continue
    return None


def _of_numbers(keyword: _Extended) -> _Extended:
    """A keyword that looks at the number that a text is read as."""

    def checked(validator: Any, limit: Any, instance: Any, schema: Any) -> Any:
        number = _number(instance)
        return keyword(validator, limit, instance if number is None else number, schema)

    return checked


def _properties(
    validator: Any, properties: Any, instance: Any, schema: Any
) -> Iterator[ValidationError]:
    if not isinstance(instance, Mapping):
        return
    required = meta.members(schema).get("required", ())
    for name, inner in meta.members(properties).items():
        given = cast("Mapping[str, Any]", instance)
        if name in given and (given[name] is not None or name in required):
            yield from validator.descend(given[name], inner, path=name, schema_path=name)


def _lenient() -> Any:
    usual = cast("dict[str, _Extended]", dict(Draft202012Validator.VALIDATORS))
    numeric = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum")
    instead: dict[str, _Extended] = {
        **{name: _of_numbers(usual[name]) for name in numeric},
        "type": _type,
        "properties": _properties,
        # A value may be read as more than one of the choices; the service takes the best.
        "oneOf": usual["anyOf"],
    }
    return bounded(unchecked=("multipleOf", "uniqueItems", "format"), instead=instead)


_LENIENT = _lenient()
_STRICT: Mapping[Any, Any] = {
    draft: bounded(draft)
    for draft in (
        Draft4Validator,
        Draft6Validator,
        Draft7Validator,
        Draft201909Validator,
        Draft202012Validator,
    )
}
