"""Filters in Google's own language, put together so that no value can end its place. Pure.

Source: cloud.google.com/compute/docs/reference/rest/v1/instances/aggregatedList (filter).
"""

import re
from collections.abc import Mapping
from typing import Annotated

from pydantic import Field

from flotilla import InvalidArgument
from google_cloud.places import quoted

FilterText = Annotated[
    str | None,
    Field(
        max_length=1000,
        description="A filter in Google's own language: `status = RUNNING AND name != web-1`.",
    ),
]

_STRINGS = re.compile(r'"(?:[^"\\]|\\.)*"')


def equal(field: str, value: str) -> str:
    return f"{field} = {value if value.isdigit() else quoted(value)}"


def by_labels(labels: Mapping[str, str] | None) -> list[str]:
    """One condition for each label."""
    return [f"labels.{name} = {quoted(value)}" for name, value in (labels or {}).items()]


def filter_of(text: str | None) -> str | None:
    """A caller's own filter, if it is whole in itself.

    Raises InvalidArgument for one that breaks out of the brackets that it is put in.
    """
    if text is None or not text.strip():
        return None
    if not text.isprintable():
        raise InvalidArgument("filter is one line of printable characters")
    bare = _STRINGS.sub("", text)
    depth = 0
    for character in bare:
        depth += (character == "(") - (character == ")")
        if depth < 0:
            break
    if depth != 0 or '"' in bare:
        raise InvalidArgument(
            "filter has a bracket or a quotation mark without its other half",
            hint='Write it like `status = "RUNNING" AND labels.env = "prod"`.',
        )
    return text.strip()


def combined(*conditions: str | None) -> str:
    """All of them at once; the empty text where there is none."""
    given = [each for each in conditions if each]
    return given[0] if len(given) == 1 else " ".join(f"({each})" for each in given)
