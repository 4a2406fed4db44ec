"""The rug-pull guard: a tool that changes after it was first seen waits until a person has looked.

It remembers what `judging.py` decides by, in a document that all hubs share.
"""

from collections.abc import Collection, Mapping, Sequence
from functools import partial
from typing import Any

from anyio import to_thread

from flotilla import Conflict, Misconfigured, NotFound, Unavailable
from master.documents.kept import Kept
from master.documents.seam import Documents
from master.external.judging import Held, Known, Reviewed, digest_of, judge, parts_of
from master.state.seam import News

DOCUMENT = "tools_seen"
TOPIC = "guard"

Memory = Mapping[str, Mapping[str, Known]]
"""What is known of tools, by server and by name."""


class Guard:
    """Remembers tools for all hubs, and what this one holds back until it is accepted.

    What cannot be remembered is not offered: a tool that a stranger shows while the memory is away
    could be another one tomorrow, and nobody would know. Raises Misconfigured when the memory is
    not what was written.
    """

    def __init__(self, documents: Documents, news: News | None = None) -> None:
        self._kept: Kept[Memory] = Kept(
            documents,
            DOCUMENT,
            read=partial(_parsed, where=documents.where(DOCUMENT)),
            write=_document,
            news=news,
            topic=TOPIC,
        )
        self._held: dict[str, dict[str, Held]] = {}
        self._waiting: dict[tuple[str, str], Mapping[str, Any]] = {}
        self._judged_by: dict[str, Mapping[str, Known]] = {}
        """What was known of each server when its listing was reviewed last."""
        self._unsaved: dict[str, str] = {}
        """The servers some of whose tools are not offered since they could not be remembered."""

    @property
    def away(self) -> str | None:
        """Why the memory did not answer when it was asked last."""
        return self._kept.away

    async def refresh(self) -> None:
        """Read what other hubs remembered; Unavailable or Misconfigured leaves what is known."""
        await self._kept.refresh()

    def outdated(self, server: str) -> bool:
        """Whether its last review would now come to something else, by what is remembered."""
        if server in self._unsaved:
            return self.away is None
        return self._judged_by.get(server) != self._kept.value.get(server, {})

    def unsaved(self, server: str) -> str | None:
        """Why some of its tools wait although nobody has to look at them."""
        return self._unsaved.get(server)

    async def review(
        self, server: str, tools: Sequence[Mapping[str, Any]], foreign: Collection[str] = ()
    ) -> Reviewed:
        """What of a server's whole listing is offered; what is new and harmless is remembered.

        The scan runs in a thread.
        """
        while True:
            known = self._kept.value.get(server, {})
            reviewed = await to_thread.run_sync(judge, server, tools, known, foreign)
            unsaved = await self._remember(server, reviewed.learned)
            if unsaved is not None:
                return self._reviewed(server, tools, known, reviewed.without_learned(), unsaved)
            now = self._kept.value.get(server, {})
            # Else another hub has met the server meanwhile, with other tools under these names.
            if now == {**known, **reviewed.learned}:
                return self._reviewed(server, tools, now, reviewed)

    def held(self, server: str | None = None) -> list[Held]:
        """What waits for a person now, of one server or of all."""
        chosen = self._held if server is None else {server: self._held.get(server, {})}
        return [held for by_tool in chosen.values() for held in by_tool.values()]

    async def accept(self, server: str, tool: str, digest: str) -> None:
        """Remember a held definition as read and accepted; the next review offers it.

        NotFound when nothing of that name is held back, Conflict when it is not the one that was
        shown, or has two definitions at once; Unavailable when it cannot be remembered.
        """
        held = self._held.get(server, {}).get(tool)
        if held is None:
            raise NotFound(f"no tool {tool!r} of {server!r} is held back")
        if held.digest != digest:
            raise Conflict(
                f"tool {tool!r} of {server!r} has changed again",
                hint="Look at what is held back now, and decide on that.",
            )
        if held.reason == "ambiguous":
            raise Conflict(f"{server!r} offers two different tools {tool!r}; accept neither")
        accepted = Known(digest, parts_of(self._waiting[server, tool]), accepted=True)

        def with_accepted(memory: Memory) -> Memory:
            return {**memory, server: {**memory.get(server, {}), tool: accepted}}

        await self._kept.change(with_accepted)
        self._held.get(server, {}).pop(tool, None)

    async def forget(self, server: str) -> None:
        """Forget a server that was removed; added again, it is met for the first time."""

        def without(memory: Memory) -> Memory:
            if server not in memory:
                return memory
            return {name: each for name, each in memory.items() if name != server}

        self._dismiss(server)
        await self._kept.change(without)

    def keep_only(self, servers: Collection[str]) -> None:
        """Drop what waits of others, which this hub has no longer."""
        for server in self._judged_by.keys() - set(servers):
            self._dismiss(server)

    def _dismiss(self, server: str) -> None:
        self._held.pop(server, None)
        self._judged_by.pop(server, None)
        self._unsaved.pop(server, None)

    async def _remember(self, server: str, learned: Mapping[str, Known]) -> str | None:
        """Keep what was learned but for what others met first; else tells why it cannot be."""
        if not learned and self._kept.known:
            return None
        if self.away is not None:
            # Whoever asks for news tries again; every server that waited for it would take turns.
            return self.away

        def with_learned(memory: Memory) -> Memory:
            known = memory.get(server, {})
            new = {tool: each for tool, each in learned.items() if tool not in known}
            return {**memory, server: {**known, **new}} if new else memory

        try:
            await self._kept.change(with_learned)
        except Unavailable as error:
            return error.message
        return None

    def _reviewed(
        self,
        server: str,
        tools: Sequence[Mapping[str, Any]],
        known: Mapping[str, Known],
        reviewed: Reviewed,
        unsaved: str | None = None,
    ) -> Reviewed:
        self._held[server] = {held.tool: held for held in reviewed.held}
        self._waiting = {key: tool for key, tool in self._waiting.items() if key[0] != server}
        by_digest = {digest_of(tool): tool for tool in tools} if reviewed.held else {}
        for held in reviewed.held:
            self._waiting[server, held.tool] = by_digest[held.digest]
        self._judged_by[server] = known
        if unsaved is None:
            self._unsaved.pop(server, None)
        else:
            self._unsaved[server] = unsaved
        return reviewed


def _document(memory: Memory) -> dict[str, Any]:
    servers = {
        server: {
            name: {"digest": each.digest, "accepted": each.accepted, "parts": each.parts}
            for name, each in tools.items()
        }
        for server, tools in memory.items()
    }
    return {"version": 1, "servers": servers}


def _parsed(state: Mapping[str, Any], where: str) -> Memory:
    try:
        if state.get("version", 1) != 1:
            raise ValueError("another version")
        return {
            server: {
                name: Known(each["digest"], each["parts"], each["accepted"])
                for name, each in tools.items()
            }
            for server, tools in state.get("servers", {}).items()
        }
    except (AttributeError, KeyError, TypeError, ValueError):
        raise Misconfigured(
            f"{where} is not ours; mend it, or delete it and review every tool anew"
        ) from None
