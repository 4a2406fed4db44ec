"""What a client hears of its request before the answer, under its own progress token."""

from collections.abc import AsyncIterator, Mapping

from flotilla import meta
from master import rpc
from master.north.client import Client
from master.result import COMPLETE, marked_text
from master.streaming.splitter import Piece
from master.streaming.transform import Outgoing

LEVELS = ("debug", "info", "notice", "warning", "error", "critical", "alert", "emergency")
"""RFC 5424's, the least severe first."""
_MODERN_ONLY = frozenset({"resultType", "ttlMs", "cacheScope"})


class Hearing:
    """One request of one client."""

    def __init__(self, client: Client, message: rpc.Message) -> None:
        token = message.meta.get("progressToken")
        is_token = isinstance(token, (str, int)) and not isinstance(token, bool)
        self._token = rpc.text_of(token) if is_token else None
        self._client = client
        self._message = message
        self.told = False

    async def notify(self, method: str, params: Mapping[str, str]) -> None:
        if method == "notifications/progress":
            if self._token is None:
                return
            params = {**params, "progressToken": self._token}
        elif method == "notifications/message" and not self._wants(params):
            return
        self.told = True
        await self._client.teller.tell(rpc.notice(method, params))

    async def report(self, progress: float, total: float | None, said: str | None) -> None:
        """Progress of the hub's own tools."""
        known = {"progress": progress, "total": total, "message": said}
        await self.notify(
            "notifications/progress",
            {name: rpc.text_of(value) for name, value in known.items() if value is not None},
        )

    async def pause(self) -> None:
        await self._client.teller.pause()

    async def pour(self, pieces: AsyncIterator[Piece]) -> bool:
        assert self._message.id is not None, "a notification has no answer"
        modern = self._client.era == "modern"
        outgoing = Outgoing(
            pieces,
            request_id=rpc.text_of(self._message.id).encode(),
            drop=() if modern else _MODERN_ONLY,
            add_first={"resultType": COMPLETE} if modern else {},
            marks=self._marks,
        )
        error = await outgoing.begin()
        if error is not None:
            code = error.get("code")
            known = code if isinstance(code, int) else rpc.INTERNAL_ERROR
            raise rpc.RpcError(known, str(error.get("message", "")), error.get("data"))
        self.told = True
        await self._client.teller.pour(aiter(outgoing))
        return outgoing.is_error

    def _marks(self, text: str | None) -> str:
        return marked_text(text, **{meta.CORRELATION_ID: self._client.correlation_id})

    def _wants(self, params: Mapping[str, str]) -> bool:
        wanted = self._client.log_level
        if wanted is None:
            return self._client.era == "handshake"
        return at_least(params.get("level", "").strip('"'), wanted)


def at_least(level: str, wanted: str) -> bool:
    """Whether a log message of `level` is as severe as `wanted`; an unknown level is."""
    if level not in LEVELS or wanted not in LEVELS:
        return True
    return LEVELS.index(level) >= LEVELS.index(wanted)
