"""Operations: what a spoke does for the hub or the owner, and for nobody else."""

import json
from collections.abc import AsyncGenerator, Mapping
from typing import Any

import anyio
import httpx2
import pytest
from pydantic import Field

from flotilla import Conflict, FlotillaError, Model, NotFound, Principal, Spoke, TimedOut, reads
from flotilla.fleet import HUB
from flotilla.identity import Signer, open_signing_key
from flotilla.operations import HUB_ROLE, OWNER_ROLE, Operation, scope_of
from master.upstream.operations import Operations
from master.upstream.pool import ConnectionPool

pytestmark = pytest.mark.anyio

OWNER = Principal("owner", ("owner",))
HUB_ITSELF = Principal("hub", ("hub",))
ADMIN = Principal("admin", ("admin",))
CANARY = "canary-Zx81-value-of-a-secret"


class Put(Model):
    key: str
    value: str = Field(max_length=200)


class Kept(Model):
    key: str
    how_many: int


class Named(Model):
    key: str


class Found(Model):
    value: str


class Nothing(Model):
    pass


class Vault:
    """A spoke with operations of both roles, and one tool."""

    fleet: Any
    signer: Signer

    def __init__(self) -> None:
        self.kept: dict[str, str] = {}
        self.hung = anyio.Event()
        self.cancelled = anyio.Event()

    async def put(self, asked: Put) -> Kept:
        if asked.key in self.kept:
            raise Conflict(f"{asked.key} is there", hint="Take it away.", details={"reason": "two"})
        self.kept[asked.key] = asked.value
        return Kept(key=asked.key, how_many=len(self.kept))

    async def get(self, asked: Named) -> Found:
        if asked.key not in self.kept:
            raise NotFound(f"there is no {asked.key}")
        return Found(value=self.kept[asked.key])

    async def hang(self, _: Nothing) -> Nothing:
        self.hung.set()
        try:
            await anyio.sleep_forever()
        finally:
            self.cancelled.set()
        return Nothing()

    async def burst(self, asked: Put) -> Nothing:
        raise RuntimeError(f"broke on {asked.value}")

    async def count(self) -> Kept:
        """How many there are."""
        return Kept(key="all", how_many=len(self.kept))

    def spoke(self) -> Spoke:
        return Spoke(
            name="vault",
            version="1",
            instructions="Keeps.",
            namespaces=("test.vault",),
            tools=(reads("test.vault.count", self.count),),
            operations=(
                Operation(name="put", takes=Put, run=self.put, role=OWNER_ROLE),
                Operation(name="get", takes=Named, run=self.get, role=HUB_ROLE),
                Operation(name="hang", takes=Nothing, run=self.hang, role=HUB_ROLE),
                Operation(name="burst", takes=Put, run=self.burst, role=OWNER_ROLE),
            ),
        )


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
async def house(
    anyio_backend: Any, start_fleet_in: Any, tmp_path_factory: pytest.TempPathFactory
) -> AsyncGenerator[Vault]:
    vault = Vault()
    async with start_fleet_in(tmp_path_factory.mktemp("house"), [vault.spoke()]) as fleet:
        vault.fleet = fleet
        vault.signer = Signer(open_signing_key(fleet.common.data_dir / "hub"))
        yield vault


@pytest.fixture
def vault(house: Vault) -> Vault:
    house.kept.clear()
    return house


async def asked(vault, name: str, body: Mapping[str, Any], **more) -> dict[str, Any]:
    """As the hub asks."""
    pool = ConnectionPool()
    async with pool.running():
        operations = Operations(vault.fleet.fleet, pool, vault.signer)
        return await operations.run("vault", name, body, **more)


async def owner_posts(vault, path: str, body: Any, token: str = "owner_token") -> httpx2.Response:
    secret = (vault.fleet.common.data_dir / token).read_text().strip()
    async with httpx2.AsyncClient(timeout=20) as http:
        return await http.post(
            f"{vault.fleet.url}{path}", content=body, headers={"authorization": f"Bearer {secret}"}
        )


async def straight(vault, name: str, raw: bytes, token: str | None) -> httpx2.Response:
    """Past the hub, at the spoke's own port."""
    headers = {} if token is None else {"authorization": f"Bearer {token}"}
    async with httpx2.AsyncClient(timeout=20) as http:
        url = vault.fleet.fleet.url("vault")
        return await http.post(f"{url}/operations/{name}", content=raw, headers=headers)


async def test_the_hub_and_the_owner_have_done_what_is_theirs(vault) -> None:
    put = await asked(vault, "put", {"key": "a", "value": CANARY}, principal=OWNER)
    assert put == {"key": "a", "howMany": 1}
    assert await asked(vault, "get", {"key": "a"}) == {"value": CANARY}


async def test_each_role_is_refused_what_is_the_others(vault) -> None:
    with pytest.raises(FlotillaError, match="for the owner alone") as error:
        await asked(vault, "put", {"key": "a", "value": "b"})
    assert error.value.code == "not_allowed"
    with pytest.raises(FlotillaError, match="for the hub alone"):
        await asked(vault, "get", {"key": "a"}, principal=OWNER)
    with pytest.raises(FlotillaError, match="for the hub alone"):
        await asked(vault, "get", {"key": "a"}, principal=ADMIN)
    assert vault.kept == {}


async def test_errors_come_back_under_their_codes_with_hint_and_details(vault) -> None:
    await asked(vault, "put", {"key": "a", "value": "b"}, principal=OWNER)
    with pytest.raises(Conflict) as conflict:
        await asked(vault, "put", {"key": "a", "value": "b"}, principal=OWNER)
    assert conflict.value.hint == "Take it away."
    assert conflict.value.details == {"reason": "two"}
    with pytest.raises(NotFound, match="there is no b"):
        await asked(vault, "get", {"key": "b"})
    with pytest.raises(NotFound, match="no operation"):
        await asked(vault, "sing", {})
    with pytest.raises(NotFound, match="no operation"):
        await asked(vault, "../mcp", {})


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"key": "a"}, "value: Field required"),
        ({"key": "a", "value": CANARY * 20}, "value: String should have at most"),
        ({"key": "a", "value": "b", "more": CANARY}, "more: Extra inputs"),
        ({"key": [CANARY], "value": "b"}, "key: Input should be a valid string"),
    ],
)
async def test_a_wrong_body_is_told_what_is_wrong_and_never_quoted(vault, body, said) -> None:
    with pytest.raises(FlotillaError, match=said) as error:
        await asked(vault, "put", body, principal=OWNER)
    assert error.value.code == "invalid_argument"
    assert CANARY not in f"{error.value.message}{error.value.hint}{error.value.details}"


async def test_an_operation_ends_at_the_hubs_deadline(vault) -> None:
    with anyio.fail_after(30):
        # So short a deadline may pass before the spoke is reached.
        while not vault.hung.is_set():
            with pytest.raises(TimedOut), anyio.fail_after(5):
                await asked(vault, "hang", {}, timeout_s=0.2)
    with anyio.fail_after(5):
        await vault.cancelled.wait()


async def test_what_breaks_inside_tells_and_logs_nothing_of_the_body(vault, capfd) -> None:
    with pytest.raises(FlotillaError) as error:
        await asked(vault, "burst", {"key": "a", "value": CANARY}, principal=OWNER)
    assert error.value.code == "internal"
    assert CANARY not in error.value.message
    told = "".join(capfd.readouterr())
    assert "operation_failed" in told
    assert CANARY not in told


async def test_a_token_of_any_other_kind_opens_no_operation(vault) -> None:
    raw = json.dumps({"key": "a"}).encode()
    other = json.dumps({"key": "b"}).encode()
    signer = vault.signer

    def bound(**over: Any) -> str:
        made = {"audience": "vault", "tool": scope_of("get"), "body": raw, **over}
        audience = made.pop("audience")
        return signer.token_for_call(audience, HUB_ITSELF, **made)

    refused = {
        "none": (None, 401),
        "no token of a hub": ("abc", 401),
        "one that is not bound": (signer.token("vault", HUB_ITSELF), 403),
        "one for another operation": (bound(tool=scope_of("put")), 403),
        "one for a tool": (bound(tool="get"), 403),
        "one for another body": (bound(body=other), 401),
        "one for another service": (bound(audience="cmdb"), 401),
    }
    for why, (token, status) in refused.items():
        answer = await straight(vault, "get", raw, token)
        assert answer.status_code == status, why
        assert answer.json()["error"]["code"] == "not_allowed", why


async def test_a_token_is_good_for_one_request_and_each_request_has_its_own(vault) -> None:
    vault.kept["a"] = "b"
    raw = json.dumps({"key": "a"}).encode()
    token = vault.signer.token_for_call("vault", HUB_ITSELF, tool=scope_of("get"), body=raw)
    assert (await straight(vault, "get", raw, token)).status_code == 200
    again = await straight(vault, "get", raw, token)
    assert again.status_code == 403
    assert again.json()["error"]["reason"] == "token_replayed"
    for _ in range(5):
        assert await asked(vault, "get", {"key": "a"}) == {"value": "b"}


async def test_an_operation_is_no_tool_and_its_token_calls_none(vault) -> None:
    async with vault.fleet.client() as client:
        listed = (await client.list_tools()).tools
        assert not [tool.name for tool in listed if "put" in tool.name or tool.name == "get"]
        for name in ("operation:get", "get", "test.vault.get"):
            result = await client.call_tool(name, {"key": "a"})
            assert result.is_error


async def test_a_client_of_the_hub_reaches_none(vault) -> None:
    vault.kept["a"] = CANARY
    for path in ("/operations/get", "/api/services/vault/operations/get"):
        answer = await owner_posts(vault, path, b'{"key": "a"}', token="admin_token")
        assert answer.status_code in (403, 404), path
        assert CANARY not in answer.text
    answer = await owner_posts(
        vault, "/api/services/vault/operations/put", b'{"key":"z","value":"z"}', token="admin_token"
    )
    assert answer.status_code == 403
    assert "z" not in vault.kept


async def test_the_owner_has_done_what_is_for_the_owner_and_no_more(vault) -> None:
    path = "/api/services/vault/operations"
    put = await owner_posts(vault, f"{path}/put", json.dumps({"key": "k", "value": CANARY}))
    assert (put.status_code, put.json()) == (200, {"key": "k", "howMany": 1})
    assert vault.kept == {"k": CANARY}
    get = await owner_posts(vault, f"{path}/get", b'{"key": "k"}')
    assert (get.status_code, get.json()["error"]["code"]) == (403, "not_allowed")
    assert CANARY not in get.text
    again = await owner_posts(vault, f"{path}/put", json.dumps({"key": "k", "value": CANARY}))
    assert (again.status_code, again.json()["error"]["reason"]) == (409, "two")


@pytest.mark.parametrize(
    ("path", "body", "status", "code"),
    [
        ("vault/operations/put", b"[]", 400, "invalid_argument"),
        ("vault/operations/put", b"{", 400, "invalid_argument"),
        ("vault/operations/put", b" " * (1024 * 1024 + 1), 400, "invalid_argument"),
        ("nobody/operations/put", b"{}", 404, "not_found"),
        (f"{HUB}/operations/put", b"{}", 404, "not_found"),
        ("vault/operations/sing", b"{}", 404, "not_found"),
        ("vault/operations/SING", b"{}", 404, "not_found"),
    ],
)
async def test_the_owner_is_told_what_is_wrong(vault, path, body, status, code) -> None:
    answer = await owner_posts(vault, f"/api/services/{path}", body)
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)


async def test_a_spoke_that_is_away_is_unavailable(start_fleet) -> None:
    vault = Vault()
    async with start_fleet([], absent=[vault.spoke()]) as vault.fleet:
        answer = await owner_posts(vault, "/api/services/vault/operations/put", b"{}")
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "unavailable")


async def test_operations_are_counted_and_make_no_labels_of_what_strangers_send(vault) -> None:
    await asked(vault, "put", {"key": "a", "value": "b"}, principal=OWNER)
    with pytest.raises(NotFound):
        await asked(vault, "neverHeardOf", {})
    async with httpx2.AsyncClient() as http:
        text = (await http.get(f"{vault.fleet.fleet.url('vault')}/metrics")).text
    assert 'mcp_requests_total{service="vault",tool="operation:put"}' in text
    assert "neverHeardOf" not in text


@pytest.mark.parametrize("name", ["", "Put", "a b", "../x", "a" * 65, "a.", "a\n"])
def test_an_operation_has_a_name_that_can_stand_in_a_path(name) -> None:
    with pytest.raises(ValueError, match="name it like"):
        Operation(name=name, takes=Nothing, run=Vault().hang, role=HUB_ROLE)


def test_an_operation_is_for_the_hub_or_for_the_owner() -> None:
    with pytest.raises(ValueError, match="role"):
        Operation(name="x", takes=Nothing, run=Vault().hang, role="admin")
