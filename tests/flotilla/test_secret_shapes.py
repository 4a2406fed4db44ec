"""What looks like a secret goes; what only speaks of one stays."""

import json
from base64 import b64encode
from time import perf_counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flotilla.redaction import REDACTED, Redactor
from flotilla.secret_shapes import may_have_shapes, without_shapes

HERE = "\N{BULLET}"
"""Stands in the corpus around what must go."""

# Each is put together here, so that no file of the repository looks like a leak.
RANDOM = "Zm9vYmFy" + "8d7Hk2Lq0Wx5Vt3N"


def key(kind: str, inside: str) -> str:
    return f"{HERE}-----BEGIN {kind}-----{inside}-----END {kind}-----{HERE}"


def in_base64(kind: str) -> str:
    text = f"-----BEGIN {kind}-----\nMIIEvQ{RANDOM}\n-----END {kind}-----\n"
    return b64encode(text.encode()).decode()


GONE = [
    *(
        f"client-key-data: {HERE}{in_base64(f'{kind}PRIVATE KEY')}{HERE}"
        for kind in ("", "RSA ", "EC ", "DSA ", "OPENSSH ", "ENCRYPTED ")
    ),
    key("OPENSSH PRIVATE KEY", "\nb3BlbnNzaC1r\n"),
    key("PGP PRIVATE KEY BLOCK", "\n\nlQVYBF\n"),
    key("EC PRIVATE KEY", "\\nMHcCAQEEI\\n"),
    f"age: {HERE}AGE-SECRET-KEY-1{'QPZRY9X8' * 6}{HERE}",
    f"id {HERE}AKIA{'ABCD2345' * 2}{HERE} there",
    f"aws_secret_access_key = {HERE}wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY{HERE}",
    f"key {HERE}AIza{'b' * 35}{HERE}",
    f"t={HERE}ya29.{RANDOM}{HERE}",
    f"{HERE}GOCSPX-{RANDOM}{HERE}",
    f"DefaultEndpointsProtocol=https;AccountName=a;AccountKey={HERE}{RANDOM}+/=={HERE};Suffix=x",
    f"Endpoint=sb://a/;SharedAccessKeyName=n;SharedAccessKey={HERE}{RANDOM}={HERE}",
    f"https://a.blob.core.windows.net/c?sv=2022&sp=r&sig={HERE}{RANDOM}%2Bx%3D{HERE}&se=2",
    f"{HERE}ghp_{'a1' * 18}{HERE}",
    f"{HERE}github_pat_{'a' * 30}{HERE}",
    f"{HERE}glpat-{RANDOM}{HERE} and {HERE}glrt-{RANDOM}{HERE}",
    f"{HERE}xoxb-1234567890-abcdef{HERE}",
    f"{HERE}xapp-1-A0123-{RANDOM}{HERE}",
    f"https://{HERE}hooks.slack.com/services/T000/B000/{RANDOM}{HERE}",
    f"{HERE}npm_{'aB1' * 12}{HERE}",
    f"{HERE}pypi-{'AgEIcHlwaS5vcmc' * 4}{HERE}",
    f"{HERE}sk_live_{RANDOM}{HERE}, {HERE}rk_test_{RANDOM}{HERE}, {HERE}whsec_{RANDOM}{HERE}",
    f"{HERE}sk-proj-{RANDOM}{HERE}",
    f"{HERE}sk-ant-api03-{RANDOM}{HERE}",
    f"{HERE}hf_{'aBc' * 12}{HERE}",
    f"{HERE}hvs.{RANDOM}{HERE}",
    f"{HERE}SG.{RANDOM}.{RANDOM}{HERE}",
    f"{HERE}flt_{'c' * 43}{HERE}",
    f"{HERE}eyJhbGciOiJFZERTQSJ9.eyJzdWIiOiJhZG1pbiJ9.c2lnbmF0dXJl{HERE}",
    f"Authorization: Bearer {HERE}abc.def-1{HERE}",
    f"authorization: basic {HERE}dXNlcjpwYXNz{HERE}",
    f'{{"Authorization": "Bearer {HERE}opaque-token{HERE}"}}',
    f"curl -H 'Authorization: token {HERE}abcd1234{HERE}' https://x.org",
    f"sends Bearer {HERE}{RANDOM}{HERE} now",
    f"curl -s -u admin:{HERE}hunter2{HERE} https://x.org",
    f"postgresql+asyncpg://cmdb:{HERE}hunter2{HERE}@db:5432/cmdb",
    f"redis://:{HERE}hunter2{HERE}@db",
    f"password={HERE}hunter2{HERE}&user=ann",
    f"password={HERE}hunter{HERE};Database=x",
    f"password: {HERE}hunter2{HERE}\nuser: ann",
    f"  password: {HERE}hunter{HERE}\n  user: ann",
    f"password = {HERE}hunter2{HERE}",
    f'password = "{HERE}correct horse battery{HERE}"',
    f"'passphrase': '{HERE}correct horse{HERE}',",
    f'"client_secret": "{HERE}abc123{HERE}", "client_id": "x"',
    f'"clientSecret":"{HERE}abc123{HERE}"',
    f'{{\\"password\\":\\"{HERE}hunter2{HERE}\\"}}',
    f"api_key: {HERE}abc-123-def{HERE}",
    f"X-API-Key: {HERE}{RANDOM}{HERE}",
    f"psql --password {HERE}hunter2{HERE} --host db",
    f"mysql --password={HERE}hunter2{HERE} -u root",
    f"login --token {HERE}{RANDOM}{HERE}",
    f"PGPASSWORD={HERE}hunter2{HERE} psql -h db",
    f"export DB_PASSWORD={HERE}p(a)ss,w[o]rd;1{HERE}",
    f"MYSQL_PWD={HERE}hunter{HERE}",
    f"SECRET_KEY={HERE}django-insecure-1{HERE}",
    f"GITHUB_TOKEN={HERE}{RANDOM}{HERE}",
    f"token: {HERE}{RANDOM}{HERE}",
    f"<password>{HERE}hunter2{HERE}</password>",
    f"machine x.org login ann password {HERE}hunter2{HERE}",
]
STAYS = [
    "The password is wrong. Please set a password with 12 characters, then log in with the token.",
    "Password: required. Token: optional. See the secret: it is kept elsewhere.",
    "tokens = tokenizer.encode(text); max_tokens: 4096, total_tokens=17",
    "def login(user: str, password: str, token: str | None = None) -> Key:",
    "login(user=user, password=password, token=self.token)",
    "password = config.password\nself.password = password\ntoken = get_token()",
    "password=db_password, secret=settings.secret_key",
    'os.environ["PASSWORD"], env.get("API_KEY", ""), getenv("DB_PASSWORD")',
    "PASSWORD=${DB_PASSWORD}\nTOKEN=$TOKEN\nKEY=$(cat key)\nPWD=/home/ann\nOLDPWD=/root",
    'password: {{ .Values.password }}\npassword: "${PASSWORD}"\npassword: <password>',
    "password: ********\ntoken: xxxxxxxx\npassword=",
    "secretName: tls-cert\nsecret: db-credentials\nsecretKeyRef:\n  key: password",
    "password_file=/run/secrets/db_password\nkey: /etc/ssl/private/web.key",
    "use --password-stdin or --token-file PATH, not the --password option",
    "usage: tool --password PASSWORD --token TOKEN [--key KEY]",
    '{"password": {"type": "string", "format": "password"}, "token": null, "secret": true}',
    '{"type": "string", "description": "The password of the user"}',
    '{"key": "value", "sortKey": "name", "primaryKey": "id", "publicKey": "ssh-ed25519 AAAAC3Nz"}',
    '{"handle": "secret://0123456789abcdefghij", "key": "secret:ssh/web1"}',
    "password: secret://0123456789abcdefghij",
    "nextPageToken=abc, continue token: x, csrf token: 12",
    "see https://example.org/a@b and http://127.0.0.1:8000/mcp at 10:30",
    "task-force sky-high risk-averse desk-bound xoxo",
    "basic authentication and bearer authentication are schemes; WWW-Authenticate: Bearer realm=x",
    f"certificate-authority-data: {in_base64('CERTIFICATE')}",
    f"key: {in_base64('PUBLIC KEY')}",
    "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2Vw\n-----END PUBLIC KEY-----",
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl ann@web1",
    "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    "01a1fea5-9514-79f3-ab8b-a3457a7d9a19 os_linux_runCommand data.cmdb.searchItems",
    "monkey: banana, donkey=grey, keyboard: qwerty, compass: north",
    "git commit -m 'Rotate the token when the key changes'",
    "PubkeyAuthentication yes\nPasswordAuthentication no\nPermitEmptyPasswords no",
    "ENV PASSWORD_MIN_LENGTH=12 TOKEN_TTL_S=3600",
]


@pytest.mark.parametrize("marked", GONE, ids=range(len(GONE)))
def test_what_looks_like_a_secret_goes_and_all_around_it_stays(marked: str) -> None:
    parts = marked.split(HERE)
    assert Redactor().text("".join(parts)) == "".join(
        REDACTED if at % 2 else part for at, part in enumerate(parts)
    )


@pytest.mark.parametrize("text", STAYS, ids=range(len(STAYS)))
def test_what_only_speaks_of_secrets_stays_as_it_is(text: str) -> None:
    assert Redactor().text(text) == text


@pytest.mark.parametrize("text", GONE + STAYS)
def test_what_was_hidden_once_stays_as_it_is(text: str) -> None:
    once = Redactor().text(text.replace(HERE, ""))
    assert Redactor().text(once) == once


def test_members_that_are_secrets_by_their_names_go() -> None:
    value = {
        "password": "hunter2",
        "clientSecret": "abc123",
        "auth": {"api_key": "k-1234", "token": RANDOM},
        "items": [{"DB_PASSWORD": "hunter2"}],
    }
    assert Redactor().data(value) == {
        "password": REDACTED,
        "clientSecret": REDACTED,
        "auth": {"api_key": REDACTED, "token": REDACTED},
        "items": [{"DB_PASSWORD": REDACTED}],
    }
    assert Redactor().json({"password": "hunter2"}) == f'{{"password":"{REDACTED}"}}'


def test_members_that_only_sound_like_secrets_stay() -> None:
    value = {
        "password": None,
        "passwordAge": "12 days",
        "secret": "db/password",
        "token": "next",
        "tokens": 12,
        "key": "a long and ordinary value",
        "privateKey": "secret:ssh/web1",
        "handle": "secret://0123456789abcdefghij",
        "nextPageToken": "page2",
    }
    assert Redactor().data(value) == value


@given(st.text(alphabet="abc pasword=:\"'\\{}$<>/@.,;-_()[]\n019kKey token", max_size=300))
def test_no_text_breaks_the_shapes_and_twice_is_as_once(text: str) -> None:
    once = Redactor().text(text)
    assert Redactor().text(once).count(REDACTED) >= once.count(REDACTED)


@pytest.mark.parametrize(
    "text",
    [
        "password=" * 20_000,
        "a_" * 50_000 + "key=x",
        "token: " * 30_000,
        "-----BEGIN PRIVATE KEY-----" * 20_000,
        "curl " * 40_000,
        "authorization: bearer " * 10_000,
        "key" + " " * 200_000,
        '"password":"' * 20_000,
        "login x password " * 10_000,
    ],
    ids=range(9),
)
def test_a_hostile_text_is_read_in_linear_time(text: str) -> None:
    # The test's own time limit is the assertion.
    assert Redactor().text(text) is not None


@pytest.mark.parametrize(
    "manifest",
    [
        '{"kind": "Secret", "stringData": {"a": "of-the-secret"}}',
        '{\n  "kind": "Secret",\n  "data": {\n    "a": "of-the-secret"\n  }\n}',
        json.dumps('{"kind": "Secret", "data": {"a": "of-the-secret"}}'),
        "kind: Secret\ndata:\n  a: of-the-secret\n  b: |\n    of-the-secret\n\n    of-the-secret\n",
        "kind: List\nitems:\n- kind: Secret\n  stringData:\n    a: of-the-secret\n",
        "kind: Secret\nstringData: {a: of-the-secret}\n",
        "'kind': 'Secret'\n'stringData':  # what it holds\n  'a': of-the-secret",
        '{"stringData": {"a": "of-the-secret"}}',
    ],
)
def test_what_a_manifest_of_a_secret_holds_is_hidden(manifest: str) -> None:
    text = f"{manifest}\nkept: yes"
    assert may_have_shapes(text)
    hidden = without_shapes(text, "[redacted]")
    assert "of-the-secret" not in hidden
    assert hidden.startswith(manifest[:8]) and hidden.endswith("kept: yes")


def test_other_manifests_and_what_only_speaks_of_a_secret_stay() -> None:
    for text in (
        "kind: ConfigMap\ndata:\n  a: b\n",
        "kind: SecretStore\ndata:\n  a: b\n",
        "kind: Secret\nmetadata:\n  name: x\n",
        "A kind of secret: data: {none}",
        "kind: Secret\ndata:\n  a: '<hidden: 23 bytes>'\n  b: '<hidden: 1 bytes>'\n",
        '{"kind": "Secret", "data": {"a": "<hidden: 23 bytes>"}}',
    ):
        assert without_shapes(text, "[redacted]") == text


def test_a_long_manifest_costs_no_more_than_its_length() -> None:
    for text in ("data: {" * 40_000, "data:\n \n" * 40_000, "data:" + " " * 300_000):
        started = perf_counter()
        without_shapes(f"kind: Secret\n{text}", "[redacted]")
        assert perf_counter() - started < 2.0
