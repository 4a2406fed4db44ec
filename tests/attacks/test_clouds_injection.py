"""Whatever stands in an argument, a provider is asked for nothing but what the tool is for."""

import json
from collections.abc import AsyncGenerator, Sequence
from itertools import count
from pathlib import Path
from typing import Any

import anyio
import pytest

from tests.backends.tls_server import Asked
from tests.backends.vcsim_server import vcsim
from tests.conftest import StartFleet

from .clouds import Clouds, opened_clouds
from .clouds_corpus import METADATA, payloads, strange
from .clouds_given import REFUSED, furnish, given
from .schemas import Spot, put, spots

pytestmark = pytest.mark.anyio

BROKEN = ("internal", "circuit_open", "timeout")
"""Errors that no argument may bring about."""
AT_ONCE = 8
CALL_S = 25.0


@pytest.fixture(scope="module")
async def clouds(
    anyio_backend: str, start_fleet_in: StartFleet, tmp_path_factory: pytest.TempPathFactory
) -> AsyncGenerator[Clouds]:
    async with opened_clouds(start_fleet_in, tmp_path_factory.mktemp("clouds")) as clouds:
        furnish(clouds)
        yield clouds


@pytest.fixture
async def with_vsphere(start_fleet_in: StartFleet, tmp_path: Path) -> AsyncGenerator[Clouds]:
    """With a vCenter too, where its simulator can be had."""
    with vcsim(tmp_path / "vcsim", machines_per_pool=150) as simulator:
        async with opened_clouds(start_fleet_in, tmp_path, simulator=simulator) as clouds:
            furnish(clouds)
            yield clouds


async def works(clouds: Clouds, tools: Sequence[str]) -> None:
    """A tool that is refused for its other arguments shows nothing about the one attacked."""
    failed = {}
    for tool in tools:
        answer = await clouds.caller.call(tool, await given(clouds, tool))
        if answer.code != REFUSED.get(tool):
            failed[tool] = answer.error or answer.refusal
    assert not failed, "give these arguments that they succeed with, in clouds_given.py"
    assert not odd(clouds), "the detector takes what is in order for an attack"


def odd(clouds: Clouds) -> list[str]:
    """The requests since the last look that no provider should have been asked."""
    return [
        f"{service} {each.method} {each.path[:300]!r}: {wrong}"
        for service, asked in clouds.taken().items()
        for each in asked
        if (wrong := strange(service, each)) is not None
    ]


class Attack:
    """Drives the tools of the providers, and looks at what the providers were asked."""

    def __init__(self, clouds: Clouds) -> None:
        self._clouds = clouds
        self.calls = 0
        self.requests = 0
        self.places = 0
        self.wrong: list[str] = []

    async def on(self, tool: str, share: int, ticks: Any) -> None:
        texts = list(payloads(self._clouds.stranger.port).items())
        schema = self._clouds.listing[tool]["inputSchema"]
        limit = anyio.CapacityLimiter(AT_ONCE)
        async with anyio.create_task_group() as group:
            for spot in spots(schema):
                self.places += 1
                start = next(ticks) * 31
                for turn in range(min(share, len(texts))):
                    kind, text = texts[(start + turn * 13) % len(texts)]
                    group.start_soon(self._one, tool, spot, kind, text, limit)
        self.requests += sum(len(server.asked) for server in self._clouds.servers().values())
        self.wrong += [f"{tool}: {one}" for one in odd(self._clouds)]

    async def _one(
        self, tool: str, spot: Spot, kind: str, text: str, limit: anyio.CapacityLimiter
    ) -> None:
        async with limit:
            base = await given(self._clouds, tool)
            schema = self._clouds.listing[tool]["inputSchema"]
            for arguments in put(schema, base, spot, text):
                place = f"{tool} {spot} ({kind})"
                with anyio.move_on_after(CALL_S) as scope:
                    answer = await self._clouds.caller.call(tool, arguments)
                    self.calls += 1
                    if answer.refusal and answer.refusal.get("code") not in (-32602, -32600):
                        self.wrong.append(f"{place}: {answer.refusal}")
                    if answer.code in BROKEN:
                        self.wrong.append(f"{place}: {answer.error}")
                if scope.cancelled_caught:
                    self.wrong.append(f"{place}: no answer")


async def attacked(clouds: Clouds, share: int, capsys: pytest.CaptureFixture[str]) -> None:
    tools, ticks = clouds.tools(), count()
    await works(clouds, tools)
    attack = Attack(clouds)
    for tool in tools:
        await attack.on(tool, share, ticks)
    with capsys.disabled():
        print(
            f"\n{len(tools)} tools, {attack.places} places, {attack.calls} calls, "
            f"{attack.requests} requests of providers"
        )
    assert not attack.wrong, "\n".join(attack.wrong[:40])
    assert not clouds.stranger.heard
    # All of them still serve; machines of vSphere have been turned off by then.
    await works(clouds, [tool for tool in tools if not tool.startswith("infra.vmware.")])


async def test_some_texts_in_every_place_reach_no_other_resource_or_host(
    clouds: Clouds, capsys: pytest.CaptureFixture[str]
) -> None:
    await attacked(clouds, 1, capsys)


@pytest.mark.real
@pytest.mark.timeout(1200)
async def test_many_texts_in_every_place_reach_no_other_resource_or_host(
    with_vsphere: Clouds, capsys: pytest.CaptureFixture[str]
) -> None:
    await attacked(with_vsphere, 16, capsys)


def test_the_detector_sees_what_has_left_its_place() -> None:
    def asked(path: str, body: bytes = b"", **headers: str) -> Asked:
        return Asked("GET", path, headers, body)

    own = "/subscriptions/11111111-2222-3333-4444-555555555555/resourceGroups"
    for service, one in (
        ("cloud.azure.", asked(f"{own}/a%2fb?api-version=2021-04-01")),
        ("cloud.azure.", asked(f"{own}/a/../b")),
        ("cloud.azure.", asked("/subscriptions/99999999-8888-7777-6666-555555555555")),
        ("cloud.azure.", asked(f"{own}?api-version=1&api-version=2")),
        ("cloud.gcp.", asked("/compute/v1/projects/acme-closed/zones")),
        ("cloud.gcp.", asked("/compute/v1/projects/acme-prod/zones?x=1")),
        ("infra.k8s.", asked("/api/v1/namespaces/default/pods/a/b/c")),
        ("infra.k8s.", asked("/api/v1/pods", **{"User-Agent": "x\nX-Injected: 1"})),
        ("data.cmdb.", asked("/api/now/table/sys_user")),
        ("infra.vmware.", asked("/sdk", b"<a><b></a>")),
    ):
        assert strange(service, one) is not None, one
    assert METADATA in json.dumps(dict(payloads(1)))
