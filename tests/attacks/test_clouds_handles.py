"""Handles and cursors are written by whoever holds them: a forged one leads nowhere new."""

import base64
import json
from collections.abc import AsyncGenerator, Mapping
from datetime import UTC, datetime
from typing import Any

import pytest

from azure_cloud.long_operations import read
from flotilla import encode_cursor
from tests.backends.azure.estate import OTHER, SUBSCRIPTION
from tests.backends.kube.things import pod
from tests.conftest import StartFleet

from .clouds import ELSEWHERE, PROJECT, ZONE, Clouds, opened_clouds
from .clouds_corpus import METADATA, strange
from .clouds_given import furnish, given

pytestmark = pytest.mark.anyio

MACHINE = "resourceGroups/shop/providers/Microsoft.Compute/virtualMachines/web"
VERSION = "api-version=2024-07-01"


@pytest.fixture(scope="module")
async def clouds(
    anyio_backend: str, start_fleet_in: StartFleet, tmp_path_factory: pytest.TempPathFactory
) -> AsyncGenerator[Clouds]:
    async with opened_clouds(start_fleet_in, tmp_path_factory.mktemp("clouds")) as clouds:
        furnish(clouds)
        yield clouds


def operation(path: str, way: str = "operation", account: str = "main") -> str:
    """A handle as the Azure spoke would write it, of whatever it is asked to hold."""
    return encode_cursor("azop", [account, way, path, "t", "a", datetime.now(UTC).timestamp()])


def odd(clouds: Clouds) -> list[str]:
    return [
        f"{service} {each.method} {each.path}: {wrong}"
        for service, asked in clouds.taken().items()
        for each in asked
        if (wrong := strange(service, each)) is not None
    ]


def forged_paths(port: int) -> list[str]:
    own, strange_one = f"/subscriptions/{SUBSCRIPTION}", f"/subscriptions/{OTHER}"
    return [
        f"https://127.0.0.1:{port}/subscriptions/{SUBSCRIPTION}/operations/x?{VERSION}",
        f"//127.0.0.1:{port}{own}/operations/x?{VERSION}",
        f"@127.0.0.1:{port}{own}/operations/x?{VERSION}",
        f".{METADATA}{own}/operations/x?{VERSION}",
        f":{port}{own}/operations/x?{VERSION}",
        f"{strange_one}/{MACHINE}?{VERSION}",
        f"{own}/../{OTHER}/{MACHINE}?{VERSION}",
        f"{own}/%2e%2e/{OTHER}/{MACHINE}?{VERSION}",
        f"{own}/.\n./{OTHER}/{MACHINE}?{VERSION}",
        f"{own}/.\t./{OTHER}/operations/x?{VERSION}",
        f"{own}/.\r./{OTHER}/operations/x?{VERSION}",
        f"{own}/%2e\n%2e/{OTHER}/operations/x?{VERSION}",
        f"{own}/%252e%252e/{OTHER}/operations/x?{VERSION}",
        f"/subscriptions%2f{OTHER}/{SUBSCRIPTION}/operations/x?{VERSION}",
        f"/subscriptions%2F{OTHER}/{SUBSCRIPTION}/{MACHINE}?{VERSION}",
        f"/subscriptions/{OTHER}%2f..%2f{SUBSCRIPTION}/operations/x?{VERSION}",
        f"{own}/..\\{OTHER}/operations/x?{VERSION}",
        f"{own}\\..\\{OTHER}/operations/x?{VERSION}",
        f"{own}/operations/x#?{VERSION}",
        f"{own}/operations/x?{VERSION}\r\nX-Injected: 1",
        f"/{own}/operations/x?{VERSION}",
        f"/providers/Microsoft.Management/managementGroups/x?{VERSION}",
        f"{own}/{MACHINE}/listKeys?{VERSION}",
        f"{own}/operations/x",
        f"{own}/{'a' * 3000}/operations/x?{VERSION}",
    ]


async def test_a_forged_handle_of_azure_reaches_no_other_host_or_subscription(
    clouds: Clouds,
) -> None:
    clouds.estate.machine("shop", "web")
    clouds.estate.group("shop", OTHER)
    clouds.estate.resource("shop", "Microsoft.Compute/virtualMachines", "web", subscription=OTHER)
    # It signs in first, so that whatever is asked now is asked because of a handle.
    await clouds.call("cloud.azure.listSubscriptions")
    clouds.taken()
    for path in forged_paths(clouds.stranger.port):
        for way in ("operation", "location", "resource"):
            answer = await clouds.caller.call(
                "cloud.azure.getOperation", {"operationId": operation(path, way)}
            )
            asked = [each.path for each in clouds.arm.asked]
            assert not [each for each in asked if OTHER in each], (path, way, asked)
            assert answer.code in ("invalid_argument", "not_allowed", "not_found") or (
                way == "resource" and SUBSCRIPTION in asked[-1]
            ), (path, way, answer)
            assert not odd(clouds), (path, way)
    assert not clouds.stranger.heard


@pytest.mark.parametrize("account", ["other", "", "../main", "main\n", "x" * 400])
async def test_a_handle_names_no_account_that_is_not_set_up(clouds: Clouds, account: str) -> None:
    clouds.taken()
    path = f"/subscriptions/{SUBSCRIPTION}/operations/x?{VERSION}"
    forged = operation(path, account=account)
    answer = await clouds.caller.call("cloud.azure.getOperation", {"operationId": forged})
    assert answer.code in ("not_found", "invalid_argument")
    assert not clouds.arm.asked


@pytest.mark.parametrize(
    "handle",
    [
        f"projects/{ELSEWHERE}/zones/{ZONE}/operations/operation-1",
        f"projects/{ELSEWHERE}/global/operations/operation-1",
        "projects/../zones/x/operations/operation-1",
        "projects/./global/operations/operation-1",
        f"projects/{PROJECT}/zones/../operations/operation-1",
        f"projects/{PROJECT}/zones/{ZONE}/operations/..",
        f"projects/{PROJECT}/zones/{ZONE}/operations/x/../../../{ELSEWHERE}",
        f"projects/{PROJECT}%2f..%2f{ELSEWHERE}/global/operations/x",
        f"https://127.0.0.1:1/projects/{PROJECT}/global/operations/x",
        f"projects/{PROJECT}/global/operations/x?alt=media",
        f"projects/{PROJECT}/global/operations/x\n",
    ],
)
async def test_a_forged_handle_of_google_reaches_no_other_project(
    clouds: Clouds, handle: str
) -> None:
    clouds.taken()
    answer = await clouds.caller.call("cloud.gcp.getOperation", {"operationId": handle})
    assert answer.code in ("invalid_argument", "not_allowed"), answer
    assert not clouds.google.tls.asked


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_no_provider_sends_us_to_another_host(clouds: Clouds, status: int) -> None:
    """Whatever is asked of them, by reading, by changing and by a WebSocket."""
    clouds.stranger.heard.clear()
    for tool in (
        "cloud.azure.listResourceGroups", "cloud.azure.deleteResource",
        "cloud.azure.queryResources", "cloud.gcp.listInstances", "cloud.gcp.deleteInstance",
        "cloud.gcp.listBuckets", "cloud.gcp.listProjects", "infra.k8s.listPods",
        "infra.k8s.getPodLogs", "infra.k8s.execInPod", "infra.k8s.applyManifest",
        "data.cmdb.queryServiceNow", "data.cmdb.pushServiceNow",
    ):  # fmt: skip
        arguments = await given(clouds, tool)
        servers = clouds.servers().values()
        for server in servers:
            # The pod itself is looked at before a program is run in it.
            where = "/exec" if tool.endswith("execInPod") else "."
            server.faults.fail(where, status, times=None)
        clouds.taken()
        answer = await clouds.caller.call(tool, arguments)
        for server in servers:
            server.faults.clear()
        assert any(clouds.taken().values()), (tool, answer)
        assert answer.code not in (None, "internal"), (tool, answer)
        assert not clouds.stranger.heard, (tool, clouds.stranger.heard)


CURSORS: Mapping[str, Any] = {
    "an address": lambda port: f"https://127.0.0.1:{port}/x",
    "an address in a map": lambda port: [{"$skiptoken": f"https://127.0.0.1:{port}/x"}, 0],
    "another list": lambda _: [{"$skiptoken": "x", "$filter": "name eq 'x'"}, 0],
    "another version": lambda _: [{"api-version": "2015-01-01"}, 0],
    "a token with more": lambda _: ["x&project=acme-closed", 0],
    "a sys_id with a query": lambda _: ["x^NQsys_idISNOTEMPTY", 0],
    "a number": lambda _: 10**12,
    "a number below zero": lambda _: [None, -1],
    "much": lambda _: ["A" * 1200, 0],
    "nothing": lambda _: None,
    "deep": lambda _: [[[[[[]]]]]],
}
"""Positions that no list of ours is at."""


async def test_a_forged_cursor_leads_to_no_other_list_host_or_project(clouds: Clouds) -> None:
    """By the cursor of the list itself, with another position in it."""
    port, pages = clouds.stranger.port, 0
    for number in range(3):
        clouds.estate.machine("shop", f"paged-{number}")
        clouds.google.world.instance(PROJECT, ZONE, f"paged-{number}")
        clouds.kube.put("Pod", pod(f"paged-{number}"))
        clouds.kube.put("ConfigMap", {"metadata": {"name": f"p{number}", "namespace": "default"}})
        clouds.now.add("cmdb_ci_linux_server", name=f"paged-{number}")
    for tool in clouds.tools():
        if "cursor" not in clouds.listing[tool]["inputSchema"]["properties"]:
            continue
        asked = {**PAGED.get(tool, await given(clouds, tool)), "limit": 1}
        cursor = (await clouds.call(tool, **asked)).get("nextCursor")
        kind = "x" if cursor is None else frame(cursor)[0]
        pages += cursor is not None
        clouds.taken()
        for what, made in CURSORS.items():
            forged = encode_cursor(kind, made(port))
            answer = await clouds.caller.call(tool, {**asked, "cursor": forged})
            told = (tool, what, answer)
            assert answer.code in (None, "invalid_argument", "conflict", "not_found"), told
        assert not odd(clouds), tool
    assert pages >= 8, "too few lists had a second page"
    assert not clouds.stranger.heard


def frame(cursor: str) -> list[Any]:
    """What a cursor of ours holds: its kind and its position."""
    return json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))


PAGED: Mapping[str, Mapping[str, Any]] = {
    "data.cmdb.queryServiceNow": {"table": "cmdb_ci_server"},
    "infra.k8s.listResources": {"kind": "configmaps"},
}


def test_what_azure_asks_to_be_followed_is_written_out() -> None:
    """Its own addresses pass: with letters that are encoded, and with what services put behind."""
    own = f"/subscriptions/{SUBSCRIPTION}/providers/Microsoft.Compute/locations/west%20eu"
    told = "&t=638&c=MIIH-_8&s=a%2Bb%3D&h=x"
    assert read(operation(f"{own}/operations/abc-1?{VERSION}{told}")).subscription == SUBSCRIPTION
