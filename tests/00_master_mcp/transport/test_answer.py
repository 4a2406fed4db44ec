"""Responses as bytes: however they are cut, they read the same."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from master.upstream.transport.answer import Answer, Broken
from master.upstream.transport.head import BadHeader, request_head
from master.upstream.transport.target import BadAddress, Target

OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
WHOLE = [
    (OK + b"content-length: 5\r\n\r\nhello", b"hello", True),
    (OK + b"connection: close\r\ncontent-length: 5\r\n\r\nhello", b"hello", False),
    (CHUNKED + b"2;a=b\r\nhe\r\n3\r\nllo\r\n0\r\nx-after: yes\r\n\r\n", b"hello", True),
    (b"HTTP/1.1 103 Early\r\nlink: x\r\n\r\n" + OK + b"content-length: 2\r\n\r\n{}", b"{}", True),
    (b"HTTP/1.1 204 No\r\n\r\n", b"", True),
]


def fed(data: bytes, cuts: list[int], **more: bool) -> tuple[Answer, bytes]:
    answer, body, at = Answer(**more), b"", 0
    for cut in [*sorted(each % (len(data) + 1) for each in cuts), len(data)]:
        if cut > at:
            answer.feed(data[at:cut])
            body += answer.take()
            at = cut
    return answer, body


@pytest.mark.parametrize(("data", "body", "reusable"), WHOLE)
@given(cuts=st.lists(st.integers(0, 200), max_size=12))
def test_a_response_may_be_cut_anywhere(
    data: bytes, body: bytes, reusable: bool, cuts: list[int]
) -> None:
    answer, read = fed(data, cuts)
    assert answer.ended
    assert read == body
    assert answer.reusable == reusable


@given(cuts=st.lists(st.integers(0, 200), max_size=12))
def test_a_response_without_length_lasts_as_long_as_its_connection(cuts: list[int]) -> None:
    answer, body = fed(OK + b"content-type: text/plain\r\n\r\nhello", cuts)
    assert not answer.ended
    assert answer.finish()
    assert answer.ended
    assert body == b"hello"
    assert not answer.reusable


@pytest.mark.parametrize(("data", "body", "reusable"), WHOLE)
@given(cuts=st.lists(st.integers(0, 200), max_size=3), rest=st.binary(min_size=1, max_size=9))
def test_nothing_may_follow_a_response(
    data: bytes, body: bytes, reusable: bool, cuts: list[int], rest: bytes
) -> None:
    del reusable
    if not rest.strip(b"\r\n"):
        rest += b"x"
    answer, read = fed(data, cuts)
    answer.feed(rest)
    assert read == body
    assert not answer.reusable
    together, _ = fed(data + rest, [])
    assert together.ended
    assert not together.reusable


@pytest.mark.parametrize("data", [data for data, body, _ in WHOLE if body])
def test_a_response_that_is_not_whole_is_known(data: bytes) -> None:
    for end in range(len(data)):
        answer, _ = fed(data[:end], [])
        if not answer.ended:
            assert not answer.finish()


@given(data=st.binary(max_size=200))
def test_no_bytes_do_more_than_break_the_answer(data: bytes) -> None:
    answer = Answer()
    try:
        answer.feed(OK + b"content-length: 3\r\n" + data)
        answer.feed(data)
    except Broken:
        assert not answer.ended
    assert answer.held <= 3


@pytest.mark.parametrize(
    "data",
    [
        OK + b"x: " + b"y" * 70_000,
        OK + b"x" * 70_000,
        CHUNKED + b"1\r\nx\r\n0\r\nx: " + b"y" * 70_000,
        CHUNKED + b"1;" + b"e" * 70_000,
        b"HTTP/1.1 100 Continue\r\n\r\n" * 30 + OK + b"content-length: 0\r\n\r\n",
        b"HTTP/1.1 099 Low\r\ncontent-length: 0\r\n\r\n",
        OK + b"transfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        OK + b"transfer-encoding: chunked\r\ncontent-length: 3\r\n\r\n",
        OK + b" folded: yes\r\n\r\n",
        OK + b"x : y\r\n\r\n",
        OK + b"x: a\0b\r\n\r\n",
        b"ICY 200 OK\r\n\r\n",
    ],
)
def test_what_is_out_of_bounds_is_refused(data: bytes) -> None:
    answer = Answer()
    with pytest.raises(Broken):
        for at in range(0, len(data), 1000):
            answer.feed(data[at : at + 1000])


def test_the_answer_to_head_ends_with_its_headers() -> None:
    answer, body = fed(OK + b"content-length: 9\r\n\r\n", [], bodiless=True)
    assert answer.ended
    assert answer.reusable
    assert body == b""
    answer.feed(b"x")
    assert not answer.reusable


def test_values_that_look_like_formats_stay_as_they_are() -> None:
    target = Target.of("http://a/%7B%s?q=%25", "spoke")
    head = request_head("POST", target, {"x-%s": "%d {} %", "y": "ü"}, 3)
    lines = head.decode().split("\r\n")
    assert lines[0] == "POST /%7B%s?q=%25 HTTP/1.1"
    assert "x-%s: %d {} %" in lines
    assert "y: ü" in lines
    assert lines[-3:] == ["content-length: 3", "", ""]


@given(name=st.text(max_size=5), value=st.text(max_size=10))
def test_a_header_adds_one_line_or_is_refused(name: str, value: str) -> None:
    target = Target.of("http://a/mcp", "spoke")
    try:
        head = request_head("GET", target, {name: value}, 0)
    except BadHeader:
        return
    plain = request_head("GET", target, {}, 0)
    line = f"{name}: {value}\r\n".encode()
    assert head == plain[:-2] + line + b"\r\n"
    assert line.count(b"\r") == line.count(b"\n") == 1


@pytest.mark.parametrize(
    ("url", "authority", "port", "plain"),
    [
        ("http://127.0.0.1:8001/mcp", "127.0.0.1:8001", 8001, True),
        ("http://[::1]:8001/mcp", "[::1]:8001", 8001, True),
        ("http://Spoke/mcp", "spoke", 80, True),
        ("http://spoke:80/mcp", "spoke", 80, True),
        ("https://spoke/mcp", "spoke", 443, False),
        ("http://me:pw@spoke/mcp", "spoke", 80, False),
        ("http://bücher.example/mcp", "bücher.example", 80, False),
    ],
)
def test_an_address_is_taken_apart(url: str, authority: str, port: int, plain: bool) -> None:
    target = Target.of(url, "spoke")
    assert (target.authority, target.port, target.plain) == (authority, port, plain)
    assert "pw" not in repr(target)


@pytest.mark.parametrize(
    "url", ["", "spoke:80", "ftp://a/", "http://", "http://a:b/", "http://a:99999/", "http://[::1/"]
)
def test_what_is_no_address_is_said_to_be_none(url: str) -> None:
    with pytest.raises(BadAddress, match="spoke"):
        Target.of(url, "spoke")


def test_a_path_cannot_end_the_first_line() -> None:
    target = Target.of("http://a/x y\r\nhost: evil/ü", "spoke")
    assert target.start.count("\r\n") == 3
    assert target.start.startswith(" /x%20yhost:%20evil/%C3%BC HTTP/1.1\r\n")
