"""The fleet with Docker, as a person starts it, on a real engine."""

import json
import time
from collections.abc import Callable, Generator
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

import anyio
import httpx2
import pytest
from mcp.types import TextContent

from tests.real.compose import PROJECT, Compose, composed

pytestmark = [pytest.mark.real, pytest.mark.anyio, pytest.mark.timeout(1500)]

SERVICES = (
    *("master", "external-runner", "linux-cli", "cmdb", "redis", "postgres"),
    *("web-search", "web-browsing"),
)
OURS = ("master", "linux-cli", "cmdb")


@pytest.fixture(scope="module")
def fleet() -> Generator[Compose]:
    with composed() as fleet:
        yield fleet


def eventually(holds: Callable[[], bool], within_s: float) -> None:
    until = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < until, f"not within {within_s} s"
        time.sleep(0.25)


def test_every_container_is_healthy_and_the_hub_is_ready(fleet: Compose) -> None:
    health = {name: fleet.inspected(name)["State"]["Health"]["Status"] for name in SERVICES}

    assert health == dict.fromkeys(SERVICES, "healthy")
    with urlopen(f"http://localhost:{fleet.port}/ready", timeout=5) as answer:
        assert answer.status == 200


def test_only_the_hub_is_published_and_only_on_loopback(fleet: Compose) -> None:
    published = {
        name: [
            (binding["HostIp"], binding["HostPort"])
            for bindings in fleet.inspected(name)["NetworkSettings"]["Ports"].values()
            for binding in bindings or ()
        ]
        for name in SERVICES
    }

    loopback = ("127.0.0.1", str(fleet.port))
    assert published == {name: [loopback] if name == "master" else [] for name in SERVICES}


@pytest.mark.parametrize("service", [name for name in SERVICES if name != "external-runner"])
def test_a_container_has_no_root_no_capabilities_and_nowhere_to_write(
    fleet: Compose, service: str
) -> None:
    status = dict(
        line.split(":", 1)
        for line in fleet.inside(service, "cat", "/proc/1/status").splitlines()
        if ":" in line
    )
    host = fleet.inspected(service)["HostConfig"]

    assert "0" not in status["Uid"].split()
    assert {status[key].strip() for key in ("CapEff", "CapPrm", "CapBnd")} == {"0" * 16}
    assert status["NoNewPrivs"].strip() == "1"
    assert "Read-only file system" in fleet.fails_inside(service, "touch", "/usr/anything")
    assert host["Memory"] > 0
    assert host["PidsLimit"] > 0
    assert host["RestartPolicy"]["Name"] == "unless-stopped"


KNOCK = """
import socket, sys
for host, port in zip(sys.argv[1::2], sys.argv[2::2]):
    with socket.socket() as s:
        s.settimeout(1)
        print(s.connect_ex((host, int(port))) == 0)
"""


def test_only_the_hub_reaches_everything(fleet: Compose) -> None:
    doors = [
        *(fleet.address("linux-cli", "mcp-network"), "8001"),
        *(fleet.address("cmdb", "mcp-network"), "8012"),
        *(fleet.address("redis", "state"), "6379"),
        *(fleet.address("postgres", "state"), "5432"),
    ]
    outsider = ["run", "--rm", "--network", f"{PROJECT}_edge", "--entrypoint", "python"]
    outside = fleet.docker.out(*outsider, "flotilla/cmdb:0.1.0", "-c", KNOCK, *doors)

    assert outside.split() == ["False"] * 4
    # The command spoke does not see the stores either.
    assert fleet.inside("linux-cli", "python", "-c", KNOCK, *doors[4:]).split() == ["False"] * 2
    assert fleet.inside("master", "python", "-c", KNOCK, *doors).split() == ["True"] * 4


def test_spokes_have_no_way_out(fleet: Compose) -> None:
    # The hub's address on the network that leads out stands for the outside.
    outside = [fleet.address("master", "edge"), "8000"]

    assert fleet.inside("master", "python", "-c", KNOCK, *outside) == "True"
    for service in ("linux-cli", "cmdb"):
        assert fleet.inside(service, "python", "-c", KNOCK, *outside) == "False"
    for network in ("mcp-network", "state"):
        of = ["network", "inspect", "-f", "{{.Internal}}", f"{PROJECT}_{network}"]
        assert fleet.docker.out(*of) == "true"


def test_the_runner_has_four_rights_and_nothing_of_the_fleets_but_a_public_key(
    fleet: Compose,
) -> None:
    status = fleet.inside("external-runner", "cat", "/proc/1/status")
    rights = next(line.split()[1] for line in status.splitlines() if line.startswith("CapBnd"))
    found = fleet.inside("external-runner", "find", "/hub", "-type", "f")

    assert int(rights, 16) == 1 << 0 | 1 << 5 | 1 << 6 | 1 << 7  # CHOWN, KILL, SETGID, SETUID
    assert found == "/hub/public_key.pem"
    refused = fleet.fails_inside("external-runner", "touch", "/usr/anything")
    assert "Read-only file system" in refused
    postgres = [fleet.address("postgres", "state"), "5432"]
    assert fleet.inside("external-runner", "python", "-c", KNOCK, *postgres) == "False"


PROGRAM = """
import json, os, sys
for line in sys.stdin:
    asked = json.loads(line)
    told = {
        "initialize": {
            "protocolVersion": "2025-11-25",
            "capabilities": {"tools": {}},
            "serverInfo": {"name": "who", "version": "1"},
        },
        "ping": {},
        "tools/list": {"tools": [{"name": "who", "inputSchema": {"type": "object"}}]},
    }
    said = f"{os.getuid()} {os.path.exists('/data/admin_token')} {sorted(os.environ)}"
    called = {"content": [{"type": "text", "text": said}]}
    answer = {"result": told.get(asked["method"], called)}
    if asked["method"] not in (*told, "tools/call"):
        answer = {"error": {"code": -32601, "message": "no such method"}}
    if "id" in asked:
        print(json.dumps({"jsonrpc": "2.0", "id": asked["id"], **answer}), flush=True)
"""


async def test_an_external_server_runs_in_the_runner_as_a_user_of_its_own(fleet: Compose) -> None:
    entry = {"command": "python3", "args": ["-c", PROGRAM]}
    token = fleet.inside("master", "cat", "/data/owner_token")
    headers = {"Authorization": f"Bearer {token}"}
    async with httpx2.AsyncClient(headers=headers, base_url=fleet.url, timeout=30) as owner:
        added = await owner.post("/mcp/servers", json={"name": "who", "entry": entry})
        assert added.status_code == 200, added.text
        state: dict[str, Any] = {}
        until = time.monotonic() + 30
        while state.get("state") != "running":
            assert time.monotonic() < until, state
            await anyio.sleep(0.25)
            state = (await owner.get("/mcp/servers/who")).json()
    async with fleet.client() as client:
        result = await client.call_tool("ext_who_who", {})
    said = result.content[0]
    assert isinstance(said, TextContent)
    assert said.text.startswith("65000 False ")
    assert "FLOTILLA_DATA_DIR" not in said.text
    assert state["protection"]["user"] == "its own (65000), without rights"
    for command in ("npx", "uvx", "bwrap", "git"):
        assert fleet.inside("external-runner", command, "--version")


def test_a_spoke_takes_nothing_without_the_hubs_word(fleet: Compose) -> None:
    code = (
        "import urllib.request as u, urllib.error as e\n"
        "try: print(u.urlopen(u.Request('http://cmdb:8012/mcp', data=b'{}'), timeout=5).status)\n"
        "except e.HTTPError as error: print(error.code)\n"
    )

    assert fleet.inside("linux-cli", "python", "-c", code) == "401"


def test_the_hub_admits_nobody_without_a_token(fleet: Compose) -> None:
    with pytest.raises(HTTPError, match="401"):
        urlopen(f"{fleet.url}/mcp", data=b"{}", timeout=5)


def test_the_hubs_keys_and_tokens_are_out_of_the_spokes_reach(fleet: Compose) -> None:
    expected = {
        "linux-cli": {"/hub/public_key.pem"},
        "cmdb": {"/hub/public_key.pem", "/passwords/cmdb/database_url"},
    }
    for service, files in expected.items():
        assert (
            set(fleet.inside(service, "find", "/hub", "/passwords", "-type", "f").split()) == files
        )
        assert "token" not in fleet.inside(service, "find", "/data")
        assert "Read-only" in fleet.fails_inside(service, "touch", "/hub/public_key.pem")


def test_passwords_stand_in_no_environment_no_command_and_no_log(fleet: Compose) -> None:
    files = ["postgres/postgres", "postgres/master", "postgres/cmdb"]
    passwords = [fleet.inside("postgres", "cat", f"/passwords/{file}") for file in files]
    passwords.append(fleet.inside("redis", "cat", "/passwords/redis/password"))
    told = [json.dumps(fleet.inspected(name)) for name in (*SERVICES, "passwords")]
    told.append(fleet.run("logs", "--no-color"))

    assert min(map(len, passwords)) >= 32
    assert not [word for word in passwords if any(word in text for text in told)]


def test_a_service_cannot_open_the_database_of_another(fleet: Compose) -> None:
    code = (
        "import asyncio, asyncpg, pathlib\n"
        "url = pathlib.Path('/passwords/cmdb/database_url').read_text().strip()\n"
        "base, _ = url.rsplit('/', 1)\n"
        "async def main():\n"
        "    await (await asyncpg.connect(url, timeout=5)).close()\n"
        "    await asyncpg.connect(f'{base}/master', timeout=5)\n"
        "asyncio.run(main())\n"
    )

    assert 'permission denied for database "master"' in fleet.fails_inside(
        "cmdb", "python", "-c", code
    )


def test_valkey_asks_for_its_password(fleet: Compose) -> None:
    hello = (
        'VALKEYCLI_AUTH="$(cat /passwords/redis/password)" '
        'REDISCLI_AUTH="$(cat /passwords/redis/password)" valkey-cli ping'
    )

    assert "NOAUTH" in fleet.inside("redis", "valkey-cli", "get", "anything")
    assert fleet.inside("redis", "sh", "-c", hello) == "PONG"


async def test_a_client_calls_the_host_local_which_says_that_it_is_a_container(
    fleet: Compose,
) -> None:
    async with fleet.client() as client:
        names = {tool.name for tool in (await client.list_tools()).tools}
        result = await client.call_tool("os_linux_getSystemInfo", {})

    assert {"os_linux_getSystemInfo", "data_cmdb_createItem"} <= names
    assert not result.is_error, result.content
    assert result.structured_content is not None
    assert result.structured_content["container"] == "docker"


async def test_an_item_of_the_cmdb_is_kept_in_postgresql(fleet: Compose) -> None:
    item = {"ciClass": "server", "name": "tender", "attributes": {}}
    async with fleet.client() as client:
        made = await client.call_tool("data_cmdb_createItem", item)

    assert not made.is_error, made.content
    count = "SELECT count(*) FROM cmdb.item WHERE name = 'tender'"
    assert fleet.inside("postgres", "psql", "-U", "postgres", "-d", "cmdb", "-Atc", count) == "1"


async def test_a_spoke_that_is_killed_comes_back_and_is_called_again(fleet: Compose) -> None:
    before = fleet.inspected("linux-cli")["State"]["StartedAt"]
    fleet.inside("linux-cli", "pkill", "-KILL", "-f", "mcp_server.py")
    eventually(lambda: fleet.inspected("linux-cli")["RestartCount"] == 1, within_s=20)

    def is_healthy() -> bool:
        # Until it is started anew, the health is that of before.
        state = fleet.inspected("linux-cli")["State"]
        again = state["Running"] and state["StartedAt"] != before
        return again and state["Health"]["Status"] == "healthy"

    eventually(is_healthy, within_s=60)
    async with fleet.client() as client:
        result = await client.call_tool("os_linux_getSystemInfo", {})
    assert not result.is_error, result.content


async def test_what_was_kept_is_there_after_all_containers_were_made_anew(fleet: Compose) -> None:
    before = fleet.inside("master", "cat", "/data/admin_token")

    fleet.run("down", "-t", "10", within_s=90)
    fleet.run("up", "-d", "--wait", "--wait-timeout", "90", within_s=120)

    assert fleet.inside("master", "cat", "/data/admin_token") == before
    async with fleet.client() as client:
        found = await client.call_tool("data_cmdb_searchItems", {"ciClass": "server"})
    assert not found.is_error, found.content
    assert "tender" in json.dumps(found.structured_content)


async def test_hub_and_services_speak_tls_where_that_is_wanted(fleet: Compose) -> None:
    # The last test: it starts the services anew.
    files = ("-f", "docker-compose.yml", "-f", "docker-compose.tls.yml")
    fleet.run(*files, "up", "-d", "--wait", "--wait-timeout", "120", within_s=150)

    async with fleet.client() as client:
        told = await client.call_tool("data_cmdb_listClasses", {})
        health = await client.call_tool("master_getServiceHealth", {})
    assert not told.is_error, told.content
    assert health.structured_content is not None
    standings = {name: each["status"] for name, each in health.structured_content.items()}
    # Nobody set up a provider: that is known from each of them, over TLS.
    providers = dict.fromkeys(("azure", "google_cloud", "vmware", "k8s"), "not_configured")
    others = dict.fromkeys(standings.keys() - providers.keys(), "healthy")
    assert standings == providers | others, standings

    stranger = (
        "import ssl, urllib.request as u\n"
        "c = ssl._create_unverified_context()\n"
        "try: print(u.urlopen('https://cmdb:8012/health', timeout=5, context=c).status)\n"
        "except OSError as error: print('refused', error)\n"
    )
    assert "refused" in fleet.inside("linux-cli", "python", "-c", stranger)
    own = fleet.inside("linux-cli", "find", "/certificates", "-type", "f").split()
    assert sorted(own) == [
        f"/certificates/{name}.pem" for name in ("certificate", "key", "trusted")
    ]
