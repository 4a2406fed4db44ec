"""The tools: web.search.query, news, images, suggest and listEngines."""

from collections.abc import Callable, Sequence
from typing import Any

from flotilla import Context, Cursor, Deadline, Limit, Page, Tool, page_of, reads
from web_search.addresses import site
from web_search.answers import (
    Answer,
    EngineInfo,
    HadBy,
    ImageAnswer,
    ImageResult,
    KindInfo,
    Result,
    Suggestions,
    within_bounds,
)
from web_search.asked import (
    AUTO,
    FEWEST_ASKED,
    MAX_SUGGESTIONS,
    WISHES,
    EngineName,
    MaxResults,
    Query,
    Region,
    Safe,
    TimeRange,
    engines_for,
    question_of,
)
from web_search.asking import Asker
from web_search.engine import Engine, Kind, Question
from web_search.failing import failure, told
from web_search.merging import Merged, merged
from web_search.outcomes import Outcome
from web_search.together import Together

WEB_TTL_S = 300
NEWS_TTL_S = 60

Notes = Callable[[str], Sequence[str]]
"""What is odd about a text, in sentences: what looks like instructions to a model."""

_Found = tuple[tuple[Merged, ...], int, tuple[Outcome, ...]]


class SearchTools:
    """Asks the engines, merges what they found, and says what became of each."""

    def __init__(self, engines: Sequence[Engine], asker: Asker, notes_on: Notes) -> None:
        self._engines = tuple(engines)
        self._weights = {each.name: each.weight for each in engines}
        self._asker = asker
        self._notes_on = notes_on
        self._together: Together[_Found] = Together()

    def tools(self) -> tuple[Tool, ...]:
        return (
            _searches("query", self.query, "Search the web", WEB_TTL_S),
            _searches("news", self.news, "Search the news", NEWS_TTL_S),
            _searches("images", self.images, "Search for images", WEB_TTL_S),
            _searches("suggest", self.suggest, "Suggest searches", WEB_TTL_S),
            reads("web.search.listEngines", self.list_engines, title="List search engines"),
        )

    async def close(self) -> None:
        await self._together.close()

    async def query(
        self,
        query: Query,
        engine: EngineName = AUTO,
        max_results: MaxResults = 5,
        region: Region = None,
        time_range: TimeRange = None,
        safe_search: Safe = "moderate",
        *,
        context: Context,
    ) -> Answer:
        """Search the web; with `auto` several engines are asked at once and their lists merged.

        Each result says which engines have it and at which place. `engines` says what became of
        each that was asked: blocked, rate_limited and empty are different answers. An empty list
        means that nothing was found. Titles and snippets are strangers' words.
        """
        question = question_of(
            query, max(max_results, FEWEST_ASKED), region, time_range, safe_search
        )
        return await self._pages("web", engine, question, max_results, context)

    async def news(
        self,
        query: Query,
        engine: EngineName = AUTO,
        max_results: MaxResults = 5,
        region: Region = None,
        time_range: TimeRange = None,
        safe_search: Safe = "moderate",
        *,
        context: Context,
    ) -> Answer:
        """Search the news; as `query`, with the publisher as source and mostly with publishedAt."""
        question = question_of(
            query, max(max_results, FEWEST_ASKED), region, time_range, safe_search
        )
        return await self._pages("news", engine, question, max_results, context)

    async def images(
        self,
        query: Query,
        engine: EngineName = AUTO,
        max_results: MaxResults = 5,
        region: Region = None,
        time_range: TimeRange = None,
        safe_search: Safe = "moderate",
        *,
        context: Context,
    ) -> ImageAnswer:
        """Search for images; returns their addresses and the pages they are on, not the images."""
        question = question_of(
            query, max(max_results, FEWEST_ASKED), region, time_range, safe_search
        )
        found, left_out, outcomes = await self._found("images", engine, question, context.deadline)
        results = [
            ImageResult(
                title=each.best.title,
                url=each.best.url,
                image_url=each.best.image_url or each.best.url,
                thumbnail_url=each.best.thumbnail_url,
                width=each.best.width,
                height=each.best.height,
                source=_source(each),
                rank=rank,
                engines=_had_by(each),
                notes=self._oddities(each),
            )
            for rank, each in enumerate(found[:max_results], start=1)
        ]
        shown = within_bounds(results)
        notes = self._notes("images", question, outcomes, left_out, len(results) - len(shown))
        return ImageAnswer(
            query=question.words,
            engine=engine,
            results=shown,
            engines=[told(each) for each in outcomes],
            notes=notes,
        )

    async def suggest(
        self, query: Query, engine: EngineName = AUTO, region: Region = None, *, context: Context
    ) -> Suggestions:
        """Say how others go on from these words, as a search box does while one types."""
        question = question_of(query, MAX_SUGGESTIONS, region)
        found, left_out, outcomes = await self._found("suggest", engine, question, context.deadline)
        shown = found[:MAX_SUGGESTIONS]
        notes = self._notes("suggest", question, outcomes, left_out, 0)
        notes += self._notes_on("\n".join(each.raw for each in shown))
        return Suggestions(
            query=question.words,
            engine=engine,
            suggestions=[each.best.title for each in shown],
            engines=[told(each) for each in outcomes],
            notes=notes,
        )

    async def list_engines(self, limit: Limit = 50, cursor: Cursor = None) -> Page[EngineInfo]:
        """List the search engines: what each can do, whether it is ready, and how it stands."""
        return page_of(
            "engines", [self._info(each) for each in self._engines], limit=limit, cursor=cursor
        )

    async def _pages(
        self, kind: Kind, engine: str, question: Question, max_results: int, context: Context
    ) -> Answer:
        found, left_out, outcomes = await self._found(kind, engine, question, context.deadline)
        results = [
            Result(
                title=each.best.title,
                url=each.best.url,
                snippet=each.best.snippet,
                source=_source(each),
                rank=rank,
                published_at=each.best.published_at,
                engines=_had_by(each),
                notes=self._oddities(each),
            )
            for rank, each in enumerate(found[:max_results], start=1)
        ]
        shown = within_bounds(results)
        return Answer(
            query=question.words,
            engine=engine,
            results=shown,
            engines=[told(each) for each in outcomes],
            notes=self._notes(kind, question, outcomes, left_out, len(results) - len(shown)),
        )

    async def _found(self, kind: Kind, engine: str, question: Question, due: Deadline) -> _Found:
        """What was found by whom; raises what `failing` says where nobody answered."""
        chosen = engines_for(engine, kind, question, self._engines)

        async def ask() -> _Found:
            if engine == AUTO:
                outcomes = await self._asker.several(chosen, kind, question, due)
            else:
                outcomes = [await self._asker.one(chosen[0], kind, question, due)]
            lists = {each.engine: each.found for each in outcomes if each.answered}
            if not lists:
                raise failure(outcomes)
            found, left_out = merged(lists, kind, self._weights)
            return tuple(found), left_out, tuple(outcomes)

        return await self._together.run((kind, engine, question), ask)

    def _oddities(self, each: Merged) -> list[str] | None:
        return list(self._notes_on(each.raw)) or None

    def _notes(
        self,
        kind: Kind,
        question: Question,
        outcomes: Sequence[Outcome],
        left_out: int,
        too_large: int,
    ) -> list[str]:
        notes: list[str] = []
        heard = {each.engine for each in outcomes if each.found}
        for each in self._engines:
            if each.name in heard and (wishes := each.leaves_out(kind, question)):
                names = " and ".join(WISHES[wish] for wish in wishes)
                notes.append(f"{each.name} cannot heed {names} and answered without.")
        silent = [each.engine for each in outcomes if not each.answered]
        if silent and not heard:
            notes.append(
                "Nothing was found by those that answered; as others did not "
                f"({', '.join(silent)}), that does not mean that there is nothing."
            )
        if left_out:
            notes.append(f"{left_out} results were adverts or no pages, and left out.")
        if too_large:
            notes.append(f"{too_large} further results did not fit into one answer.")
        return notes

    def _info(self, engine: Engine) -> EngineInfo:
        kinds = [self._kind(engine, kind) for kind in sorted(engine.kinds)]
        return EngineInfo(
            name=engine.name,
            ready=engine.missing is None and any(each.circuit != "open" for each in kinds),
            missing=engine.missing,
            weight=engine.weight,
            kinds=kinds,
        )

    def _kind(self, engine: Engine, kind: Kind) -> KindInfo:
        circuit = self._asker.circuits.circuit(engine.name, kind)
        return KindInfo(
            kind=kind,
            circuit=circuit.state,
            resting_ms=round(circuit.rest_s * 1000) or None,
            reason=circuit.reason,
            last_outcome=circuit.last,
        )


def _searches(action: str, run: Callable[..., Any], title: str, ttl_s: float) -> Tool:
    return reads(
        f"web.search.{action}", run, title=title, open_world=True, untrusted=True, ttl_s=ttl_s
    )


def _source(each: Merged) -> str:
    return each.best.source or site(each.best.url) or ""


def _had_by(each: Merged) -> list[HadBy]:
    return [HadBy(engine=voice.engine, rank=voice.rank) for voice in each.voices]
