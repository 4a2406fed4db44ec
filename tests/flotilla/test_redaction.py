import base64
import json
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flotilla.redaction import REDACTED, Redactor, forms_of

CANARY = "c4n4ry/value+of=a secret"


@pytest.mark.parametrize("before", range(4))
@pytest.mark.parametrize("after", range(4))
def test_a_known_secret_is_found_in_base64_at_any_alignment(before: int, after: int) -> None:
    whole = b"a" * before + CANARY.encode() + b"z" * after
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        shown = Redactor([CANARY]).text(f"x {encode(whole).decode()} y")
        assert REDACTED in shown
        recovered = base64.b64encode(CANARY.encode()).decode()[6:-8]
        assert recovered not in shown


def test_the_forms_of_a_known_secret_are_what_other_readers_look_for() -> None:
    forms = set(forms_of(CANARY))
    assert {CANARY, quote(CANARY, safe="")} < forms
    assert any(form in base64.b64encode(CANARY.encode()).decode() for form in forms - {CANARY})
    assert all(Redactor([CANARY]).text(form) == REDACTED for form in forms)
    assert not set(forms_of("short"))


def test_a_known_secret_is_found_plain_and_url_encoded_also_as_a_key() -> None:
    redactor = Redactor([CANARY])
    assert redactor.text(f"a {CANARY} b") == f"a {REDACTED} b"
    assert redactor.text(f"q={quote(CANARY)}") != f"q={quote(CANARY)}"
    assert CANARY not in str(redactor.data({CANARY: [CANARY, {"x": CANARY}], "n": 5}))


@pytest.mark.parametrize(
    "secret",
    [
        "-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----",
        "-----BEGIN PRIVATE KEY-----\nMIIEcut off",
        "AKIAIOSFODNN7EXAMPLE",
        "ASIAIOSFODNN7EXAMPLE",
        *(f"gh{kind}_" + "a" * 36 for kind in "pousr"),
        "github_pat_" + "a" * 22,
        "xoxb-1234567890-abcdef",
        "sk-" + "a" * 20,
        "AIza" + "b" * 35,
        "flt_" + "c" * 43,
        "eyJhbGciOiJFZERTQSJ9.eyJzdWIiOiJhZG1pbiJ9.c2lnbmF0dXJl",
    ],
)
def test_what_has_the_shape_of_a_secret_is_hidden(secret: str) -> None:
    assert Redactor().text(f"before {secret}") == f"before {REDACTED}"


def test_the_password_of_a_url_is_hidden_and_the_rest_stays() -> None:
    shown = Redactor().text("postgresql+asyncpg://cmdb:hunter2@db:5432/cmdb")
    assert shown == f"postgresql+asyncpg://cmdb:{REDACTED}@db:5432/cmdb"


@pytest.mark.parametrize(
    "text",
    ["http://127.0.0.1:8000/mcp", "see https://example.org/a@b", "task-force sky-high", "10:30"],
)
def test_ordinary_text_stays_as_it_is(text: str) -> None:
    assert Redactor(["short", "", "a-longer-secret"]).text(text) == text


@given(st.text(min_size=8), st.text(), st.text())
def test_no_known_secret_survives_in_any_text(secret: str, before: str, after: str) -> None:
    assert secret not in Redactor([secret]).text(before + secret + after).replace(REDACTED, "\0")


@given(st.text(min_size=8), st.text(), st.text())
def test_no_known_secret_survives_in_the_json_of_any_value(
    secret: str, before: str, after: str
) -> None:
    redactor = Redactor([secret])
    whole = before + secret + after
    for value in ({"said": [whole]}, {whole: None}, {"n": 2**70, "said": whole}):
        assert json.loads(redactor.json(value)) == redactor.data(value)


@dataclass
class Odd:
    text: str

    def __str__(self) -> str:
        return self.text


class Told:
    def __str__(self) -> str:
        return f"told {CANARY}"


@pytest.mark.parametrize(
    "value", [Odd(CANARY), Told(), PurePosixPath(CANARY), {1: CANARY}, ("\ud800", CANARY)]
)
def test_what_json_does_not_know_is_written_without_the_secret(value: Any) -> None:
    shown = Redactor([CANARY]).json({"value": value})
    assert REDACTED in shown
    assert CANARY not in json.dumps(json.loads(shown))


def test_what_has_the_shape_of_a_secret_leaves_json_that_can_be_read() -> None:
    key = "-----BEGIN PRIVATE KEY-----\nMIIEcut off"
    shown = Redactor().json({"key": key, "url": "redis://:hunter2@db", '"': 1})
    assert json.loads(shown) == {"key": REDACTED, "url": f"redis://:{REDACTED}@db", '"': 1}


def test_a_long_hostile_text_is_read_in_linear_time() -> None:
    # Each of these made a naive pattern quadratic; the test's own time limit is the assertion.
    for text in ("-----BEGIN PRIVATE KEY-----" * 20_000, "a://" * 100_000, "eyJ" * 200_000):
        assert Redactor().text(text)
