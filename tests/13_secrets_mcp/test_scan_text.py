"""Looking for secrets in a text: where they are, what kind, and no word of what they are."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import settings as examples_of
from hypothesis import strategies as st

from flotilla.known_values import Known
from secret_store.scanning import places_of_shapes, places_of_values

if TYPE_CHECKING:
    from conftest import Store

pytestmark = pytest.mark.anyio

CANARY = "canary-7f3e9a51c2-value"
AWS = "AKIA" + "QWERTYUIOPASDFGH"
GITHUB = "ghp_" + "a1B2" * 10
PEM = "-----BEGIN PRIVATE KEY-----\nMIIB\nVwIB\n-----END PRIVATE KEY-----"


async def test_a_value_of_the_store_is_found_in_every_form_and_never_repeated(small: Store) -> None:
    await small.write()
    encoded = base64.b64encode(CANARY.encode()).decode()
    text = f"straße\nplain {CANARY}\nand {encoded} and {CANARY.encode().hex()}"
    found = await small("scanText", text=text)
    places = [
        (each["kind"], text[each["start"] : each["end"]], each["line"])
        for each in found["findings"]
    ]
    assert places[0] == ("stored", CANARY, 2)
    assert [(kind, line) for kind, _, line in places] == [("stored", line) for line in (2, 3, 3)]
    assert encoded.startswith(places[1][1][:20])
    assert CANARY not in str(found) and "db/password" not in str(found)
    assert [(each["path"], each["principal"]) for each in await small.trail(act="scanned")] == [
        ("db/password", "ann")
    ]


async def test_shapes_are_found_with_kind_and_place(small: Store) -> None:
    text = f"key {AWS}\n{PEM}\n{GITHUB}\npostgres://u:hunter2hunter2@h/db [redacted] end"
    found = await small("scanText", text=text)
    places = {each["kind"]: text[each["start"] : each["end"]] for each in found["findings"]}
    assert AWS in [text[each["start"] : each["end"]] for each in found["findings"]]
    assert places["private_key"] == PEM
    assert GITHUB in [text[each["start"] : each["end"]] for each in found["findings"]]
    assert places["password"] == "hunter2hunter2"
    assert len(found["findings"]) == 4
    assert await small.trail(act="scanned") == []


async def test_a_text_without_secrets_is_clean(small: Store) -> None:
    await small.write()
    for text in ("", "Nothing to see: [redacted], secret://" + "0" * 32, "ключ"):
        assert await small("scanText", text=text) == {
            "clean": True,
            "findings": [],
            "truncated": False,
        }


async def test_guessing_with_scans_is_slow(small: Store) -> None:
    for _ in range(30):
        await small("scanText", text="guess")
    error = await small.refused("rate_limited", "scanText", text="guess")
    assert 0 < error["retryAfterMs"] <= 60_001
    await small.as_principal("bob")("scanText", text="guess")
    await small.refused("invalid_argument", "scanText", text="x" * 65_537)
    await small.as_principal("eve").refused("too_large", "scanText", text="ю" * 40_000)


PIECES = st.sampled_from(
    [AWS, GITHUB, PEM, CANARY, "\n", "-", " ", "x", "@", "é\U0001f600", "word "]
)


@examples_of(max_examples=60, deadline=None, database=None, derandomize=True)
@given(pieces=st.lists(PIECES, max_size=8))
def test_places_lie_within_the_text_and_in_order(pieces: list[str]) -> None:
    text = "".join(pieces)
    for places in (places_of_shapes(text), places_of_values(text, Known([CANARY]))):
        ends = 0
        for place in places:
            assert ends <= place.start < place.end <= len(text)
            ends = place.end
    stored = places_of_values(text, Known([CANARY]))
    assert [text[each.start : each.end] for each in stored] == [CANARY] * pieces.count(CANARY)
