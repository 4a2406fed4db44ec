"""The owner's interface, `/api`: plain JSON for the commands and the console, never for a model."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from flotilla import (
    FlotillaError,
    InvalidArgument,
    Model,
    NotAllowed,
    correlation,
)
from flotilla.identity import Caller
from flotilla.operations import STATUS
from flotilla.serving.gates import CALLER, whole_body
from master.principals import OWNER

PATH = "/api"
MAX_BODY_BYTES = 1024 * 1024

Answer = Callable[[Request], Awaitable[Any]]
"""Answers with a Model, JSON, or a Response of its own; raises FlotillaError."""
_Body = TypeVar("_Body", bound=Model)


def owner_routes(known: Sequence[tuple[str, str, Answer]]) -> list[BaseRoute]:
    """Routes for the owner alone: method, path below `/api`, and what answers."""
    return [
        Route(f"{PATH}{path}", answered(answer, owner=True), methods=[method])
        for method, path, answer in known
    ]


def answered(answer: Answer, *, owner: bool) -> Callable[[Request], Awaitable[Response]]:
    """An endpoint; errors have the same shape as a tool's. `owner`: nobody else may."""

    async def endpoint(request: Request) -> Response:
        try:
            caller: Caller = request.scope[CALLER]
            if owner and caller.principal != OWNER:
                raise NotAllowed(
                    "only the owner of the fleet may do this",
                    hint="Send the token that the first start wrote to owner_token.",
                )
            told = await answer(request)
            if isinstance(told, Response):
                return told
            if isinstance(told, BaseModel):
                told = told.model_dump(mode="json", by_alias=True, exclude_none=True)
            return JSONResponse(told)
        except FlotillaError as error:
            refused = {"error": error.as_json(request.scope[correlation.SCOPE])}
            return JSONResponse(refused, STATUS.get(error.code, 500))

    return endpoint


async def body_of(request: Request, kind: type[_Body]) -> _Body:
    """The body of a request; InvalidArgument says what is wrong with it."""
    raw = await whole_body(request.receive)
    if raw is None or len(raw) > MAX_BODY_BYTES:
        raise InvalidArgument("the body has over 1 MiB")
    try:
        return kind.model_validate_json(raw)
    except ValidationError as error:
        told = error.errors(include_url=False, include_input=False, include_context=False)
        where = ".".join(map(str, told[0]["loc"])) or "the body"
        raise InvalidArgument(f"{where}: {told[0]['msg']}") from None
