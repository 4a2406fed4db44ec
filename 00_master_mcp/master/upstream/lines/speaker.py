"""Speaks 2026-07-28 over standard streams: every request carries its envelope, all share one line.

There is no handshake: the first request is `server/discover`. The server asks nothing; what it
needs to know stands in its results (`input_required`), which pass verbatim, as the answers do. A
call that nobody waits for any more is cancelled by a notification, since there is no stream of its
own that could be closed.
"""

import asyncio
from collections.abc import Callable, Mapping
from itertools import count
from typing import Any, cast

import structlog

from flotilla import FlotillaError, TimedOut, Unavailable, UpstreamError, meta
from master import rpc
from master.call import Call
from master.result import HOP, Result
from master.upstream import wire
from master.upstream.carrying import unless_ended, within
from master.upstream.handshake.conversation import Conversation, Manner
from master.upstream.handshake.speaker import REVISIONS
from master.upstream.handshake.transport import Transport
from master.upstream.link import Told
from master.upstream.listing import offer_of
from master.upstream.transport.client import unreachable, went_away
from master.upstream.watching import Watching

log = structlog.get_logger(__name__)

DISCOVER_S = 30.0
"""How long a server may take to say what it is; one that is installed first takes its time."""
ASK_S = 20.0
LOOK_S = 15.0
"""How often a server that is silent and has nothing to do is asked whether it lives."""
SETTLE_S = 0.05
"""Changes that come together are looked at once."""
FIRST_NUMBER = 1_000_000_000
"""Of the requests. A handshake that follows on the same stream begins at 1, and must not take a
late answer for its own."""

_LISTS: Mapping[str, Any] = dict.fromkeys(
    ("toolsListChanged", "promptsListChanged", "resourcesListChanged"), True
)


class OtherEra(UpstreamError):
    """The server does not speak 2026-07-28, or has not said so in its time."""


class Ended(Unavailable):
    """The server ended before it said what it speaks."""


def _enveloped(method: str, params: Mapping[str, Any], request_id: int) -> bytes:
    return wire.request(method, params, {}, request_id)[0]


MODERN = Manner(_enveloped, wire.on_lines, asks=False)


class ModernLines:
    """`connect` makes the transport of one life of the server; `discover_s` bounds its opening."""

    def __init__(
        self, service: str, connect: Callable[[], Transport], *, discover_s: float = DISCOVER_S
    ) -> None:
        self._service = service
        self._connect = connect
        self._discover_s = discover_s
        self._numbers = count(FIRST_NUMBER)
        self._conversation: Conversation | None = None
        self._stale = asyncio.Event()
        self._hears = False
        """Whether the server tells when its lists change."""
        self._watching = Watching(self._updates)

    async def hold(self, told: Told) -> None:
        """As the Speaker's; OtherEra or Ended where the server has not taken up 2026-07-28."""
        transport = self._connect()
        conversation = Conversation(
            transport, told, self._stale.set, manner=MODERN, numbers=self._numbers
        )
        opened = asyncio.Event()
        carrying = asyncio.create_task(transport.run(conversation))
        try:
            await unless_ended(self._held(transport, conversation, told, opened), carrying)
        finally:
            conversation.end(went_away(self._service))
            carrying.cancel()
            await asyncio.wait({carrying})
            if not carrying.cancelled():
                carrying.exception()  # told already, or overtaken by what ended us
        if not opened.is_set():
            raise Ended(f"{self._service} ended before it said what it offers")

    async def send(self, call: Call) -> Result:
        conversation = self._now()
        try:
            async with asyncio.timeout(call.due().remaining_s() + wire.LAST_WORD_S):
                pending = await conversation.open(call)
                try:
                    answer = await pending.next()
                except asyncio.CancelledError:
                    conversation.cancel(pending, "the client does not wait any more")
                    raise
                finally:
                    conversation.close(pending)
        except TimeoutError:
            raise TimedOut(f"{self._service} did not answer before the deadline") from None
        assert answer is not None, "a server of this era asks nothing by requests"
        return answer

    async def probe(self, timeout_s: float) -> str | None:
        conversation = self._now()
        async with within(timeout_s, f"{self._service} did not answer server/discover"):
            await conversation.ask("server/discover", {})
        return None

    @property
    def busy(self) -> bool:
        """Whether a client waits for an answer."""
        return self._conversation is not None and self._conversation.busy

    def watch(self, uris: frozenset[str]) -> None:
        self._watching.want(uris)

    async def watched(self) -> None:
        await self._watching.settled()

    async def log_level(self, level: str) -> None:
        """Each request of this revision says for itself what it wants to hear."""

    async def _held(
        self, transport: Transport, conversation: Conversation, told: Told, opened: asyncio.Event
    ) -> None:
        found = await self._discovered(transport, conversation)
        opened.set()
        self._stale.clear()
        await self._listed(conversation, found, told)
        self._conversation = conversation
        beside = [
            asyncio.create_task(self._listen(conversation)),
            asyncio.create_task(self._watching.run()),
        ]
        try:
            await self._look(conversation, told)
        finally:
            self._conversation = None
            for task in beside:
                task.cancel()
            await asyncio.wait(beside)

    async def _discovered(
        self, transport: Transport, conversation: Conversation
    ) -> Mapping[str, Any]:
        try:
            async with within(self._discover_s, "it did not answer server/discover in time"):
                await transport.opened()
                found = await conversation.ask("server/discover", {})
        except rpc.RpcError as error:
            self._refuse_a_stranger(error)
            raise OtherEra(f"{self._service} refused server/discover: {error.message}") from None
        except TimedOut as error:
            raise OtherEra(f"{self._service}: {error.message}") from None
        versions: object = found.get("supportedVersions")
        if not isinstance(versions, list) or wire.PROTOCOL_VERSION not in versions:
            raise OtherEra(f"{self._service} does not speak {wire.PROTOCOL_VERSION}")
        return found

    def _refuse_a_stranger(self, error: rpc.RpcError) -> None:
        """UpstreamError for a server that says that it speaks no revision of ours at all."""
        supported: object = meta.members(error.data).get("supported")
        if error.code != rpc.UNSUPPORTED_VERSION or not isinstance(supported, list):
            return
        named = [str(each)[:40] for each in cast("list[object]", supported)[:20]]
        if not {*REVISIONS, wire.PROTOCOL_VERSION} & set(named):
            raise UpstreamError(f"{self._service} speaks {', '.join(named) or 'nothing'} alone")

    async def _listed(
        self, conversation: Conversation, found: Mapping[str, Any], told: Told
    ) -> None:
        info = meta.members(meta.marks_of(found).get(f"{HOP}serverInfo"))
        async with within(ASK_S, f"{self._service} did not list what it offers"):
            told.offered(await offer_of(conversation.ask, found, info))

    async def _look(self, conversation: Conversation, told: Told) -> None:
        """List anew what has changed, and see that the server lives; ends only by an error."""
        while True:
            try:
                async with asyncio.timeout(LOOK_S):
                    await self._stale.wait()
                await asyncio.sleep(SETTLE_S)
            except TimeoutError:
                # A program may do one thing at a time: while it works, it answers nothing else.
                if conversation.busy:
                    continue
            changed = self._stale.is_set() or not self._hears
            self._stale.clear()
            async with within(ASK_S, f"{self._service} did not answer server/discover"):
                found = await conversation.ask("server/discover", {})
            if changed:
                await self._listed(conversation, found, told)

    async def _listen(self, conversation: Conversation) -> None:
        """Hear of changed lists; where the server ends that, `_look` looks for itself."""

        def acknowledged() -> None:
            # Only now is no change lost any more.
            self._hears = True
            self._stale.set()

        try:
            await conversation.listen(_LISTS, acknowledged)
        except (FlotillaError, rpc.RpcError) as error:
            log.info("lists_not_watched", upstream=self._service, reason=str(error))
        finally:
            self._hears = False

    async def _updates(self, uris: frozenset[str], acknowledged: Callable[[], None]) -> None:
        wanted = {"resourceSubscriptions": sorted(uris)}
        await self._now().listen(wanted, acknowledged)

    def _now(self) -> Conversation:
        if self._conversation is None:
            raise unreachable(self._service)
        return self._conversation
