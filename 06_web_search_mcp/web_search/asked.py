"""From a tool's parameters to a question, and which engines it is for. Pure."""

import re
from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field

from flotilla import InvalidArgument, NotConfigured
from web_search.engine import Engine, Freshness, Kind, Question, SafeSearch, Wish

AUTO = "auto"
MAX_RESULTS = 50
FEWEST_ASKED = 10
"""Of each engine: what the second one has in place seven may be the best of all."""
MAX_SUGGESTIONS = 20

Query = Annotated[
    str,
    Field(
        min_length=1,
        max_length=500,
        description='What to look for; operators such as site: and "..." go to the engines as is.',
    ),
]
EngineName = Annotated[
    str,
    Field(
        max_length=64,
        description="auto: several at once, merged. Or the name of one, as listEngines has it.",
    ),
]
MaxResults = Annotated[int, Field(ge=1, le=MAX_RESULTS, description="How many, at most.")]
Region = Annotated[
    str | None,
    Field(
        pattern=r"^[A-Za-z]{2,3}(-[A-Za-z]{2})?$",
        description="Language and country, say de-AT; left out: as the engines see it.",
    ),
]
TimeRange = Annotated[
    Freshness | None, Field(description="How old results may be; left out: as old as they are.")
]
Safe = Annotated[SafeSearch, Field(description="How strictly adult content is kept out.")]

WISHES: dict[Wish, Literal["region", "timeRange", "safeSearch"]] = {
    "region": "region",
    "within": "timeRange",
    "safe": "safeSearch",
}

_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


def question_of(
    query: str,
    most: int,
    region: str | None = None,
    within: Freshness | None = None,
    safe: SafeSearch = "moderate",
) -> Question:
    """The question, with its region in one spelling; InvalidArgument where nothing is asked."""
    words = _CONTROLS.sub(" ", query).strip()
    if not words:
        raise InvalidArgument("query: there are no words in it")
    return Question(words=words, most=most, region=_region(region), within=within, safe=safe)


def engines_for(
    name: str, kind: Kind, question: Question, engines: Sequence[Engine]
) -> list[Engine]:
    """Those to ask, in order: the one named, or all that can, first those that heed all of it.

    Where adult content must be kept out, engines that cannot are not asked unless named.
    InvalidArgument says which there are.
    """
    able = [each for each in engines if kind in each.kinds]
    if name == AUTO:
        strict = question.safe == "strict"
        fit = [e for e in able if not (strict and "safe" in e.leaves_out(kind, question))]
        if able and not fit:
            raise InvalidArgument(
                "safeSearch: no engine that is set up can keep adult content out strictly",
                hint="Name an engine, or ask with safeSearch moderate.",
            )
        if not fit:
            raise NotConfigured(
                f"no engine that is set up can search for {kind}",
                hint="listEngines says what each can; config/web_search.yaml sets up more.",
            )
        return sorted(fit, key=lambda each: bool(each.leaves_out(kind, question)))
    named = [each for each in engines if each.name == name]
    if not named:
        known = ", ".join(each.name for each in able) or "none"
        raise InvalidArgument(
            f"engine: there is none of that name; for {kind} there are {AUTO} and {known}",
            hint="listEngines says how each stands.",
        )
    if kind not in named[0].kinds:
        others = ", ".join(each.name for each in able) or "none"
        raise InvalidArgument(
            f"engine: {name} cannot search for {kind}; {AUTO} and these can: {others}"
        )
    return named


def _region(region: str | None) -> str | None:
    if not region:
        return None
    language, _, country = region.partition("-")
    return f"{language.lower()}-{country.upper()}" if country else language.lower()
