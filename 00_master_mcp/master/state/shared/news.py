"""What one hub tells the others, over a channel that all of them hear."""

from collections import defaultdict
from collections.abc import Callable

import orjson
import structlog

from master.state.shared.line import Away
from master.state.shared.store import Store

log = structlog.get_logger(__name__)


class SharedNews:
    def __init__(self, store: Store, channel: str, own_id: str) -> None:
        self._store = store
        self._channel = channel
        self._own_id = own_id
        self._hearers = defaultdict[str, list[Callable[[str], None]]](list)

    async def tell(self, topic: str, text: str) -> None:
        try:
            await self._store.ask(
                "PUBLISH", self._channel, orjson.dumps([self._own_id, topic, text])
            )
        except Away:
            # Whoever comes back asks for what it missed.
            return

    def on(self, topic: str, hear: Callable[[str], None]) -> None:
        self._hearers[topic].append(hear)

    def on_return(self, hear: Callable[[], None]) -> None:
        self._store.on_return(hear)

    def hear(self, said: bytes) -> None:
        """What came over the channel."""
        try:
            teller, topic, text = orjson.loads(said)
        except ValueError:
            log.warning("shared_news_unreadable")
            return
        if teller == self._own_id:
            return
        for hear in self._hearers.get(topic, ()):
            try:
                hear(text)
            except Exception:
                # One who fails to hear must not make the others deaf.
                log.exception("shared_news_failed", topic=topic)
