import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from master import rpc

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text()
    | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(st.dictionaries(st.text(), JSON), st.sampled_from([None, 1, "\t"]))
def test_what_a_client_wrote_is_read_and_kept_to_the_letter(params, indent) -> None:
    body = {"jsonrpc": "2.0", "id": "a-1", "method": "tools/call", "params": params}
    message = rpc.read(json.dumps(body, indent=indent).encode())
    assert (message.method, message.id) == ("tools/call", "a-1")
    assert message.params == params
    assert json.loads(rpc.written(message.texts)) == params


def test_numbers_and_doubled_members_are_not_written_anew() -> None:
    arguments = '{"n": 1e2, "big": 123456789012345678901234567890, "a": 1, "a": 2, "z": -0.0}'
    raw = f'{{"jsonrpc":"2.0","id":1,"method":"m","params":{{"arguments": {arguments} ,"x":[]}}}}'
    message = rpc.read(raw.encode())
    assert message.texts["arguments"] == arguments
    assert message.params["arguments"]["a"] == 2


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        (b"", rpc.PARSE_ERROR),
        (b"{", rpc.PARSE_ERROR),
        (b'{"a":1,}', rpc.PARSE_ERROR),
        (b'{"a" 1}', rpc.PARSE_ERROR),
        (b"{a:1}", rpc.PARSE_ERROR),
        (b'{"a":NaN}', rpc.PARSE_ERROR),
        (b'{"a":1} x', rpc.PARSE_ERROR),
        (b"\xff\xfe", rpc.PARSE_ERROR),
        (b"5", rpc.PARSE_ERROR),
        (b'{"a":' + b"[" * 100_000, rpc.PARSE_ERROR),
        (b"[]", rpc.INVALID_REQUEST),
        (b' [{"jsonrpc":"2.0"}]', rpc.INVALID_REQUEST),
        (b"{}", rpc.INVALID_REQUEST),
        (b'{"jsonrpc":"1.0","id":1,"method":"m"}', rpc.INVALID_REQUEST),
        (b'{"jsonrpc":"2.0","id":null,"method":"m"}', rpc.INVALID_REQUEST),
        (b'{"jsonrpc":"2.0","id":true,"method":"m"}', rpc.INVALID_REQUEST),
        (b'{"jsonrpc":"2.0","id":1.5,"method":"m"}', rpc.INVALID_REQUEST),
        (b'{"jsonrpc":"2.0","id":1,"method":5}', rpc.INVALID_REQUEST),
        (b'{"jsonrpc":"2.0","id":1,"method":"m","params":[]}', rpc.INVALID_PARAMS),
    ],
)
def test_what_is_no_message_is_told_by_its_code(raw: bytes, code: int) -> None:
    with pytest.raises(rpc.RpcError) as raised:
        rpc.read(raw)
    assert raised.value.code == code
    assert raised.value.message


@given(st.binary(max_size=300))
def test_no_bytes_break_the_reader(raw: bytes) -> None:
    try:
        rpc.read(raw)
    except rpc.RpcError as error:
        assert error.code < 0


def test_a_notification_and_a_response_are_told_apart() -> None:
    cancelled = rpc.read(b'{"jsonrpc":"2.0","method":"notifications/cancelled","params":{}}')
    assert cancelled.id is None
    answer = rpc.read(b'{"jsonrpc":"2.0","id":7,"result":{"action":"accept"}}')
    assert (answer.method, answer.id, answer.result) == (None, 7, {"action": "accept"})
    refusal = rpc.read(b'{"jsonrpc":"2.0","id":7,"error":{"code":-1,"message":"no"}}')
    assert refusal.error == {"code": -1, "message": "no"}
