"""What a server says to nobody in particular is for those alone who may use something of it."""

from typing import Any

import pytest

from flotilla.redaction import Redactor
from flotilla.serving.draining import Drain
from master.call import Call
from master.catalogue import Catalogue, Origin, View
from master.north.handshake import Handshake
from master.north.methods import Methods
from master.north.sessions import Sessions
from master.north.subscriptions import Subscriptions
from master.offer import Offer
from master.policy.book import Rulebook
from master.policy.rules import load_rules

from .told import ROOT, who

pytestmark = pytest.mark.anyio


async def answer(call: Call) -> Any:
    raise AssertionError(f"nobody calls {call.name}")


async def to_no_server(*_: Any) -> None:
    raise AssertionError("nobody asks a server for anything")


def unwatched(service: str, uris: frozenset[str]) -> None:
    raise AssertionError(f"nobody watches {uris} of {service}")


async def test_a_stolen_token_that_reads_hears_no_log_of_a_server_that_it_may_not_use() -> None:
    catalogue = Catalogue(
        {"ours": Origin(frozenset({"os.linux"})), "theirs": Origin(external=True)}
    )
    look = {"name": "os.linux.look", "annotations": {"readOnlyHint": True}, "inputSchema": {}}
    catalogue.offer("ours", Offer({"tools": (look,)}))
    catalogue.offer("theirs", Offer({"tools": ({**look, "name": "look"},)}))
    methods = Methods(
        catalogue=catalogue,
        answer=answer,
        policy=Rulebook(load_rules(ROOT / "config" / "policy")),
        subscriptions=Subscriptions(unwatched, to_no_server),
        log_level=to_no_server,
        drain=Drain("master"),
        redactor=Redactor(),
        instructions="",
    )
    sessions = Sessions()
    handshake = Handshake(methods, sessions, catalogue)
    opened = {role: sessions.open(who(role), View()) for role in ("viewer", "operator", "nobody")}
    for session in opened.values():
        session.opened("2025-11-25", {})
        session.has_stream, session.log_level = True, "debug"
    for service in ("theirs", "ours", "gone"):
        params = {"level": '"info"', "data": f'"{service}"'}
        handshake.said(service, "notifications/message", params)
    heard: dict[str, list[str]] = {}
    for role, session in opened.items():
        session.outbox.close()
        heard[role] = []
        while (message := await session.outbox.next()) is not None:
            heard[role] += [name for name in ("ours", "theirs", "gone") if name in str(message)]
    assert heard == {"viewer": ["ours"], "operator": ["theirs", "ours"], "nobody": []}
