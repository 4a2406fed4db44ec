"""JSON as the fleet writes and reads it: fast where that loses nothing, whole where it would. Pure.

orjson is several times faster than the standard library, but refuses integers beyond 64 bits and
lone surrogates when writing, and turns such integers into floats when reading.
"""

import json
from typing import Any, NoReturn

import orjson

MAX_DEPTH = 64
"""Deeper nesting is nobody's data; it only exhausts the stack of whoever walks it."""


class TooDeep(ValueError):
    """The value is nested too deeply to be written or read."""


def to_json(value: Any) -> bytes:
    """`value` as compact JSON; TooDeep when it nests beyond what can be written."""
    try:
        return orjson.dumps(value)
    except TypeError:
        try:
            return json.dumps(value, separators=(",", ":")).encode()
        except RecursionError:
            raise TooDeep("nested too deeply") from None


def from_json(raw: bytes) -> Any:
    """The value of a JSON text, integers of any size included; ValueError when it is not JSON."""
    try:
        return _decoder.decode(raw.decode())
    except RecursionError:
        raise TooDeep("nested too deeply") from None


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")


_decoder = json.JSONDecoder(parse_constant=_refuse)
