"""What a body says is shown whole or said not to be, and secrets by their length alone."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from web_browsing.browser.forms import body_of, parts_of, query_of

FORM = "application/x-www-form-urlencoded"
MULTIPART = "multipart/form-data; boundary=----x"


def multipart(*pieces: tuple[str, bytes]) -> bytes:
    written = b"".join(
        b"------x\r\nContent-Disposition: form-data; %b\r\n\r\n%b\r\n" % (head.encode(), data)
        for head, data in pieces
    )
    return written + b"------x--\r\n"


def test_the_fields_of_a_form_are_shown_but_for_its_secrets() -> None:
    body = body_of(FORM, b"user=ann&password=hunter2&note=caf%C3%A9+au&otp=123456&empty=")
    assert body.kind == "form"
    assert [(each.name, each.shown) for each in body.fields] == [
        ("user", "ann"),
        ("password", "(7 characters)"),
        ("note", "café au"),
        ("otp", "(6 characters)"),
        ("empty", ""),
    ]
    assert body.has_secrets
    assert body.whole


def test_what_was_typed_as_a_secret_is_shown_nowhere_under_any_name() -> None:
    concealed = ("correct horse",)
    bodies = [
        body_of(FORM, b"x=correct+horse", concealed),
        body_of("application/json", b'{"x": {"y": ["my correct horse!"]}}', concealed),
        body_of("text/plain", b"it is correct horse", concealed),
        body_of(MULTIPART, multipart(('name="x"', b"correct horse")), concealed),
        body_of(
            MULTIPART,
            multipart(('name="x"; filename="correct horse"', b"correct horse")),
            concealed,
        ),
    ]
    for body in bodies:
        assert "correct horse" not in repr(body)
        assert "(13 characters)" in repr(body)
    assert "correct horse" not in repr(query_of("q=correct%20horse", concealed))


def test_a_multipart_form_shows_its_files_by_name_size_and_digest() -> None:
    body = body_of(
        MULTIPART,
        multipart(('name="a%22b"', b"1\r\n2"), ('name="f"; filename="r.txt"', b"abc")),
    )
    assert [each.name for each in body.fields] == ['a"b', "f"]
    assert body.fields[0].shown == "1\r\n2"
    assert "'r.txt'" in body.fields[1].shown
    assert "3 bytes" in body.fields[1].shown
    assert "ba7816bf8f01cfea" in body.fields[1].shown


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        (MULTIPART, b"preamble\r\n" + multipart(('name="a"', b"1"))),
        (MULTIPART, multipart(('name="a"', b"1")) + b"epilogue"),
        (MULTIPART, multipart(('file="a"', b"1"))),
        (MULTIPART, b"------x\r\n"),
        ("multipart/form-data", multipart(('name="a"', b"1"))),
        (FORM, b"a=%FF"),
        (FORM, "a=é".encode()),
        ("text/plain", b"a=1"),
    ],
)
def test_what_does_not_read_as_the_form_that_it_says_is_shown_as_it_is(
    content_type: str, body: bytes
) -> None:
    assert parts_of(content_type, body) is None
    assert body_of(content_type, body).kind in ("text", "binary")


def test_json_is_shown_by_its_leaves_and_one_with_a_name_twice_as_text() -> None:
    body = body_of(
        "application/json", b'{"to": "bob", "items": [{"n": 2}], "apiKey": "s3cret-Key"}'
    )
    assert [(each.name, each.shown) for each in body.fields] == [
        ("to", "bob"),
        ("items[0].n", "2"),
        ("apiKey", "(10 characters)"),
    ]
    twice = body_of("application/json", b'{"to": "bob", "to": "eve"}')
    assert twice.kind == "text"
    assert "eve" in twice.text


def test_a_body_that_is_too_long_to_be_shown_says_so() -> None:
    assert not body_of("text/plain", b"a" * 100_000).whole
    assert not body_of(FORM, b"&".join(b"a=1" for _ in range(300))).whole
    assert not body_of("application/json", json.dumps(list(range(300))).encode()).whole
    assert not body_of("application/octet-stream", b"\x00\x01").whole


@given(st.text(max_size=40) | st.binary(max_size=60), st.sampled_from([FORM, MULTIPART, "x/json"]))
def test_no_body_is_beyond_reading(body: str | bytes, content_type: str) -> None:
    raw = body.encode("utf-8", "surrogatepass") if isinstance(body, str) else body
    assert body_of(content_type, raw).size_bytes == len(raw)


def test_nesting_without_end_is_shown_as_text() -> None:
    assert body_of("application/json", b"[" * 100_000).kind == "text"
    deep = body_of("application/json", b"[" * 40 + b"]" * 40)
    assert deep.kind == "json"


@pytest.mark.parametrize(
    ("name", "secret"),
    [
        ("pass", True),
        ("user_pass", True),
        ("newPassword", True),
        ("pin", True),
        ("otp", True),
        ("cardNumber", True),
        ("csrf_token", True),
        ("passengers", False),
        ("passport", False),
        ("spinner", False),
        ("compass", False),
        ("amount", False),
    ],
)
def test_what_a_field_is_called_tells_whether_it_is_a_secret(name: str, secret: bool) -> None:
    (field,) = body_of(FORM, f"{name}=12".encode()).fields
    assert field.secret is secret
