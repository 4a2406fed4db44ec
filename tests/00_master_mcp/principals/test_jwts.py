"""JWTs of a real provider: which are taken, for whom, and every forgery refused."""

import asyncio
import base64
import hashlib
import hmac
import json
import time
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import jwt
import pytest
from aiohttp import web
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from flotilla import Principal, Unavailable
from master.database.opened import open_database, place_of
from master.principals.claims import Audiences, NoRight
from master.principals.credential import BadBearer, Credential
from master.principals.first import digest_of
from master.principals.keys import Keys
from master.principals.people import MAX_REMEMBERED, SKEW_S, OpenIdPeople
from master.principals.seen import Seen
from master.principals.settings import OpenIdSettings
from tests.backends.openid_provider import OpenIdProvider, SigningKey

pytestmark = pytest.mark.anyio

HERE = "https://hub.example.org/mcp"
READONLY = "https://hub.example.org/mcp/p/readonly"
AUDIENCES = Audiences(frozenset({HERE}), {READONLY: "readonly"})


class Clock:
    def __init__(self) -> None:
        self.ahead = 0.0

    def wall(self) -> float:
        return time.time() + self.ahead

    def steady(self) -> float:
        return time.monotonic() + self.ahead


class Desk:
    """Judges tokens as the door does."""

    def __init__(
        self,
        provider: OpenIdProvider,
        seen: Seen,
        most: int = MAX_REMEMBERED,
        **settings: Any,
    ) -> None:
        self.clock = Clock()
        known: dict[str, Any] = {"role_map": ["ops=operator approver", "staff=viewer"]}
        self.settings = OpenIdSettings(issuer=provider.issuer, **{**known, **settings})
        self.keys = Keys(provider.issuer, self.settings.jwks_url, clock=self.clock.steady)
        self.people = OpenIdPeople(
            self.settings, AUDIENCES, self.keys, seen, clock=self.clock.wall, most=most
        )

    async def judge(self, token: str) -> Credential | None:
        return await self.people.judged(token, digest_of(token))

    async def who(self, token: str) -> Principal:
        credential = await self.judge(token)
        assert credential is not None
        return credential.caller.principal


@pytest.fixture
async def seen(tmp_path: Path) -> AsyncGenerator[Seen]:
    database = open_database(place_of(None, tmp_path / "hub"))
    async with database.opened():
        yield Seen(database)


@pytest.fixture
def desk(provider: OpenIdProvider, seen: Seen) -> Desk:
    provider.people["ada"] = {"roles": ["ops"]}
    return Desk(provider, seen)


async def test_a_token_of_the_provider_says_who_it_is_and_which_roles_they_have(
    desk: Desk, provider: OpenIdProvider
) -> None:
    token = provider.token(sub="ada", aud=HERE)
    assert await desk.who(token) == Principal("oidc:ada", ("approver", "operator"))
    asked = provider.asked.total()
    credential = desk.people.at_hand(digest_of(token))
    assert credential is not None
    assert credential.caller.interactive
    assert credential.caller.profiles is None
    assert await desk.judge(provider.token(sub="ada", aud=["elsewhere", HERE])) is not None
    # The keys were fetched once, for all of its tokens.
    assert provider.asked.total() == asked == 2


async def test_a_token_for_one_profile_may_use_that_profile_alone(
    desk: Desk, provider: OpenIdProvider
) -> None:
    credential = await desk.judge(provider.token(sub="ada", aud=READONLY))
    assert credential is not None
    assert credential.caller.profiles == {"readonly"}


def encoded(part: Any) -> str:
    raw = part if isinstance(part, bytes) else json.dumps(part).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def claims_of(provider: OpenIdProvider, **more: Any) -> dict[str, Any]:
    now = int(time.time())
    body = {"iss": provider.issuer, "sub": "ada", "aud": HERE, "iat": now, "exp": now + 300}
    return {**body, "roles": ["ops"], **more}


def public_pem(key: SigningKey) -> bytes:
    return key.private.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )


async def test_no_token_without_a_signature_and_none_signed_by_the_public_key_is_taken(
    desk: Desk, provider: OpenIdProvider
) -> None:
    assert await desk.who(provider.token(sub="ada", aud=HERE))
    kid, body = provider.keys[0].kid, encoded(claims_of(provider))
    for alg in ("none", "None", "NONE", "nOnE", "", None):
        head = encoded({"alg": alg, "typ": "JWT", "kid": kid})
        for signature in ("", encoded(b"x")):
            with pytest.raises(BadBearer):
                await desk.judge(f"{head}.{body}.{signature}")
    jwk = json.dumps(provider.keys[0].jwk).encode()
    for alg, name in (("HS256", "sha256"), ("HS384", "sha384"), ("HS512", "sha512")):
        for secret in (public_pem(provider.keys[0]), jwk, b"", kid.encode()):
            signed = f"{encoded({'alg': alg, 'typ': 'JWT', 'kid': kid})}.{body}"
            forged = encoded(hmac.new(secret, signed.encode(), name).digest())
            with pytest.raises(BadBearer):
                await desk.judge(f"{signed}.{forged}")


async def test_what_is_wrong_in_any_claim_or_mark_is_refused(
    desk: Desk, provider: OpenIdProvider
) -> None:
    now, stranger = int(time.time()), SigningKey.new()
    own = provider.keys[0]
    wrong: list[dict[str, Any]] = [
        {"iss": "https://elsewhere.example.org"},
        {"iss": f"{provider.issuer}/"},
        {"iss": None},
        {"aud": "https://elsewhere.example.org/mcp"},
        {"aud": HERE + "/"},
        {"aud": []},
        {"aud": None},
        {"exp": now - int(SKEW_S) - 1},
        {"exp": None},
        {"exp": "soon"},
        {"nbf": now + int(SKEW_S) + 30},
        {"iat": now + int(SKEW_S) + 30},
        {"iat": None},
        {"sub": None},
        {"sub": ""},
        {"sub": 7},
        {"sub": "ada admin"},
        {"sub": "ada\u200b"},
        {"sub": "a\u0000da"},
        {"sub": "x" * 201},
        {"typ": "ID"},
        {"typ": "Refresh"},
        {"cnf": {"jkt": "thumbprint"}},
        {"azp": 5},
        {"headers": {"typ": "logout+jwt"}},
        {"headers": {"typ": "dpop+jwt"}},
        {"headers": {"crit": ["exp"]}},
        {"headers": {"crit": ["b64"], "b64": True}},
        {"headers": {"kid": "nobody's"}},
        {"headers": {"kid": "../../dev/null"}},
        # A key, or where to find one, that the token brings by itself.
        {"key": stranger, "headers": {"kid": own.kid}},
        {"key": stranger, "headers": {"jwk": stranger.jwk}},
        {"key": stranger, "headers": {"kid": own.kid, "jku": "http://127.0.0.1:1/jwks"}},
    ]
    for change in wrong:
        token = provider.token(**{"sub": "ada", "aud": HERE, **change})
        with pytest.raises(BadBearer):
            await desk.judge(token)
            pytest.fail(f"taken: {change}")
    assert await desk.who(provider.token(sub="ada", aud=HERE))


async def test_a_token_that_was_changed_in_any_one_place_is_refused(
    desk: Desk, provider: OpenIdProvider
) -> None:
    token = provider.token(sub="bob", aud=HERE, roles=["staff"])
    head, body, signature = token.split(".")
    risen = encoded({**jwt.decode(token, options={"verify_signature": False}), "roles": ["ops"]})
    forged = [
        f"{head}.{risen}.{signature}",
        f"{head}.{body}.{signature[:-4]}",
        f"{head}.{body}.{'A' * len(signature)}",
        f"{head}.{body}.",
        f"{encoded({'alg': 'ES384', 'kid': provider.keys[0].kid})}.{body}.{signature}",
        f"{encoded({'alg': 'RS256', 'kid': provider.keys[0].kid})}.{body}.{signature}",
        f"{encoded([1])}.{body}.{signature}",
        f"{encoded(b'{')}.{body}.{signature}",
        f"{'[' * 9000}.{body}.{signature}",
        f".{body}.{signature}",
        "..",
    ]
    for each in forged:
        with pytest.raises(BadBearer):
            await desk.judge(each)
            pytest.fail(f"taken: {each}")
    assert await desk.judge("no JWT at all") is None


async def test_the_clocks_may_differ_by_a_minute_and_no_more(
    desk: Desk, provider: OpenIdProvider
) -> None:
    token = provider.token(sub="ada", aud=HERE, lasts_s=-SKEW_S + 5)
    credential = await desk.judge(token)
    assert credential is not None
    ends_at = time.time() + 5
    assert ends_at - 3 < credential.until < ends_at + 3
    desk.people.turn(credential.until)
    assert credential.ended
    assert desk.people.at_hand(digest_of(token)) is None


async def test_when_the_provider_drops_a_key_its_tokens_count_no_more(
    desk: Desk, provider: OpenIdProvider
) -> None:
    old = provider.token(sub="ada", aud=HERE)
    credential = await desk.judge(old)
    assert credential is not None
    provider.rotate()
    desk.clock.ahead += 30
    assert await desk.who(provider.token(sub="ada", aud=HERE))
    desk.people.turn(time.time())
    assert credential.ended
    assert desk.people.at_hand(digest_of(old)) is None
    with pytest.raises(BadBearer, match="key that the provider does not have"):
        await desk.judge(old)


async def test_a_new_key_beside_the_old_one_leaves_the_tokens_of_both(
    desk: Desk, provider: OpenIdProvider
) -> None:
    old = provider.token(sub="ada", aud=HERE)
    credential = await desk.judge(old)
    assert credential is not None
    provider.rotate(keep_old=True)
    desk.clock.ahead += 30
    assert await desk.who(provider.token(sub="ada", aud=HERE))
    desk.people.turn(time.time())
    assert not credential.ended


async def test_thousands_of_tokens_with_unknown_keys_cost_the_provider_one_question(
    desk: Desk, provider: OpenIdProvider
) -> None:
    good, forged = provider.token(sub="ada", aud=HERE), SigningKey.new()
    assert await desk.who(good)
    desk.clock.ahead += 30
    before = desk.keys.fetches
    body = provider.token(sub="ada", aud=HERE, key=forged).split(".", 1)[1]
    for number in range(3000):
        head = encoded({"alg": "ES256", "typ": "JWT", "kid": f"kid-{number}"})
        with pytest.raises(BadBearer):
            await desk.judge(f"{head}.{body}")
    assert desk.keys.fetches == before + 1
    assert await desk.who(good)


async def test_while_the_provider_is_away_its_known_keys_go_on_and_unknown_ones_get_503(
    desk: Desk, provider: OpenIdProvider
) -> None:
    assert await desk.who(provider.token(sub="ada", aud=HERE))
    provider.down = True
    desk.clock.ahead += 3600
    await desk.keys.refresh()
    late = provider.token(sub="bob", aud=HERE, roles=["staff"], lasts_s=7200)
    assert await desk.who(late) == Principal("oidc:bob", ("viewer",))
    provider.rotate()
    with pytest.raises(Unavailable):
        await desk.judge(provider.token(sub="ada", aud=HERE, lasts_s=7200))
    # After a day nobody knows whether a key was dropped for cause.
    desk.clock.ahead += 90_000
    await desk.keys.refresh()
    desk.people.turn(desk.clock.wall())
    assert desk.people.at_hand(digest_of(late)) is None
    provider.down = False
    desk.clock.ahead = 0.0


async def test_a_provider_that_was_never_reached_is_no_reason_to_call_a_token_bad(
    provider: OpenIdProvider, seen: Seen
) -> None:
    provider.down = True
    desk = Desk(provider, seen)
    token = provider.token(sub="ada", aud=HERE, roles=["ops"])
    with pytest.raises(Unavailable):
        await desk.judge(token)
    provider.down = False
    desk.clock.ahead += 11
    assert (await desk.who(token)).name == "oidc:ada"


async def test_rubbish_in_place_of_keys_verifies_nothing_and_breaks_nothing(
    provider: OpenIdProvider, seen: Seen
) -> None:
    good = provider.keys[0].jwk
    small = rsa.generate_private_key(public_exponent=65537, key_size=1024)
    weak = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(small.public_key()))
    rubbish: list[Any] = [
        None, 7, "key", [], {}, {"kty": "EC"}, {"kty": "oct", "k": "c2VjcmV0", "kid": good["kid"]},
        {**good, "x": "AAAA"}, {**good, "crv": "P-384"}, {**good, "use": "enc"},
        {**good, "alg": "HS256"}, {**good, "kid": 7}, {**good, "key_ops": "x"},
        {**good, "key_ops": ["sign"]}, {**weak, "kid": good["kid"]},
    ]  # fmt: skip
    token = provider.token(sub="ada", aud=HERE, roles=["ops"])
    bodies: list[web.Response | dict[str, Any]] = [
        *({"keys": [each]} for each in rubbish),
        {"keys": "none"},
        {},
    ]
    for body in bodies:
        provider.jwks = lambda body=body: web.json_response(body)
        with pytest.raises((BadBearer, Unavailable)):
            await Desk(provider, seen).judge(token)
            pytest.fail(f"taken: {body}")
    for raw in (b"", b"{", b"[]", b"[" * 100_000, b'{"keys":[' + b" " * 600_000 + b"]}"):
        provider.jwks = lambda raw=raw: web.Response(body=raw)
        with pytest.raises(Unavailable):
            await Desk(provider, seen).judge(token)
    # Among rubbish the good key still counts.
    provider.jwks = lambda: web.json_response({"keys": [*rubbish, good]})
    assert await Desk(provider, seen).who(token)


async def test_metadata_of_another_issuer_and_keys_by_redirect_are_not_followed(
    provider: OpenIdProvider, seen: Seen
) -> None:
    token = provider.token(sub="ada", aud=HERE, roles=["ops"])
    for change, reason in (
        ({"issuer": "https://elsewhere.example.org"}, "another issuer"),
        ({"jwks_uri": "ftp://127.0.0.1/jwks"}, "can be trusted"),
        ({"jwks_uri": "http://jwks.example.org/"}, "can be trusted"),
        ({"jwks_uri": 7}, "can be trusted"),
    ):
        provider.metadata = change
        with pytest.raises(Unavailable, match=reason):
            await Desk(provider, seen).judge(token)
    provider.metadata = {}

    def moved() -> web.Response:
        return web.Response(status=302, headers={"location": f"{provider.issuer}/elsewhere"})

    provider.jwks = moved
    with pytest.raises(Unavailable):
        await Desk(provider, seen).judge(token)
    assert provider.asked["/elsewhere"] == 0


async def test_a_token_that_comes_twice_at_once_is_one_credential(
    desk: Desk, provider: OpenIdProvider
) -> None:
    token = provider.token(sub="ada", aud=HERE)
    found = await asyncio.gather(*(desk.judge(token) for _ in range(5)))
    assert {id(each) for each in found} == {id(desk.people.at_hand(digest_of(token)))}


async def test_only_so_many_tokens_are_remembered_at_once(
    provider: OpenIdProvider, seen: Seen
) -> None:
    provider.people["ada"] = {"roles": ["ops"]}
    desk = Desk(provider, seen, most=3)
    tokens = [provider.token(sub="ada", aud=HERE) for _ in range(5)]
    judged = [await desk.judge(token) for token in tokens]
    assert [desk.people.at_hand(digest_of(token)) is not None for token in tokens] == [
        False, False, True, True, True,
    ]  # fmt: skip
    assert [each is not None and each.ended for each in judged] == [True, True, False, False, False]


async def test_a_person_who_was_here_lately_may_still_have_a_call_run(
    desk: Desk, provider: OpenIdProvider, seen: Seen
) -> None:
    ada = await desk.who(provider.token(sub="ada", aud=HERE, lasts_s=1))
    stored = Principal("oidc:ada", ("approver", "operator"))
    assert ada == stored
    # Another hub, which never saw her, knows it too.
    other = Desk(provider, seen)
    assert await other.people.still(stored) == stored
    assert await other.people.still(Principal("oidc:eve", ("operator",))) is None
    assert await other.people.still(Principal("ada", ("operator",))) is None
    other.clock.ahead += 25 * 3600
    assert await other.people.still(stored) is None
    # What the provider took from her since, her stored call has no more.
    await desk.judge(provider.token(sub="ada", aud=HERE, roles=["staff", "ops"]))
    provider.people["ada"] = {"roles": ["staff"]}
    await desk.judge(provider.token(sub="ada", aud=HERE))
    assert await desk.people.still(stored) == Principal("oidc:ada", ())


async def test_an_account_without_a_role_or_the_scope_gets_no_further(
    provider: OpenIdProvider, seen: Seen
) -> None:
    desk = Desk(provider, seen, scope="fleet")
    for claims in ({"roles": ["guests"]}, {"roles": None}, {"roles": ["*"]}, {"roles": {}}):
        with pytest.raises(NoRight) as refused:
            await desk.judge(provider.token(sub="ada", aud=HERE, scope="fleet", **claims))
        assert refused.value.scope is None
    with pytest.raises(NoRight) as refused:
        await desk.judge(provider.token(sub="ada", aud=HERE, scope="fleetx", roles=["ops"]))
    assert refused.value.scope == "fleet"
    for scope in ({"scope": "a fleet"}, {"scp": ["fleet"], "scope": None}):
        assert await desk.who(provider.token(sub="ada", aud=HERE, roles=["ops"], **scope))


def test_the_digest_of_a_token_is_what_is_remembered_never_the_token() -> None:
    assert digest_of("token") == hashlib.sha256(b"token").digest()
