"""Is a value what a schema says? Answered in bounded time, whoever wrote the schema. Pure.

Keywords whose cost a stranger sets (`pattern`, `multipleOf`, `uniqueItems`) are not looked at, and
a check that computes for longer than its limit ends as TooSlow.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextvars import ContextVar
from itertools import islice
from time import thread_time
from types import MappingProxyType
from typing import Any, cast

from jsonschema import Draft202012Validator, ValidationError, validators
from jsonschema import exceptions as jsonschema_exceptions
from referencing import Registry

from flotilla import TooLarge
from flotilla.json_text import MAX_DEPTH

QUICK_S = 0.02
"""How long a check may compute where others wait for it..."""
PATIENT_S = 5.0
"""...and in a thread of its own, however long that waits for the others."""
_MAX_TOLD = 5

COSTLY = ("pattern", "patternProperties", "multipleOf", "uniqueItems", "format")

Keyword = Callable[[Any, Any, Any, Any], Iterator[ValidationError] | None]
"""What a keyword objects to: of the validator, its own value, the instance and the schema."""


class TooSlow(TooLarge):
    """The check took longer than it may."""


# A keyword's function gets no parameter of ours, and each check has a limit of its own: of what its
# own thread computes, since a hub that is busy with others makes no answer a wrong one.
_ends_at: ContextVar[float] = ContextVar("ends_at")


def _metered(keyword: Keyword) -> Keyword:
    def checked(validator: Any, value: Any, instance: Any, schema: Any) -> Iterator[Any]:
        if thread_time() > _ends_at.get():
            raise TooSlow("the value takes too long to be checked against its schema")
        yield from keyword(validator, value, instance, schema) or ()

    return checked


def _skipped(_validator: Any, _value: Any, _instance: Any, _schema: Any) -> None:
    return None


def bounded(
    draft: Any = Draft202012Validator,
    *,
    unchecked: Iterable[str] = COSTLY,
    instead: Mapping[str, Keyword] = MappingProxyType({}),
) -> Any:
    """Validators of a draft of JSON Schema that end in time; `instead` judge other than usual."""
    known = cast("dict[str, Keyword]", {**draft.VALIDATORS, **instead})
    keywords: dict[str, Keyword] = {name: _metered(keyword) for name, keyword in known.items()}
    keywords |= dict.fromkeys(unchecked, _skipped)
    return cast("Any", validators.extend)(draft, keywords)


_VALIDATOR = bounded()
# Without it a reference that is not in the schema would be looked for in the network.
_NOTHING_ELSE = cast("Any", Registry)()
# What says which of several mistakes to tell is not typed in the library.
_best_match = cast(
    "Callable[[Any], ValidationError]", cast("Any", jsonschema_exceptions).best_match
)


class Check:
    """One schema, made ready once; it must be valid and closed in itself."""

    def __init__(self, schema: Mapping[str, Any], validator: Any = _VALIDATOR) -> None:
        self._validator = validator(schema, registry=_NOTHING_ELSE)

    def mistakes(self, value: Any, *, limit_s: float = PATIENT_S) -> list[str]:
        """What is wrong, by place and at most five of it; never the value, which may be secret.

        Raises TooSlow when its thread computes for longer than `limit_s`, TooLarge when the value
        nests over 64 levels deep.
        """
        if _deeper_than(value, MAX_DEPTH):
            raise TooLarge(f"the value is nested over {MAX_DEPTH} levels deep")
        token = _ends_at.set(thread_time() + limit_s)
        try:
            errors = cast("Iterator[ValidationError]", self._validator.iter_errors(value))
            best = [_best_match([error]) for error in islice(errors, 100)]
        except RecursionError:
            raise TooLarge("the schema and the value nest too deeply to be checked") from None
        finally:
            _ends_at.reset(token)
        told = list(dict.fromkeys(map(_told, best)))
        more = len(told) - _MAX_TOLD
        return told if more <= 0 else [*told[:_MAX_TOLD], f"and {more} more"]


def _told(error: ValidationError) -> str:
    place = ".".join(str(part) for part in error.absolute_path)
    what = _words(str(error.validator), error.validator_value, error.instance)
    if error.validator == "additionalProperties" and error.validator_value is False:
        what += _unknown(cast("Any", error.instance), cast("Mapping[str, Any]", error.schema))
    return f"{place}: {what}" if place else what


def _words(keyword: str, wanted: Any, found: Any) -> str:
    match keyword:
        case "required":
            missing = [name for name in wanted if name not in found]
            return f"missing {', '.join(map(repr, missing))[:200]}"
        case "type":
            kinds = [wanted] if isinstance(wanted, str) else wanted
            return f"must be {' or '.join(kinds)}, not {_kind(found)}"
        case "enum":
            return f"must be one of {', '.join(map(repr, wanted))[:200]}"
        case "additionalProperties" | "propertyNames":
            return "has a member that is not known here"
        case "oneOf" | "anyOf" | "not" | "const" | "if" | "contains":
            return f"does not fit the schema's `{keyword}`"
        case _:
            return f"breaks `{keyword}: {wanted}`"[:200]


def _unknown(found: Mapping[str, Any], schema: Mapping[str, Any]) -> str:
    """Which members those are, where the schema names all that it knows."""
    if "patternProperties" in schema:
        return ""
    others = [name for name in found if name not in schema.get("properties", {})]
    return f": {', '.join(map(repr, others))}"[:200]


def _kind(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return "null" if value is None else "boolean"
    names = {str: "string", int: "integer", float: "number", list: "array", dict: "object"}
    return names.get(cast("type[Any]", type(value)), "something else")


def _deeper_than(value: Any, most: int) -> bool:
    layer: list[Any] = [value]
    for _ in range(most + 1):
        inside: list[Any] = []
        for each in layer:
            if isinstance(each, dict):
                inside += cast("dict[str, Any]", each).values()
            elif isinstance(each, list):
                inside += cast("list[Any]", each)
        layer = [each for each in inside if isinstance(each, (dict, list))]
        if not layer:
            return False
    return True
