import stat
import time
from pathlib import Path

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from flotilla import Misconfigured, Principal
from flotilla.identity import BadToken, Signer, Verifier, key_id, open_signing_key

ANN = Principal("ann", ("admin",))


@pytest.fixture
def keys(tmp_path: Path) -> tuple[Ed25519PrivateKey, Path]:
    return open_signing_key(tmp_path / "hub"), tmp_path / "hub" / "public_key.pem"


def test_the_spoke_reads_who_calls(keys) -> None:
    key, public = keys
    token = Signer(key).token("cmdb", ANN)
    assert Verifier(public, "cmdb").verify(token).principal == ANN


def test_a_token_is_reused_for_a_while_and_then_made_anew(keys) -> None:
    now = [1000.0]
    signer = Signer(keys[0], clock=lambda: now[0])
    first = signer.token("cmdb", ANN)
    now[0] += 29
    assert signer.token("cmdb", ANN) == first
    assert signer.token("linux_cli", ANN) != first
    now[0] += 2
    assert signer.token("cmdb", ANN) != first


def test_an_approval_counts_for_its_own_body_alone(keys) -> None:
    key, public = keys
    verifier = Verifier(public, "cmdb")
    token = Signer(key).token_for_call("cmdb", ANN, tool="data.cmdb.retireItem", body=b"{}")
    assert verifier.verify(token, b"{}").approved_tool == "data.cmdb.retireItem"
    for body in (b"{ }", b"", None):
        with pytest.raises(BadToken):
            verifier.verify(token, body)


def test_a_spoke_learns_by_which_approval_a_call_runs(keys) -> None:
    key, public = keys
    signer, verifier = Signer(key), Verifier(public, "cmdb")
    for approval in ("apr_1", None):
        token = signer.token_for_call(
            "cmdb", ANN, tool="data.cmdb.retireItem", body=b"{}", approval=approval
        )
        assert verifier.verify(token, b"{}").approval == approval
    assert verifier.verify(signer.token("cmdb", ANN)).approval is None


def test_a_token_for_one_body_is_not_believed_before_the_body_is_read(keys) -> None:
    key, public = keys
    verifier, signer = Verifier(public, "cmdb"), Signer(key)
    bound = signer.token_for_call("cmdb", ANN, tool="data.cmdb.retireItem", body=b"{}")
    for _ in range(2):
        assert verifier.unbound(bound) is None
        assert verifier.verify(bound, b"{}").principal == ANN
        free = verifier.unbound(signer.token("cmdb", ANN))
        assert free is not None
        assert (free.principal, free.approved_tool) == (ANN, None)
    with pytest.raises(BadToken):
        verifier.unbound(signer.token("linux_cli", ANN))


def forged(key, algorithm: str = "EdDSA", kid: str | None = None, **claims) -> str:
    now = int(time.time())
    good = {
        "iss": "flotilla-hub",
        "aud": "cmdb",
        "sub": "ann",
        "roles": ["admin"],
        "iat": now,
        "exp": now + 60,
    }
    said = {name: value for name, value in {**good, **claims}.items() if value is not None}
    signed_by = key_id(key.public_key()) if isinstance(key, Ed25519PrivateKey) else None
    return jwt.encode(said, key, algorithm=algorithm, headers={"kid": kid or signed_by})


@pytest.mark.parametrize(
    "claims",
    [
        {"aud": "linux_cli"},
        {"iss": "somebody"},
        {"exp": int(time.time()) - 60},
        {"iat": int(time.time()) + 3600},
        {"roles": "admin"},
        {"sub": None},
        {"roles": None},
        {"exp": None},
    ],
)
def test_a_token_that_says_something_else_is_refused(keys, claims) -> None:
    key, public = keys
    assert Verifier(public, "cmdb").verify(forged(key))
    with pytest.raises(BadToken):
        Verifier(public, "cmdb").verify(forged(key, **claims))


def test_foreign_keys_and_weak_algorithms_are_refused(keys) -> None:
    verifier = Verifier(keys[1], "cmdb")
    stranger, known = Ed25519PrivateKey.generate(), key_id(keys[0].public_key())
    for token in (
        forged(stranger),
        forged(stranger, kid=known),
        forged(keys[0].public_key().public_bytes_raw(), algorithm="HS256", kid=known),
        forged(None, algorithm="none", kid=known),
        "",
        "a.b.c",
        "é",
    ):
        with pytest.raises(BadToken):
            verifier.verify(token)


def test_a_key_that_comes_later_or_is_rotated_is_picked_up(tmp_path: Path) -> None:
    verifier = Verifier(tmp_path / "hub" / "public_key.pem", "cmdb")
    assert not verifier.has_key()
    old = Signer(open_signing_key(tmp_path / "hub")).token("cmdb", ANN)
    assert verifier.verify(old).principal == ANN
    (tmp_path / "hub" / "private_key.pem").unlink()
    new = Signer(open_signing_key(tmp_path / "hub")).token("cmdb", ANN)
    assert verifier.verify(new).principal == ANN
    with pytest.raises(BadToken):
        verifier.verify(old)


def test_the_private_key_is_the_hubs_alone_and_stays_the_same(tmp_path: Path) -> None:
    first = open_signing_key(tmp_path / "hub")
    file = tmp_path / "hub" / "private_key.pem"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert open_signing_key(tmp_path / "hub").private_bytes_raw() == first.private_bytes_raw()
    assert [each.name for each in sorted(file.parent.iterdir())] == [
        "private_key.pem",
        "public_key.pem",
    ]
    file.write_text("not a key")
    with pytest.raises(Misconfigured, match="private_key"):
        open_signing_key(tmp_path / "hub")
