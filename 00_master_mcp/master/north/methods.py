"""What the hub answers to each method, whatever the era and transport."""

from collections.abc import Awaitable, Callable, Mapping
from time import monotonic
from typing import Any

import structlog

from flotilla import FlotillaError, InvalidArgument, NotAllowed, NotFound, Principal, meta
from flotilla.redaction import Redactor
from flotilla.serving.draining import Drain
from flotilla.toolbox import error_result
from master import rpc
from master.audit.seam import AuditBook, Row, Unwritten
from master.call import TOOLS_CALL, Call, Stage
from master.catalogue import Catalogue, Entry, View
from master.north.client import Client
from master.north.hearing import LEVELS, Hearing
from master.north.introduction import discovered, initialized
from master.north.lists import KIND_OF, listed
from master.north.rounds import CONSENT_S, QUESTION_S, in_rounds
from master.north.sessions import Session
from master.north.subscriptions import Subscriptions
from master.policy.seam import Open, Policy
from master.result import of_json, rendered
from master.stages.authorise import allowed

log = structlog.get_logger(__name__)

Answer = Callable[[rpc.Message, Client], Awaitable[str | None]]
"""Answers a request with the JSON text of its result, or raises RpcError.

None: the answer has gone out already, in pieces.
"""


class Methods:
    """The table of methods. `instructions` is what a client's model reads first."""

    def __init__(
        self,
        *,
        catalogue: Catalogue,
        answer: Stage,
        policy: Policy | None = None,
        audit: AuditBook | None = None,
        subscriptions: Subscriptions,
        log_level: Callable[[str], Awaitable[None]],
        drain: Drain,
        redactor: Redactor,
        instructions: str,
        question_s: float = QUESTION_S,
        consent_s: float = CONSENT_S,
    ) -> None:
        self._catalogue = catalogue
        self._answer = answer
        self._policy = policy or Open()
        self._audit = audit or Unwritten()
        self.subscriptions = subscriptions
        self._log_level = log_level
        self._drain = drain
        self._redactor = redactor
        self._instructions = instructions
        self._limits_s = question_s, consent_s
        self._table: dict[str, Answer] = {
            TOOLS_CALL: self._routed,
            "prompts/get": self._routed,
            "resources/read": self._routed,
            "completion/complete": self._routed,
            "ping": self._ping,
            "server/discover": self._discover,
            "logging/setLevel": self._set_level,
            "resources/subscribe": self._subscribe,
            "resources/unsubscribe": self._unsubscribe,
            **dict.fromkeys(KIND_OF, self._list),
        }

    async def handle(self, message: rpc.Message, client: Client) -> str | None:
        """The JSON text of the result of a request, None when it was sent already.

        RpcError where there is none.
        """
        method = self._table.get(message.method or "")
        if method is None:
            raise _no_method(message.method)
        return await method(message, client)

    def initialized(self, message: rpc.Message, view: View) -> tuple[str, str]:
        """The revision agreed on in a handshake, and the JSON text of the answer to it."""
        return initialized(self._catalogue, view, self._instructions, message.params)

    def found(self, uri: str, client: Client) -> Entry:
        """Whose resource that is, to be subscribed to; RpcError when nobody's, or not for them."""
        entry = self._owner_of(uri, client)
        try:
            allowed(self._policy, client.principal, entry, client.interactive, client.view)
        except NotAllowed as error:
            self._audit.count(_denied(client, entry, error))
            raise self._refusal(error, "resources/subscribe", client) from None
        return entry

    def may_hear_of(self, service: str, principal: Principal) -> bool:
        """Whether what a service says to nobody in particular is for a principal, too: whether the
        rules let it use anything of that service."""
        return any(map(self._policy.sight(principal).sees, self._catalogue.all_of(service)))

    async def _routed(self, message: rpc.Message, client: Client) -> str | None:
        call = _call(message, client)
        modern = client.era == "modern"
        try:
            with self._drain.call():
                if modern:
                    result = await self._answer(call)
                else:
                    result = await in_rounds(self._answer, call, client, *self._limits_s)
        except FlotillaError as error:
            if call.method != TOOLS_CALL:
                raise self._refusal(error, call.method, client) from None
            result = of_json(error_result(error, client.correlation_id, self._redactor))
        if result.poured:
            return None
        return rendered(result, modern=modern, cached=call.method == "resources/read")

    async def _ping(self, message: rpc.Message, client: Client) -> str:
        _session(message, client)
        return "{}"

    async def _discover(self, message: rpc.Message, client: Client) -> str:
        if client.era == "handshake":
            # A client that probes on a session or over HTTP+SSE shall shake hands there.
            raise _no_method(message.method)
        return discovered(self._catalogue, client.view, self._instructions)

    async def _list(self, message: rpc.Message, client: Client) -> str:
        return listed(self._catalogue, message, client, self._policy.sight(client.principal))

    async def _set_level(self, message: rpc.Message, client: Client) -> str:
        session, level = _session(message, client), message.params.get("level")
        if level not in LEVELS:
            raise rpc.RpcError(rpc.INVALID_PARAMS, f"level must be one of {', '.join(LEVELS)}")
        session.log_level = str(level)
        await self._log_level(str(level))
        return "{}"

    async def _subscribe(self, message: rpc.Message, client: Client) -> str:
        session, uri = _session(message, client), _named(message.params, "uri")
        entry = self.found(uri, client)

        def tell(params: rpc.Texts) -> None:
            session.outbox.put(rpc.notice("notifications/resources/updated", params))

        self.subscriptions.add(session, entry.service, entry.upstream_name, uri, tell)
        await self.subscriptions.watched(entry.service)
        return "{}"

    async def _unsubscribe(self, message: rpc.Message, client: Client) -> str:
        session = _session(message, client)
        entry = self._owner_of(_named(message.params, "uri"), client)
        self.subscriptions.remove(session, entry.service, entry.upstream_name)
        return "{}"

    def _owner_of(self, uri: str, client: Client) -> Entry:
        try:
            return self._catalogue.find_uri(uri, client.view)
        except NotFound as error:
            raise self._refusal(error, "resources/subscribe", client) from None

    def _refusal(self, error: FlotillaError, method: str, client: Client) -> rpc.RpcError:
        """The error of a request that is no tool call: those have no results that are errors."""
        code = rpc.INTERNAL_ERROR
        if isinstance(error, NotFound):
            is_resource = method.startswith("resources/")
            old = is_resource and client.era == "handshake"
            code = rpc.RESOURCE_NOT_FOUND if old else rpc.INVALID_PARAMS
        elif isinstance(error, InvalidArgument):
            code = rpc.INVALID_PARAMS
        told = self._redactor.data(error.as_json(client.correlation_id))
        return rpc.RpcError(code, self._redactor.text(error.message), told)


def _denied(client: Client, entry: Entry, error: NotAllowed) -> Row:
    """The row of a subscription that the rules refuse: it does not take the way of a call."""
    return Row(
        kind="call",
        principal=client.principal.name,
        roles=client.principal.roles,
        tool="resources/subscribe",
        service=entry.service,
        outcome=error.code,
        rules=tuple(error.details["rules"]),
        correlation_id=client.correlation_id,
    )


def _call(message: rpc.Message, client: Client) -> Call:
    hearing = Hearing(client, message)
    arguments = message.params.get("arguments")
    if arguments is not None and not isinstance(arguments, dict):
        raise rpc.RpcError(rpc.INVALID_PARAMS, "params.arguments must be an object")
    return Call(
        method=message.method or "",
        principal=client.principal,
        interactive=client.interactive,
        subject=client.subject,
        name=_name_in(message),
        params=message.texts,
        arguments=meta.members(arguments),
        meta=message.meta,
        correlation_id=client.correlation_id,
        traceparent=client.traceparent,
        view=client.view,
        capabilities=client.capabilities,
        party=client.principal.name if client.session is None else client.session.id,
        modern=client.era == "modern",
        client_info=client.info,
        log_level=client.log_level,
        arrived=monotonic(),
        hearer=hearing,
    )


def _name_in(message: rpc.Message) -> str:
    if message.method == "resources/read":
        return _named(message.params, "uri")
    if message.method != "completion/complete":
        return _named(message.params, "name")
    ref = meta.members(message.params.get("ref"))
    if ref.get("type") not in ("ref/prompt", "ref/resource"):
        raise rpc.RpcError(rpc.INVALID_PARAMS, "params.ref.type must be ref/prompt or ref/resource")
    return _named(ref, "name" if ref["type"] == "ref/prompt" else "uri")


def _named(params: Mapping[str, Any], key: str) -> str:
    name = params.get(key)
    if not isinstance(name, str):
        raise rpc.RpcError(rpc.INVALID_PARAMS, f"params.{key} must be a string")
    return name


def _session(message: rpc.Message, client: Client) -> Session:
    """The client's session; a modern client has none, and no methods that need one."""
    if client.session is None:
        raise _no_method(message.method)
    return client.session


def _no_method(name: str | None) -> rpc.RpcError:
    return rpc.RpcError(rpc.METHOD_NOT_FOUND, f"there is no method {name!r} here")


async def answered(work: Awaitable[str | None], request_id: rpc.Id) -> tuple[bytes | None, int]:
    """The answer to a request and its HTTP status; None when it was sent already."""
    try:
        result = await work
    except rpc.RpcError as error:
        return rpc.refusal(request_id, error), error.status
    except Exception:  # the top-level handler: internals stay in the log
        log.exception("request_failed")
        broke = rpc.RpcError(
            rpc.INTERNAL_ERROR, "the hub failed to answer; its log says more", status=500
        )
        return rpc.refusal(request_id, broke), broke.status
    return None if result is None else rpc.response(request_id, result), 200
