"""The region of a question as engines want to hear it. Pure."""

import re
from dataclasses import dataclass

from flotilla import InvalidArgument

_REGION = re.compile(r"([A-Za-z]{2,3})(?:-[A-Za-z]{4})?(?:-([A-Za-z]{2}))?")
_DUCKDUCKGO = {
    "gb-en": "uk-en",
    "jp-ja": "jp-jp",
    "kr-ko": "kr-kr",
    "tw-zh": "tw-tzh",
    "hk-zh": "hk-tzh",
}
"""Where its codes are not country and language of the standards."""


@dataclass(frozen=True, slots=True)
class Place:
    """A language, and a country where one is said, both in lower case."""

    language: str
    country: str | None


def place_of(region: str | None) -> Place | None:
    """`de-AT` or `zh-Hant-TW` in its parts; InvalidArgument for what is no such thing.

    Engines put the parts into host names and cookies: nothing but letters gets through.
    """
    if region is None:
        return None
    found = _REGION.fullmatch(region)
    if found is None:
        raise InvalidArgument(
            f"{region[:40]!r} is no region", hint="Give language and country, like de-AT or en-US."
        )
    country = found[2]
    return Place(found[1].lower(), country.lower() if country else None)


def duckduckgo_code(place: Place | None) -> str:
    """Its code of country and language; `wt-wt` is no region."""
    if place is None or place.country is None:
        return "wt-wt"
    code = f"{place.country}-{place.language}"
    return _DUCKDUCKGO.get(code, code)
