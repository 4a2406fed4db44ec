"""Who can be asked, and what sealed states are made of."""

from dataclasses import replace
from typing import Any

import pytest

from flotilla import TooLarge
from master.approvals.asking.question import can_be_asked
from master.approvals.asking.tickets import MAX_STATE_CHARS, BadTicket, Ticket, Tickets
from master.approvals.sealing import Sealing

from .asked import wiping_call


@pytest.mark.parametrize(
    ("capabilities", "can"),
    [
        ({}, False),
        ({"elicitation": {}}, True),
        ({"elicitation": {"form": {}}}, True),
        ({"elicitation": {"form": {}, "url": {}}}, True),
        ({"elicitation": {"url": {}}}, False),
        ({"sampling": {}}, False),
    ],
)
def test_only_a_client_that_shows_forms_is_asked(capabilities: Any, can: bool) -> None:
    call = replace(wiping_call(), capabilities=capabilities)
    assert can_be_asked(call) is can
    assert not can_be_asked(replace(call, interactive=False))


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def made(tickets: Tickets, **more: Any) -> str:
    told = {"approval": "a", "digest": "d", "principal": "ann", "party": "p", "for_s": 60.0}
    return tickets.made("asked", **{**told, **more})


def test_a_ticket_comes_back_whole_and_ends_in_time() -> None:
    clock = Clock()
    tickets = Tickets(Sealing(b"k" * 32), clock)
    ticket = tickets.read(made(tickets, state='{"of":"the server \\ud83d"}'))
    assert ticket == Ticket(
        kind="asked",
        approval="a",
        digest="d",
        principal="ann",
        party="p",
        until=1060.0,
        id=ticket.id,
        state='{"of":"the server \\ud83d"}',
    )
    assert not tickets.is_over(ticket)
    clock.now = 1060.0
    assert tickets.is_over(ticket)


def test_a_ticket_tells_nothing_and_is_never_the_same() -> None:
    tickets = Tickets(Sealing(b"k" * 32))
    first, second = made(tickets, principal="ann-of-all"), made(tickets, principal="ann-of-all")
    assert first != second and "ann-of-all" not in first


def test_a_ticket_of_another_key_or_for_something_else_is_none() -> None:
    sealing = Sealing(b"k" * 32)
    tickets = Tickets(sealing)
    with pytest.raises(BadTicket):
        Tickets(Sealing(b"o" * 32)).read(made(tickets))
    # What the hub seals for its own use is no ticket, though the key is the same.
    other = sealing.seal(made(tickets), "call:a:d")
    with pytest.raises(BadTicket):
        tickets.read(f'"flotilla1.{other}"')


def test_a_servers_state_without_end_is_refused() -> None:
    with pytest.raises(TooLarge):
        made(Tickets(Sealing(b"k" * 32)), state="x" * (MAX_STATE_CHARS + 1))
