"""A spoke's operations as a route: one POST each, for the hub's token of that very request."""

import traceback
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from hashlib import sha256
from time import monotonic, perf_counter

import anyio
import structlog
from pydantic import ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route
from starlette.types import Receive

from flotilla import correlation
from flotilla.errors import (
    FlotillaError,
    InvalidArgument,
    NotAllowed,
    NotFound,
    TimedOut,
    TooLarge,
    Unavailable,
)
from flotilla.identity import LEEWAY_S, LIFETIME_S, Caller
from flotilla.json_text import to_json
from flotilla.metrics import Metrics
from flotilla.model import Model
from flotilla.operations import (
    NO_OPERATION,
    PATH,
    STATUS,
    TIMEOUT_HEADER,
    Operation,
    Told,
    scope_of,
)
from flotilla.redaction import Redactor
from flotilla.serving.draining import Drain
from flotilla.serving.gates import CALLER, bearer_token, whole_body

log = structlog.get_logger(__name__)


class OperationDesk:
    """Does the operations of one spoke, counted and timed; bodies and answers are never logged.

    An answer may hold secrets and is sent as it is, unless it is `Told`; errors are redacted.
    """

    def __init__(
        self,
        service: str,
        operations: Sequence[Operation],
        *,
        redactor: Redactor,
        metrics: Metrics,
        drain: Drain,
        limit_s: float,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        """`limit_s` is the longest that one operation may take. ValueError for a name twice."""
        self._by_name: Mapping[str, Operation] = {each.name: each for each in operations}
        if len(self._by_name) != len(operations):
            raise ValueError(f"two operations of {service} have the same name")
        self._service = service
        self._redactor = redactor
        self._metrics = metrics
        self._drain = drain
        self._limit_s = limit_s
        self._used = _Used(clock)

    def routes(self) -> list[BaseRoute]:
        return [Route(f"{PATH}/{{name}}", self._answer, methods=["POST"])] if self._by_name else []

    async def _answer(self, request: Request) -> Response:
        started = perf_counter()
        name: str = request.path_params["name"]
        correlation_id: str = request.scope[correlation.SCOPE]
        code: str | None = None
        operation: Operation | None = None
        response: Response
        try:
            operation = self._allowed(name, request)
            with self._drain.call():
                told = await self._done(operation, request)
            response = Response(self._written(told), media_type="application/json")
        except FlotillaError as error:
            code = error.code
            body = self._redactor.data(error.as_json(correlation_id))
            response = JSONResponse({"error": body}, STATUS.get(code, 500))
        except Exception as error:  # noqa: BLE001  the top-level handler, which logs
            code = FlotillaError.code
            # Not its message, which may quote the body.
            frames = "".join(traceback.format_tb(error.__traceback__))
            log.error("operation_failed", operation=name, kind=type(error).__name__, frames=frames)
            broke = FlotillaError(f"{self._service} failed inside the operation")
            response = JSONResponse({"error": broke.as_json(correlation_id)}, 500)
        took_s = perf_counter() - started
        # Only what exists becomes a label: callers must not be able to make labels.
        label = scope_of(operation.name if operation else "other")
        self._metrics.answered(self._service, label, took_s, code, correlation_id)
        log.info("operation_done", operation=name, error=code, took_ms=round(took_s * 1e3, 1))
        return response

    def _allowed(self, name: str, request: Request) -> Operation:
        """The operation that the request may have done; its token is spent by asking."""
        caller: Caller = request.scope[CALLER]
        token = bearer_token(request.scope) or ""
        if caller.approved_tool != scope_of(name):
            raise NotAllowed("the hub's token was not made for this operation")
        if not self._used.first_use(token):
            raise NotAllowed(
                "the hub's token was used before", details={"reason": "token_replayed"}
            )
        operation = self._by_name.get(name)
        if operation is None:
            raise NotFound(
                f"{self._service} has no operation {name!r}", details={"reason": NO_OPERATION}
            )
        if operation.role not in caller.principal.roles:
            raise NotAllowed(f"operation {name!r} is for the {operation.role} alone")
        return operation

    async def _done(self, operation: Operation, request: Request) -> Model:
        raw = await whole_body(request.receive)
        if raw is None:
            raise TooLarge("the body has over 4 MiB")
        body = body_read(operation.takes, raw)
        with anyio.move_on_after(self._within_s(request)):
            if operation.reads:
                return await _while_waited_for(operation.run(body), request.receive)
            return await operation.run(body)
        raise TimedOut(f"operation {operation.name!r} did not end before its deadline")

    def _written(self, told: Model) -> bytes:
        if isinstance(told, Told):
            return to_json(self._redactor.data(told.model_dump(mode="json", by_alias=True)))
        return told.model_dump_json(by_alias=True).encode()

    def _within_s(self, request: Request) -> float:
        asked = request.headers.get(TIMEOUT_HEADER, "")
        if not asked.isascii() or not asked.isdigit() or len(asked) > 9:
            return self._limit_s
        return min(self._limit_s, int(asked) / 1000)


async def _while_waited_for(work: Awaitable[Model], receive: Receive) -> Model:
    """What the work answers; Unavailable where whoever asked has hung up, and it has ended."""
    found: list[Model] = []
    failed: list[Exception] = []
    async with anyio.create_task_group() as group:

        async def done() -> None:
            try:
                found.append(await work)
            except Exception as error:  # noqa: BLE001  it is raised again, but for the group around
                failed.append(error)
            group.cancel_scope.cancel()

        group.start_soon(done)
        while (await receive())["type"] != "http.disconnect":
            continue
        group.cancel_scope.cancel()
    if failed:
        raise failed[0]
    if not found:
        raise Unavailable("whoever asked has gone")
    return found[0]


def body_read(kind: type[Model], raw: bytes) -> Model:
    """The body as its model; InvalidArgument says what is wrong and quotes nothing of it."""
    try:
        return kind.model_validate_json(raw or b"{}")
    except ValidationError as error:
        told = error.errors(include_url=False, include_input=False, include_context=False)[0]
        where = ".".join(map(str, told["loc"])) or "the body"
        raise InvalidArgument(f"{where}: {told['msg']}") from None


class _Used:
    """The tokens that were used and are still good, by their digests."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._until: OrderedDict[bytes, float] = OrderedDict()

    def first_use(self, token: str) -> bool:
        now = self._clock()
        while self._until and next(iter(self._until.values())) < now:
            self._until.popitem(last=False)
        digest = sha256(token.encode()).digest()
        if digest in self._until:
            return False
        # Nobody but the hub makes tokens: there are never more than it sends within their life. A
        # clock that is behind the hub's takes one for good a leeway before and after.
        self._until[digest] = now + LIFETIME_S + 2 * LEEWAY_S
        return True
