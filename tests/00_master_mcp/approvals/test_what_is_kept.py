"""What is kept of calls and results: sealed, without secrets, and no more than a person reads."""

import base64
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flotilla import NotConfigured, UpstreamError
from flotilla.json_text import from_json
from flotilla.redaction import Redactor
from flotilla.settings import Misconfigured
from flotilla.sizes import MAX_TEXT_BYTES
from master.approvals.brief import NOTE, told_arguments, told_result
from master.approvals.record import StoredCall
from master.approvals.sealing import KEY_FILE, Sealing, open_sealing
from master.approvals.unheard import Unheard
from master.result import Result
from master.streaming.splitter import split

from .conftest import call_of

SEALING = Sealing(bytes(range(32)))
REDACTOR = Redactor(["hunter2-canary"])


@given(st.text(), st.text())
def test_what_is_sealed_opens_for_its_purpose_alone(text: str, purpose: str) -> None:
    sealed = SEALING.seal(text, purpose)
    assert SEALING.open(sealed, purpose) == text
    with pytest.raises(NotConfigured):
        SEALING.open(sealed, f"{purpose}x")
    assert SEALING.seal(text, purpose) != sealed, "never the same twice"


@pytest.mark.parametrize("at", [0, 11, 12, 20, -1])
def test_what_was_changed_does_not_open(at: int) -> None:
    raw = bytearray(base64.b64decode(SEALING.seal("call", "a")))
    raw[at] ^= 1
    for changed in (base64.b64encode(raw).decode(), "", "%%%", "AAAA"):
        with pytest.raises(NotConfigured, match="cannot read"):
            SEALING.open(changed, "a")


def test_the_key_is_made_once_and_is_nobody_else_s_to_read(tmp_path: Path) -> None:
    sealed = open_sealing(tmp_path / "hub").seal("call", "a")
    file = tmp_path / "hub" / KEY_FILE
    file.chmod(0o644)
    assert open_sealing(tmp_path / "hub").open(sealed, "a") == "call"
    assert file.stat().st_mode & 0o777 == 0o600
    for text in ("", "short", "zz" * 32, "ab" * 31):
        file.write_text(text)
        with pytest.raises(Misconfigured, match=KEY_FILE):
            open_sealing(tmp_path / "hub")


def test_a_stored_call_is_read_as_it_was_written() -> None:
    call = call_of('{"path": "\\ud800", "n": 1.50e3}', interactive=False)
    call.client_info = {"name": "x", "version": "1"}
    stored = StoredCall.of(call)
    assert StoredCall.read(stored.text()) == stored
    assert stored.params["arguments"] == '{"path": "\\ud800", "n": 1.50e3}'


@given(st.integers(0, 40), st.integers(0, 5000), st.integers(0, 30))
def test_arguments_are_told_in_bounds(members: int, length: int, items: int) -> None:
    given = {str(each): ["x" * length] * items for each in range(members)}
    told = told_arguments(call_of(given), REDACTOR)
    assert len(json.dumps(told)) < 40_000
    if members * items * (length + 12) < 2000:
        assert told == given


def test_an_argument_that_is_cut_says_so() -> None:
    told = told_arguments(call_of({"path": "hunter2-canary" + "y" * 5000}), REDACTOR)
    assert told["path"].startswith("[redacted]y")
    assert "5010 characters in all, SHA-256" in told["path"]


def result(**members: Any) -> dict[str, str]:
    return {name: json.dumps(value) for name, value in members.items()}


def test_a_result_that_fits_is_kept_whole_without_its_secrets() -> None:
    texts = result(content=[{"type": "text", "text": "hunter2-canary"}], isError=False, _meta={})
    kept = from_json(told_result(texts, REDACTOR).encode())
    assert kept == {"content": [{"type": "text", "text": "[redacted]"}], "isError": False}


@pytest.mark.parametrize("size", [30_000, 49_000, 400_000])
def test_a_large_result_is_cut_and_says_how_much_there_was(size: int) -> None:
    data = {"text": 'é"' * (size // 3)}
    blocks = [{"type": "text", "text": json.dumps(data)}, {"type": "image", "data": "x" * 50_000}]
    for content in (blocks[:1], blocks):
        texts = result(content=content, structuredContent=data, isError=True)
        text = told_result(texts, REDACTOR)
        kept = from_json(text.encode())
        assert len(text.encode()) <= MAX_TEXT_BYTES + 200
        assert kept["isError"] is True and kept["content"][0]["text"].startswith('{"text"')
        assert kept[NOTE]


async def pieces(body: bytes) -> AsyncIterator[Any]:
    async def chunks() -> AsyncIterator[bytes]:
        for at in range(0, len(body), 10_000):
            yield body[at : at + 10_000]

    async for piece in split(chunks()):
        yield piece


@pytest.mark.anyio
@pytest.mark.parametrize("is_error", [True, False])
async def test_of_a_result_that_comes_in_pieces_the_beginning_is_kept(is_error: bool) -> None:
    content = [{"type": "text", "text": "hunter2-canary " + "z" * 300_000}]
    said: dict[str, Any] = {"content": content, "isError": is_error, "_meta": {}}
    hearer = Unheard()
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "result": said}).encode()
    assert await hearer.pour(pieces(body)) is is_error
    whole = hearer.result(Result({}, poured=True))
    kept = from_json(told_result(whole.texts, REDACTOR).encode())
    assert kept["isError"] is is_error
    assert "[redacted] zzz" in kept["content"][0]["text"]
    assert "in pieces" in kept[NOTE]


@pytest.mark.anyio
async def test_an_error_that_comes_in_pieces_is_an_error() -> None:
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "error": {"code": 1, "message": "no"}}).encode()
    with pytest.raises(UpstreamError, match="no"):
        await Unheard().pour(pieces(body))


def test_a_result_that_needs_no_change_stays_itself() -> None:
    plain = Result({"content": "[]"})
    assert Unheard().result(plain) is plain
