"""What of a row is written: redacted, bounded, printable, whatever it is made of."""

import json
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flotilla.chain import COLUMNS
from flotilla.redaction import Redactor
from master.audit.floods import MAX_KINDS, Floods
from master.audit.lines import MAX_BYTES, line_of
from master.audit.seam import Row

from .conftest import CANARY, row

REDACTOR = Redactor([CANARY])


def told(**more: Any) -> dict[str, Any]:
    return json.loads(line_of(row(**more), REDACTOR).body)


def test_what_says_nothing_is_left_out() -> None:
    at = datetime(2026, 1, 31, 8, 0, tzinfo=UTC)
    line = line_of(Row(kind="token", principal="owner", tool="token.revoked", at=at), REDACTOR)
    assert line.body == (
        '{"at":"2026-01-31T08:00:00.000Z","kind":"token","principal":"owner",'
        '"tool":"token.revoked","outcome":"ok"}'
    )


@pytest.mark.parametrize("form", [CANARY, quote(CANARY, safe=""), f"see://a:{CANARY}@b"])
def test_a_secret_is_written_nowhere(form: str) -> None:
    line = line_of(
        row(
            tool=form,
            principal=f"p {form}",
            outcome=form,
            service=form,
            approval=form,
            correlation_id=form,
            rules=(form,),
            arguments={"text": f"a {form} b", form: {"deep": [form]}},
            details={"client": form},
        ),
        REDACTOR,
    )
    assert CANARY not in line.body
    assert form not in line.body
    assert form not in json.dumps(line.columns)


def test_a_long_text_is_told_by_its_beginning_size_and_hash_beside_what_is_short() -> None:
    written = told(arguments={"path": "/etc/hosts", "content": "ab" * 100_000})
    content = written["arguments"]["content"]
    assert written["arguments"]["path"] == "/etc/hosts"
    assert (content["cut"], content["bytes"]) == (True, 200_000)
    assert content["beginning"] == "ab" * 128
    assert len(content["sha256"]) == 64


@pytest.mark.parametrize("at", [0, 240, 250, 255, 300])
def test_a_secret_at_the_cut_is_not_written_in_part(at: int) -> None:
    body = line_of(row(arguments={"text": "." * at + CANARY + "." * 9000}), REDACTOR).body
    assert CANARY[:8] not in body


def test_many_members_are_told_by_their_names() -> None:
    written = told(arguments={f"name{number}": number for number in range(5000)})
    assert written["arguments"]["cut"] is True
    assert written["arguments"]["members"][:2] == ["name0", "name1"]


def test_names_are_short_and_printable() -> None:
    written = told(tool="a\x1b[31mb\x00c\ud800" + "d" * 5000)
    assert written["tool"].startswith("a\ufffd[31mb\ufffdc\ufffd")
    assert len(written["tool"]) <= 200


_LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=600)
_ANYTHING = st.recursive(
    _LEAVES,
    lambda inner: st.lists(inner, max_size=8) | st.dictionaries(st.text(), inner, max_size=8),
    max_leaves=25,
)


@given(st.dictionaries(st.text(), _ANYTHING, max_size=12), st.text(), st.text())
def test_whatever_comes_is_one_bounded_json_object_whose_columns_say_the_same(
    arguments: dict[str, Any], tool: str, outcome: str
) -> None:
    line = line_of(row(tool, outcome=outcome, arguments=arguments, details=arguments), REDACTOR)
    written = orjson.loads(line.body)
    assert line.columns == tuple(written.get(name) for name in COLUMNS)
    # Escapes may make a text six times as long as it was.
    assert len(line.body.encode()) < 2 * 6 * MAX_BYTES + 2000
    assert "\x00" not in line.body


def test_what_nests_too_deeply_is_marked_and_not_raised() -> None:
    deep: Any = {}
    for _ in range(5000):
        deep = {"a": deep}
    assert told(arguments={"deep": deep})["arguments"] == {"unwritable": True}


def test_a_flood_takes_two_rows_a_second_of_each_kind() -> None:
    now, written = 0.0, list[Row]()
    floods = Floods(written.append, lambda: now, later=lambda _s, _do: None)
    for number in range(3000):
        now = number / 1000
        floods.count(row("a.b.c", outcome="rate_limited", correlation_id=f"{number}"))
    now = 10.0
    floods.close()
    assert [each.details.get("more") for each in written] == [None, 999, None, 999, None, 999]
    assert written[0].correlation_id == "0"
    assert written[1].correlation_id is None


def test_a_flood_of_ever_new_kinds_is_bounded_too() -> None:
    written = list[Row]()
    floods = Floods(written.append, lambda: 0.0, later=lambda _s, _do: None)
    for number in range(10_000):
        floods.count(row(f"tool{number}", outcome="not_found"))
    floods.close()
    assert len(written) == MAX_KINDS + 2
    assert written[-1].details["more"] == 10_000 - MAX_KINDS - 1
