"""The control messages between hub and runner. Pure."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter, ValidationError

from flotilla import Model, UpstreamError
from master.external.sandbox import Protection

AUDIENCE = "external_runner"
"""Whom the hub's tokens for the runner are made for."""
PATH = "/programs"


class Open(Model):
    """Start this server; its handles are not resolved. The first message, and the only one."""

    kind: Literal["open"] = "open"
    name: str
    entry: Mapping[str, Any] = Field(repr=False)


class Running(Model):
    """It was started."""

    kind: Literal["started"] = "started"
    pid: int
    protection: Protection


class Refused(Model):
    """It was not started, and why; nothing follows."""

    kind: Literal["refused"] = "refused"
    code: Literal["not_configured", "unavailable"]
    message: str
    hint: str | None = None


class LeftOut(Model):
    """A line that is too long was left out; the request that it answers, where it says so."""

    kind: Literal["leftOut"] = "leftOut"
    length: int
    answers: int | None = None


class Silent(Model):
    """The program's standard output has ended."""

    kind: Literal["silent"] = "silent"


class End(Model):
    """End the program."""

    kind: Literal["end"] = "end"


class Exited(Model):
    """The program has ended with everything that it started; nothing follows."""

    kind: Literal["exited"] = "exited"
    code: int
    last_words: str


class Taken(Model):
    """So many bytes of lines were handed on since this was last said."""

    kind: Literal["taken"] = "taken"
    length: int = Field(ge=0)


class Beat(Model):
    """The sender lives."""

    kind: Literal["beat"] = "beat"


Message = Open | Running | Refused | LeftOut | Silent | End | Exited | Taken | Beat

_ANY: TypeAdapter[Message] = TypeAdapter(Annotated[Message, Field(discriminator="kind")])


def read_message(text: str) -> Message:
    """UpstreamError when it is none of the messages."""
    try:
        return _ANY.validate_json(text)
    except ValidationError as error:
        mistake = error.errors(include_url=False, include_input=False, include_context=False)[0]
        raise UpstreamError(f"not a message between hub and runner: {mistake['msg']}") from None
