"""What was typed as a secret comes back in nothing that a tool answers, wherever a page puts it.

The hub hides the values of stored secrets by itself. A password that was typed as it is, it does
not know; and neither is a page to be asked where it keeps what was typed.
"""

import asyncio
import inspect
from collections.abc import Collection, Iterable
from dataclasses import replace
from functools import wraps
from typing import TYPE_CHECKING, Any, Literal, TypeVar, cast, get_origin

from pydantic import BaseModel

from flotilla import Context, FlotillaError, NotAllowed, TimedOut, Tool
from flotilla.known_values import MIN_LENGTH, Known
from flotilla.redaction import REDACTED
from flotilla.tool import Run
from web_browsing.browser.elements import translated
from web_browsing.browser.session import Session
from web_browsing.browser.sessions import Sessions

if TYPE_CHECKING:
    from playwright.async_api import Frame, Page

READ_S = 5.0
SHORTEST = 4
"""Characters; what is shorter is in too many texts to be told apart."""
_FIELDS = "input:not([type=password]):visible, textarea:visible"
_SESSION, _CONTEXT = "session_id", "context"

Data = TypeVar("Data")


class Veil:
    """Hides certain values: those of 8 characters and more however they are encoded, shorter ones
    as they are."""

    def __init__(self, values: Collection[str]) -> None:
        self._known = Known(values)
        short = (each for each in values if SHORTEST <= len(each) < MIN_LENGTH)
        self._short = sorted(short, key=len, reverse=True)

    def text(self, text: str) -> str:
        if self._known.may_be_in(text):
            text = self._known.hidden(text, REDACTED)
        for each in self._short:
            text = text.replace(each, REDACTED)
        return text

    def data(self, value: Data) -> Data:
        """The same with every text in it without the values; models stay what they are."""
        return cast("Data", self._data(value))

    def _data(self, value: Any) -> Any:
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, BaseModel):
            fields = type(value).model_fields
            return value.model_copy(
                update={
                    name: self._data(getattr(value, name))
                    for name, field in fields.items()
                    # Words of ours.
                    if get_origin(field.annotation) is not Literal
                }
            )
        if isinstance(value, dict):
            members = cast("dict[Any, Any]", value).items()
            return {self._data(name): self._data(inner) for name, inner in members}
        if isinstance(value, (list, tuple)):
            return [self._data(inner) for inner in cast("list[Any]", value)]
        return value

    def error(self, error: FlotillaError) -> None:
        """The same of what it says."""
        error.message = self.text(error.message)
        error.hint = None if error.hint is None else self.text(error.hint)
        error.details = self.data(error.details)
        error.args = (error.message,)


async def check_shows_none(session: Session, page: "Page") -> None:
    """Raises NotAllowed where a page has a secret of its session among its text, of which no
    picture may be taken; what is drawn without text nobody sees. TimedOut where it is busy."""
    from playwright.async_api import Error

    concealed = session.sending.concealed
    if not concealed:
        return
    try:
        async with asyncio.timeout(READ_S):
            text = "\n".join([part for frame in page.frames for part in await _read(frame)])
    except Error as error:
        raise translated(error) from None
    except TimeoutError:
        raise TimedOut("the page did not answer in time") from None
    if Veil(concealed).text(text) != text:
        raise NotAllowed(
            "the page shows a secret that was typed: no picture of it is handed out",
            hint="snapshot shows the page without it.",
            details={"reason": "shows_secret"},
        )


async def _read(frame: "Frame") -> list[str]:
    values: list[str] = await frame.locator(_FIELDS).evaluate_all("all => all.map(e => e.value)")
    return [*await frame.locator("body").all_inner_texts(), *values]


def concealing(tools: Iterable[Tool], sessions: Sessions) -> tuple[Tool, ...]:
    """The same tools, whose answers and errors are without the secrets of the session that they
    are called for. Those that are called for none stay as they are."""
    return tuple(
        replace(tool, run=_concealed(tool.run, sessions))
        if {_SESSION, _CONTEXT} <= inspect.signature(tool.run).parameters.keys()
        else tool
        for tool in tools
    )


def _concealed(run: Run, sessions: Sessions) -> Run:
    @wraps(run)
    async def inner(**given: Any) -> Any:
        context: Context = given[_CONTEXT]
        own = sessions.of(context.principal.name)
        session = next((each for each in own if each.id == given[_SESSION]), None)
        try:
            result = await run(**given)
        except FlotillaError as error:
            if session is not None and (concealed := session.sending.concealed):
                Veil(concealed).error(error)
            raise
        if session is not None and (concealed := session.sending.concealed):
            return Veil(concealed).data(result)
        return result

    return inner
