"""The tags that a call gives to what it makes or changes, as far as rules name them. Pure.

Clouds disagree about upper and lower case in the names of tags, so a rule's name means any. What is
blank is as good as not there, since it tells nobody whose a thing is.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, cast

from master.policy.target import MAX_LENGTH, Parameters, Unclear, folded

PARAMETERS = ("tags", "labels")
"""The parameters that hold tags as an object; lists of words, as networks have them, name none."""
MAX_TAGS = 256
_FOLDED = frozenset(map(folded, PARAMETERS))


def named_tags(
    arguments: Mapping[str, Any], wanted: Iterable[str], parameters: Parameters
) -> Mapping[str, str]:
    """The wanted tags; Unclear where it cannot be said which value one would have."""
    named = tuple(wanted)
    found = dict.fromkeys(map(str.casefold, named), "")
    for key, value in _given(arguments, parameters):
        name = key.strip().casefold()
        if name not in found or value is None:
            continue
        if not isinstance(value, str) or len(value) > MAX_LENGTH:
            raise Unclear(f"the tag {name} must be short text for the rules to judge it")
        if found[name] not in ("", value.strip()):
            raise Unclear(f"the tag {name} is given more than once")
        found[name] = value.strip()
    # Rules of several people may spell a name in several ways.
    return {name: value for name in named if (value := found[name.casefold()])}


def _given(arguments: Mapping[str, Any], parameters: Parameters) -> Iterator[tuple[str, object]]:
    for name, given in arguments.items():
        if folded(name) not in _FOLDED or not isinstance(given, Mapping):
            continue
        parameters.check(name)
        tags = cast("Mapping[str, object]", given)
        if len(tags) > MAX_TAGS:
            raise Unclear(f"{name} has {len(tags)} members; at most {MAX_TAGS} are judged")
        yield from tags.items()
