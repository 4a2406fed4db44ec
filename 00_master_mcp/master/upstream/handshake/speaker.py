"""Speaks the handshake revisions with one server: a session, opened, kept and opened anew."""

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from time import monotonic
from typing import Any

import structlog

from flotilla import FlotillaError, TimedOut, UpstreamError, meta
from master import rpc
from master.call import Call
from master.result import Result
from master.upstream import wire
from master.upstream.carrying import ended, unless_ended, within
from master.upstream.handshake import questions
from master.upstream.handshake.conversation import Conversation
from master.upstream.handshake.pending import Pending
from master.upstream.handshake.suspended import Suspended
from master.upstream.handshake.transport import SessionLost, Transport
from master.upstream.link import Standing, Told
from master.upstream.listing import offer_of
from master.upstream.transport.client import unreachable, went_away

log = structlog.get_logger(__name__)

REVISIONS = ("2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05")
CAPABILITIES: Mapping[str, Any] = {
    "elicitation": {"form": {}, "url": {}},
    "sampling": {"tools": {}, "context": {}},
    "roots": {"listChanged": True},
}
"""All that any client may turn out to have: they are fixed when the session opens."""
OPEN_S = 30.0
"""How long a server may take to open a session; one that is installed first takes its time."""
ASK_S = 20.0
PING_S = 15.0
"""How often a silent server is asked whether it lives."""
REOPEN_S = 5.0
"""How long a call waits for a session to be opened anew."""
QUESTION_S = 600.0
"""How long a client may think about a question."""
RENEW_S = 0.2
"""A session is dead whose stream brings nothing for so long after its server answered others: at
most a third of what a look may take."""
LEVEL_S = 1.0
"""How long is waited for a server that is told which log messages are wanted."""
SUBSCRIBE_S = 2.0
"""How long is waited for a server that is asked to tell of a resource."""
MAX_SETTLE_S = 1.0
SETTLE_S = 0.05
"""Changes that come together are looked at once."""

_LEVELS = ("debug", "info", "notice", "warning", "error", "critical", "alert", "emergency")


class Handshake:
    """`connect` makes the transport of one session; it is called anew for each."""

    def __init__(
        self,
        service: str,
        connect: Callable[[], Transport],
        *,
        roots: tuple[str, ...] = (),
        question_s: float = QUESTION_S,
    ) -> None:
        self._service = service
        self._connect = connect
        self._roots = roots
        self._suspended = Suspended(question_s, self._given_up)
        self._transport: Transport | None = None
        """Of the session that stands, or the last one."""
        self._conversation: Conversation | None = None
        self._open = asyncio.Event()
        self._stale = asyncio.Event()
        self._watched: frozenset[str] = frozenset()
        self._level: str | None = None
        self._capabilities: Mapping[str, Any] = {}
        self._asking: set[asyncio.Task[None]] = set()
        self._subscribing: dict[str, asyncio.Task[None]] = {}
        """What the server was asked last about a resource, and may not have answered."""
        self._levelling: asyncio.Task[None] | None = None

    async def hold(self, told: Told) -> None:
        transport = self._transport = self._connect()
        conversation = Conversation(transport, told, self._stale.set, self._roots)
        carrying = asyncio.create_task(transport.run(conversation))
        try:
            await unless_ended(self._held(transport, conversation, told), carrying)
        finally:
            self._open.clear()
            self._conversation = self._levelling = None
            self._subscribing.clear()
            self._suspended.clear()
            conversation.end(went_away(self._service))
            if not carrying.done():
                carrying.cancel()
            await asyncio.wait({carrying})
            if not carrying.cancelled():
                carrying.exception()  # told already, or overtaken by what ended us

    async def send(self, call: Call) -> Result:
        state = questions.state_of(call.params)
        try:
            async with asyncio.timeout(call.due().remaining_s() + wire.LAST_WORD_S):
                if call.modern and call.log_level in _LEVELS:
                    await self.log_level(call.log_level)
                if state is None:
                    return await self._begun(call)
                pending = self._suspended.take(state, call)
                conversation = self._now()
                answers = questions.answers_of(call.params)
                await conversation.answer(pending, answers, call.refused)
                return await self._next(conversation, pending, call)
        except TimeoutError:
            raise TimedOut(f"{self._service} did not answer before the deadline") from None

    async def probe(self, timeout_s: float) -> str | None:
        try:
            async with asyncio.timeout(timeout_s):
                await self._ping(self._now())
        except TimeoutError:
            raise TimedOut(f"{self._service} did not answer a ping") from None
        return None

    async def knock(self, timeout_s: float) -> None:
        transport = self._transport or self._connect()
        await transport.knock(timeout_s)

    async def look(self, timeout_s: float) -> Standing:
        conversation, transport = self._now(), self._transport
        assert transport is not None, "a session has a transport"
        transport.drop_idle()
        async with within(timeout_s, f"{self._service} did not answer a ping"):
            if not transport.frail:
                await self._ping(conversation)
                return "whole"
            pinging = asyncio.create_task(self._ping(conversation))
            knocking = asyncio.create_task(transport.knock(timeout_s))
            try:
                await asyncio.wait({pinging, knocking}, return_when=asyncio.FIRST_COMPLETED)
                if not pinging.done() and knocking.exception() is None:
                    # Within the limit of the look, or no look at all would say so.
                    await asyncio.wait({pinging}, timeout=min(RENEW_S, timeout_s / 3))
                    if not pinging.done():
                        return "dead"
                await pinging
            finally:
                await ended(pinging, knocking)
        return "whole"

    @property
    def busy(self) -> bool:
        """Whether a client waits for an answer."""
        return self._conversation is not None and self._conversation.busy

    def watch(self, uris: frozenset[str]) -> None:
        added, gone = uris - self._watched, self._watched - uris
        self._watched = uris
        conversation = self._conversation
        if conversation is None or not self._can("resources", "subscribe"):
            return
        for method, each in (("subscribe", added), ("unsubscribe", gone)):
            for uri in each:
                self._subscribe(conversation, method, uri)

    async def watched(self) -> None:
        if self._subscribing:
            await asyncio.wait(set(self._subscribing.values()), timeout=SUBSCRIBE_S)

    async def log_level(self, level: str) -> None:
        # The session is everybody's, and who has said nothing wants what is usual.
        wanted = min(level, wire.DEFAULT_LEVEL, key=_LEVELS.index)
        if self._level is not None and _LEVELS.index(self._level) <= _LEVELS.index(wanted):
            return
        self._level = wanted
        if self._conversation is not None and "logging" in self._capabilities:
            # One that does not answer is not waited for: it hurts nobody but its own callers.
            await asyncio.wait({self._set_level(self._conversation, wanted)}, timeout=LEVEL_S)

    async def _begun(self, call: Call) -> Result:
        conversation = self._now()
        try:
            return await self._next(conversation, await conversation.open(call), call)
        except SessionLost:
            # The server has not acted on it: once more, on the session that is opened next.
            try:
                async with asyncio.timeout(REOPEN_S):
                    while self._conversation in (None, conversation):
                        self._open.clear()
                        await self._open.wait()
            except TimeoutError:
                raise unreachable(self._service) from None
        conversation = self._now()
        return await self._next(conversation, await conversation.open(call), call)

    async def _next(self, conversation: Conversation, pending: Pending, call: Call) -> Result:
        """The answer, or the questions that must be answered first."""
        try:
            answer = await pending.next()
        except asyncio.CancelledError:
            conversation.cancel(pending, "the client does not wait any more")
            raise
        except BaseException:
            conversation.close(pending)
            raise
        if answer is None:
            return questions.input_required(pending, self._suspended.keep(pending, call))
        conversation.close(pending)
        return answer

    async def _held(self, transport: Transport, conversation: Conversation, told: Told) -> None:
        async with within(OPEN_S, f"{self._service} did not open a session"):
            await transport.opened()
            found = await conversation.ask(
                "initialize",
                {
                    "protocolVersion": REVISIONS[0],
                    "capabilities": CAPABILITIES,
                    "clientInfo": wire.HUB_INFO,
                },
            )
            version = found.get("protocolVersion")
            if version not in REVISIONS:
                raise UpstreamError(f"{self._service} speaks revision {str(version)[:40]!r} alone")
            transport.initialized(str(version))
            await conversation.tell("notifications/initialized")
        self._capabilities = meta.members(found.get("capabilities"))
        await self._listed(conversation, found, told)
        self._conversation = conversation
        self._open.set()
        await self._restored(conversation)
        pause_s = SETTLE_S
        while True:
            await self._quiet()
            if self._stale.is_set():
                await asyncio.sleep(pause_s)
                self._stale.clear()
                started = monotonic()
                await self._listed(conversation, found, told)
                # One that always has news, or long lists, gets half of the hub's attention.
                pause_s = min(max(SETTLE_S, monotonic() - started), MAX_SETTLE_S)
            elif not conversation.busy:
                # One that works for a client may do one thing at a time: it is left in peace.
                async with within(ASK_S, f"{self._service} did not answer a ping"):
                    await self._ping(conversation)

    async def _listed(
        self, conversation: Conversation, found: Mapping[str, Any], told: Told
    ) -> None:
        async with within(ASK_S, f"{self._service} did not list what it offers"):
            info = meta.members(found.get("serverInfo"))
            told.offered(await offer_of(conversation.ask, found, info))

    async def _restored(self, conversation: Conversation) -> None:
        """What an earlier session had asked for."""
        if self._can("resources", "subscribe"):
            for uri in sorted(self._watched):
                self._subscribe(conversation, "subscribe", uri)
        if self._level is not None and "logging" in self._capabilities:
            self._set_level(conversation, self._level)

    def _subscribe(self, conversation: Conversation, method: str, uri: str) -> None:
        before, params = self._subscribing.get(uri), {"uri": uri}
        asking = self._behind(before, SUBSCRIBE_S, conversation, f"resources/{method}", params)
        task = self._subscribing[uri] = self._quietly(asking)

        def answered(_: object) -> None:
            if self._subscribing.get(uri) is task:
                del self._subscribing[uri]

        task.add_done_callback(answered)

    def _set_level(self, conversation: Conversation, level: str) -> asyncio.Task[None]:
        params = {"level": level}
        asking = self._behind(self._levelling, LEVEL_S, conversation, "logging/setLevel", params)
        self._levelling = self._quietly(asking)
        return self._levelling

    async def _behind(
        self,
        before: asyncio.Task[None] | None,
        limit_s: float,
        conversation: Conversation,
        method: str,
        params: Mapping[str, Any],
    ) -> None:
        """Ask once `before` was answered: two that are on their way together may change places."""
        if before is not None and not before.done():
            await asyncio.wait({before}, timeout=limit_s)
            if self._conversation is not conversation:
                return
        await conversation.ask(method, params)

    async def _quiet(self) -> None:
        """Return when the lists are stale, or nothing was said for a while."""
        try:
            async with asyncio.timeout(PING_S):
                await self._stale.wait()
        except TimeoutError:
            return

    async def _ping(self, conversation: Conversation) -> None:
        try:
            await conversation.ask("ping", {})
        except rpc.RpcError:
            return  # it has no ping; but it has answered

    def _now(self) -> Conversation:
        if self._conversation is None:
            raise unreachable(self._service)
        return self._conversation

    def _can(self, capability: str, detail: str) -> bool:
        return meta.members(self._capabilities.get(capability)).get(detail) is True

    def _given_up(self, pending: Pending) -> None:
        if self._conversation is not None:
            self._conversation.cancel(pending, "its question was not answered in time")

    def _quietly(self, asking: Coroutine[Any, Any, object]) -> asyncio.Task[None]:
        """Ask for something whose refusal changes nothing."""
        task = asyncio.create_task(_asked(asking))
        self._asking.add(task)
        task.add_done_callback(self._asking.discard)
        return task


async def _asked(asking: Coroutine[Any, Any, object]) -> None:
    try:
        await asking
    except (FlotillaError, rpc.RpcError) as error:
        log.info("server_refused", reason=str(error))
