"""What claims say: names, roles, persons and programs; and which settings make no sense."""

import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

from flotilla import InvalidArgument, Misconfigured, Principal
from master.principals.claims import Audiences, caller_of, is_person
from master.principals.credential import BadBearer, NoRight
from master.principals.keys import fresh_s, metadata_urls, read_keys
from master.principals.names import checked_name, checked_roles
from master.principals.settings import OpenIdSettings

ISSUER = "https://id.example.org"
HERE = Audiences(frozenset({"hub"}), {})


def settings(**more: Any) -> OpenIdSettings:
    known = {"issuer": ISSUER, "role_map": ["ops=operator", "staff=viewer operator"]}
    return OpenIdSettings(**{**known, **more})


def principal(claims: dict[str, Any], **more: Any) -> Principal:
    stated = {"sub": "ada", "aud": "hub", "roles": ["ops"], **claims}
    return caller_of(stated, settings(**more), HERE).principal


def test_roles_are_found_by_a_path_or_by_a_name_with_dots() -> None:
    nested = {"roles": None, "realm_access": {"roles": ["staff"]}}
    assert principal(nested, roles_claim="realm_access.roles").roles == ("operator", "viewer")
    named = {"roles": None, "https://id.example.org/roles": ["ops"]}
    claim = "https://id.example.org/roles"
    assert principal(named, roles_claim=claim).roles == ("operator",)
    assert principal({"groups": "ops other"}, roles_claim="groups").roles == ("operator",)
    assert principal({}, role_map=["*=viewer"]).roles == ("viewer",)


def test_a_value_of_the_claim_that_is_no_string_gives_nothing() -> None:
    for given in (None, 7, True, {"ops": 1}, [["ops"]], [7], [{"ops": 1}], "*", ["*"]):
        with pytest.raises(NoRight):
            principal({"roles": given})
    assert principal({"roles": ["*"]}, role_map=["*=viewer"]).roles == ("viewer",)


def test_an_email_address_is_a_name_only_where_the_provider_has_verified_it() -> None:
    for verified in ({}, {"email_verified": False}, {"email_verified": "true"}):
        with pytest.raises(BadBearer):
            principal({"email": "ada@example.org", **verified}, name_claim="email")
    good = {"email": "Ada@Example.org", "email_verified": True}
    assert principal(good, name_claim="email").name == "oidc:ada@example.org"


def test_no_name_of_a_provider_is_ever_one_of_the_table() -> None:
    for name in ("admin", "owner", "hub", "ada"):
        with pytest.raises(InvalidArgument):
            checked_name(principal({"sub": name}).name)
    # What looks like another letter in a plain form is none of its own.
    for name in ("\uff41da", "ada\u202e", "\u2170v", "ada\u00a0"):
        with pytest.raises(BadBearer):
            principal({"sub": name})


def test_who_got_the_token_in_its_own_name_is_no_person() -> None:
    assert is_person({"sub": "ada", "azp": "claude"})
    for claims in (
        {"sub": "robot", "client_id": "robot"},
        {"sub": "robot", "azp": "robot"},
        {"sub": "abc@clients"},
        {"sub": "x", "gty": "client-credentials"},
        {"sub": "x", "idtyp": "app"},
        {"sub": "x", "preferred_username": "service-account-robot"},
        {"sub": "ada", "act": {"sub": "agent"}},
    ):
        assert not is_person(claims), claims
        stated = {"aud": "hub", "roles": ["ops"], **claims}
        assert not caller_of(stated, settings(), HERE).interactive


def test_only_tokens_of_the_clients_that_are_named_are_taken() -> None:
    assert principal({"azp": "claude"}, clients=["claude"]).name == "oidc:ada"
    for claims in ({}, {"azp": "other"}, {"azp": "other", "client_id": "claude"}):
        with pytest.raises(BadBearer):
            principal(claims, clients=["claude"])


@pytest.mark.parametrize(
    ("env", "told"),
    [
        ({"ISSUER": "http://id.example.org", "ROLE_MAP": "*=viewer"}, "https://"),
        ({"ISSUER": "http://localhost.example.org", "ROLE_MAP": "*=viewer"}, "https://"),
        ({"ISSUER": "http://127.0.0.1@example.org", "ROLE_MAP": "*=viewer"}, "https://"),
        ({"ISSUER": "https://", "ROLE_MAP": "*=viewer"}, "https://"),
        ({"ISSUER": ISSUER}, "ROLE_MAP is missing"),
        ({"ROLE_MAP": "*=viewer"}, "ISSUER is missing"),
        ({"ISSUER": ISSUER, "ROLE_MAP": "viewer"}, "not like value=role"),
        ({"ISSUER": ISSUER, "ROLE_MAP": "staff="}, "not like value=role"),
        ({"ISSUER": ISSUER, "ROLE_MAP": "staff=owner"}, "no role to be given"),
        ({"ISSUER": ISSUER, "ROLE_MAP": "staff=hub"}, "no role to be given"),
        ({"ISSUER": ISSUER, "ROLE_MAP": "staff=Admin"}, "no role to be given"),
        ({"ISSUER": ISSUER, "ROLE_MAP": "*=viewer", "SCOPE": "two words"}, "SCOPE"),
        ({"ISSUER": ISSUER, "ROLE_MAP": "*=viewer", "JWKS_URL": "file:///keys"}, "https://"),
    ],
)
def test_settings_that_cannot_work_stop_the_start(env: dict[str, str], told: str) -> None:
    with pytest.raises(Misconfigured, match=told):
        OpenIdSettings.from_env({f"FLOTILLA_OIDC_{key}": value for key, value in env.items()})


def test_a_role_map_is_read_as_it_is_written() -> None:
    env = {
        "FLOTILLA_OIDC_ISSUER": "http://127.0.0.1:9000",
        "FLOTILLA_OIDC_ROLE_MAP": "cn=ops=operator approver, staff=viewer",
    }
    roles = OpenIdSettings.from_env(env).roles
    assert roles == {"cn=ops": ("operator", "approver"), "staff": ("viewer",)}
    assert OpenIdSettings.from_env({}).issuer is None


def test_roles_are_words_and_each_stands_once() -> None:
    assert checked_roles(["viewer", "viewer", "night-shift"]) == ("viewer", "night-shift")
    for wrong in ([], [""], ["Admin"], ["a b"], ["owner"], ["hub"], ["x" * 33]):
        with pytest.raises(InvalidArgument):
            checked_roles(wrong)


def test_keys_are_new_for_as_long_as_the_provider_says_within_bounds() -> None:
    assert fresh_s(None) == fresh_s("no-cache") == 600
    assert fresh_s("public, max-age=3600") == 3600
    assert fresh_s("max-age=0") == 60
    assert fresh_s("max-age=999999999") == 86_400
    assert fresh_s("s-max-age=7200x") == 600


def test_a_key_verifies_what_its_kind_is_for_and_nothing_else() -> None:
    def usable(private: Any, made_by: Any, **more: Any) -> set[str]:
        jwk = {**json.loads(made_by.to_jwk(private.public_key())), "kid": "k", **more}
        return {name for key in read_keys({"keys": [jwk]}) for name in key.algorithms}

    for curve, name in ((ec.SECP256R1(), "ES256"), (ec.SECP384R1(), "ES384")):
        assert usable(ec.generate_private_key(curve), ECAlgorithm) == {name}
    large, small = (rsa.generate_private_key(65537, bits) for bits in (2048, 1024))
    assert usable(large, RSAAlgorithm, alg="RS256") == {"RS256"}
    assert len(usable(large, RSAAlgorithm)) == 6
    assert usable(large, RSAAlgorithm, alg="HS256") == set()
    assert usable(small, RSAAlgorithm) == set()
    assert usable(ec.generate_private_key(ec.SECP256K1()), ECAlgorithm) == set()
    # One that comes with its private part is everybody's.
    whole = json.loads(RSAAlgorithm.to_jwk(large))
    assert read_keys({"keys": [{**whole, "key_ops": ["verify"]}]}) == []


def test_metadata_is_looked_for_where_both_documents_put_it() -> None:
    assert metadata_urls("https://id.example.org/tenant/") == (
        "https://id.example.org/tenant/.well-known/openid-configuration",
        "https://id.example.org/.well-known/oauth-authorization-server/tenant",
    )
