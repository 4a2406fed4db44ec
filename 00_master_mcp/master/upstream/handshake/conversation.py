"""One open session with a server: who waits for which answer, and whom its questions reach.

It is the same for both eras wherever many requests share a stream; `Manner` is what differs.
"""

import asyncio
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import count
from typing import Any

import structlog

from flotilla import FlotillaError, TooLarge, meta
from flotilla.json_text import from_json
from master import rpc
from master.call import Call, Refusal
from master.result import HOP, Result
from master.upstream import wire
from master.upstream.handshake import questions
from master.upstream.handshake.pending import Pending, Question
from master.upstream.handshake.transport import Transport
from master.upstream.incoming import Incoming, Large
from master.upstream.link import Told

log = structlog.get_logger(__name__)

SUBSCRIPTION_ID = f"{HOP}subscriptionId"
MAX_QUESTIONS = 100
"""That one request may have open at a time."""
STALLED_S = 1.0
"""A client that does not take what comes by a shared stream for this long is told no more."""


@dataclass(frozen=True, slots=True)
class Manner:
    """How an era writes requests, and whether its servers may send some themselves."""

    own: Callable[[str, Mapping[str, Any], int], bytes]
    """A request of the hub's own: method, params and ID."""
    forwarded: Callable[[Call, int], bytes]
    """A client's request under that ID."""
    asks: bool


def _plainly(method: str, params: Mapping[str, Any], request_id: int) -> bytes:
    return rpc.request(request_id, method, rpc.text_of(params))


HANDSHAKE = Manner(_plainly, wire.on_a_session, asks=True)


class Conversation:
    """`changed` is told whenever the server says that one of its lists is another one.

    `numbers` are the IDs of its requests: where conversations follow each other on one stream, an
    answer to the last one must not be taken for another's.
    """

    def __init__(
        self,
        transport: Transport,
        told: Told,
        changed: Callable[[], None],
        roots: tuple[str, ...] = (),
        manner: Manner = HANDSHAKE,
        numbers: Iterator[int] | None = None,
    ) -> None:
        self._transport = transport
        self._told = told
        self._changed = changed
        self._roots = roots
        self._pending: dict[int, Pending] = {}
        self._manner = manner
        self._numbers = count(1) if numbers is None else numbers
        self._streams: dict[int, Callable[[], None]] = {}
        """Whom to tell that a stream of changes has begun, by its request."""
        self._sending: set[asyncio.Task[None]] = set()

    @property
    def busy(self) -> bool:
        """Whether a client waits for an answer."""
        return any(pending.call is not None for pending in self._pending.values())

    async def ask(self, method: str, params: Mapping[str, Any]) -> Mapping[str, Any]:
        """One request of the hub's own, and the members of its result."""
        pending = self._opened(None)
        try:
            await self._send_own(pending, method, params)
            answered = await pending.next()
        finally:
            self.close(pending)
        assert answered is not None, "a request without a client is asked nothing"
        return {name: from_json(text.encode()) for name, text in answered.texts.items()}

    async def listen(self, wanted: Mapping[str, Any], acknowledged: Callable[[], None]) -> None:
        """Hold a stream of changes (2026-07-28) until its server ends it; cancelling ends it too.

        `acknowledged` is called when the server has begun to tell of them.
        """
        pending = self._opened(None)
        self._streams[pending.number] = acknowledged
        try:
            await self._send_own(pending, "subscriptions/listen", {"notifications": wanted})
            await pending.next()
        except asyncio.CancelledError:
            self.cancel(pending, "nobody listens any more")
            raise
        finally:
            del self._streams[pending.number]
            self.close(pending)

    async def tell(self, method: str) -> None:
        await self._transport.send(rpc.notification(method, {}))

    async def open(self, call: Call) -> Pending:
        """Send a client's request; what is heard of it is in what this returns."""
        pending = self._opened(call)
        try:
            message = self._manner.forwarded(call, pending.number)
            await self._transport.send(message, pending.number, wire.call_headers(call))
        except BaseException:
            self.close(pending)
            raise
        return pending

    async def answer(
        self, pending: Pending, answers: rpc.Texts, refused: Mapping[str, Refusal]
    ) -> None:
        """Pass the client's answers on to the server; unknown keys are left alone."""
        for key in (*answers, *refused):
            question = pending.questions.pop(key, None)
            if question is None:
                continue
            if key in refused:
                message = rpc.refusal(question.id, refused[key].error)
            else:
                message = rpc.response(question.id, answers[key])
            await self._transport.send(message)

    def cancel(self, pending: Pending, reason: str) -> None:
        """Tell the server that nobody waits any more."""
        if pending.number in self._pending and not pending.answered:
            params = {"requestId": pending.number, "reason": reason}
            self._later(rpc.notification("notifications/cancelled", params))
        self.close(pending)

    def close(self, pending: Pending) -> None:
        if self._pending.pop(pending.number, None) is not None:
            self._transport.drop(pending.number)

    def end(self, error: FlotillaError) -> None:
        """The session is over: nothing that is open will be answered."""
        for pending in list(self._pending.values()):
            pending.answer(error)
        self._pending.clear()
        for task in self._sending:
            task.cancel()

    async def heard(self, message: Incoming, request: int | None) -> None:
        if isinstance(message, Large):
            await self._poured(message, request)
        elif message.is_response:
            self._answered(message)
        elif "id" in message.values:
            self._asked(message, request)
        else:
            await self._notified(message, request)

    async def paused(self, request: int) -> None:
        pending = self._pending.get(request)
        if pending is not None:
            await pending.pause()

    def failed(self, request: int, error: FlotillaError | rpc.RpcError) -> None:
        pending = self._pending.get(request)
        if pending is not None:
            pending.answer(error)

    async def _send_own(self, pending: Pending, method: str, params: Mapping[str, Any]) -> None:
        message = self._manner.own(method, params, pending.number)
        await self._transport.send(message, pending.number)

    def _opened(self, call: Call | None) -> Pending:
        pending = Pending(next(self._numbers), call)
        self._pending[pending.number] = pending
        return pending

    def _answered(self, message: wire.Received) -> None:
        number = message.values.get("id")
        pending = self._pending.get(number) if isinstance(number, int) else None
        if pending is None:
            return
        try:
            message.result()
            pending.answer(Result(message.texts))
        except (rpc.RpcError, FlotillaError) as error:
            pending.answer(error)

    async def _poured(self, message: Large, request: int | None) -> None:
        """A large answer goes to its client as it comes, where it is known whose it is."""
        pending = None if request is None else self._pending.get(request)
        if pending is None or pending.call is None:
            try:
                read = await message.whole()
            except TooLarge as error:
                # The others who share the stream are not to be hurt by it.
                number = int(message.id) if message.id and message.id.isdigit() else -1
                self.failed(number if request is None else request, error)
                return
            await self.heard(read, request)
            return
        hearer = await pending.hearer()
        if hearer is None:
            raise TooLarge("a large answer came for nobody")
        is_error = await hearer.pour(message.pieces())
        pending.answer(Result({"isError": "true"} if is_error else {}, poured=True))

    def _asked(self, message: wire.Received, request: int | None) -> None:
        question_id, method = message.values["id"], message.method
        if not isinstance(question_id, (str, int)):
            return
        pending = None
        if method == "ping":
            self._later(rpc.response(question_id, "{}"))
            return
        if self._manner.asks and questions.is_question(method):
            pending = self._whose(request, method, message.params)
        if pending is not None and len(pending.questions) < MAX_QUESTIONS:
            pending.ask(Question(question_id, method, rpc.written(message.texts)))
        elif method == "roots/list":
            roots = [{"uri": uri} for uri in self._roots]
            self._later(rpc.response(question_id, rpc.text_of({"roots": roots})))
        else:
            said = f"no client here can be asked {method[:100]!r} now"
            error = rpc.RpcError(rpc.METHOD_NOT_FOUND, said)
            self._later(rpc.refusal(question_id, error))
            self._lacking(request, method, message.params)

    def _whose(self, request: int | None, method: str, params: Mapping[str, Any]) -> Pending | None:
        """The request for which the server asks.

        On a stream that is shared by all requests nothing says it. Then it is the latest of those
        whose client can be asked, but only where all of them are one party's: nobody must be shown
        what concerns another's call.
        """
        able = [
            (each, each.call)
            for each in self._known(request)
            if each.call is not None
            and questions.can_answer(each.call.capabilities, method, params)
        ]
        # One that waits for its own client's answer is hardly the one that asks again.
        able = [each for each in able if not each[0].suspended] or able
        if len({call.party for _, call in able}) != 1:
            return None
        return able[-1][0]

    def _known(self, request: int | None) -> list[Pending]:
        """Those that a message may belong to: the one on whose stream it came, else any."""
        if request is not None:
            return [self._pending[request]] if request in self._pending else []
        return list(self._pending.values())

    def _lacking(self, request: int | None, method: str, params: Mapping[str, Any]) -> None:
        """End a modern client's request that needs what it did not declare, as that era has it."""
        # One that waits for its own client's answer is hardly the one that asks again.
        open_ = [each for each in self._known(request) if each.call and not each.suspended]
        pending = open_[0] if len(open_) == 1 else None
        if pending is None or pending.call is None or not pending.call.modern:
            return
        if self._manner.asks and questions.is_question(method):
            self.cancel(pending, "the client has not declared what the request needs")
            pending.answer(questions.lacking(method, params))

    async def _notified(self, message: wire.Received, request: int | None) -> None:
        method, params = message.method, message.texts
        if method == "notifications/progress":
            token = message.params.get("progressToken")
            pending = self._pending.get(token) if isinstance(token, int) else None
            if pending is not None:
                await self._passed_on(pending, method, params, request)
        elif method.endswith("/list_changed"):
            self._changed()
        elif method == "notifications/resources/updated":
            self._told.updated(str(message.params.get("uri", "")), params)
        elif method == "notifications/subscriptions/acknowledged":
            number = meta.marks_of(message.params).get(SUBSCRIPTION_ID)
            acknowledged = self._streams.get(number) if isinstance(number, int) else None
            if acknowledged is not None:
                acknowledged()
        elif method != "notifications/cancelled":
            await self._said(method, params, request)

    async def _said(self, method: str, params: rpc.Texts, request: int | None) -> None:
        """A log message and the like: to the client of the request, where that is known."""
        callers = [each for each in self._known(request) if each.call is not None]
        if not callers:
            self._told.said(method, params)
        elif len({each.call.party for each in callers if each.call}) == 1:
            await self._passed_on(callers[-1], method, params, request)

    async def _passed_on(
        self, pending: Pending, method: str, params: rpc.Texts, request: int | None
    ) -> None:
        """Tell a client, which may read slowly: where a stream is shared, others wait behind it."""
        if request is not None:
            await pending.notify(method, params)
            return
        try:
            async with asyncio.timeout(STALLED_S):
                await pending.notify(method, params)
        except TimeoutError:
            log.info("client_reads_too_slowly", told=method)
            pending.mute()

    def _later(self, message: bytes) -> None:
        """Send without waiting: what is heard next must not wait for what is said."""
        task = asyncio.create_task(self._sent(message))
        self._sending.add(task)
        task.add_done_callback(self._sending.discard)

    async def _sent(self, message: bytes) -> None:
        try:
            await self._transport.send(message)
        except (FlotillaError, rpc.RpcError) as error:
            log.info("message_not_sent", reason=str(error))
