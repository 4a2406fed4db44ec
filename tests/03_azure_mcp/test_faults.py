"""Azure hangs, throttles, breaks off or talks nonsense: a clear error in time, then all is well."""

import asyncio
from time import monotonic
from typing import Any

import pytest
import structlog.testing

from flotilla.credentials import Credentials
from tests.backends.azure.estate import Estate
from tests.conftest import until

from .conftest import House, OpenHouse, furnished

pytestmark = pytest.mark.anyio

TARGET = {"name": "f-1", "resourceGroup": "faults"}


@pytest.fixture
def faults(house: House) -> House:
    if "/faults" not in str(house.estate.resources.keys()):
        furnished(house.estate, "faults", {"f-1": "running"})
    return house


def power(estate: Estate) -> str:
    (key,) = [
        key
        for key in estate.power
        if key.endswith("/faults/providers/microsoft.compute/virtualmachines/f-1")
    ]
    return estate.power[key]


async def test_an_azure_that_hangs_is_told_within_the_deadline(open_house: OpenHouse) -> None:
    async with open_house(request_timeout_s=1.0) as house:
        furnished(house.estate, "faults", {"f-1": "running"})
        async with house.tools() as tools:
            await tools("getVirtualMachine", **TARGET)
            house.server.faults.hang("POST .*deallocate")
            house.server.faults.hang("GET .*/f-1")
            started = monotonic()
            await tools.refused("timeout", "getVirtualMachine", **TARGET)
            error = await tools.refused("timeout", "stopVirtualMachine", **TARGET)
            assert monotonic() - started < 15
            assert error["outcome"] == "unknown"
            assert "before you repeat it" in error["hint"]
            assert len(house.asked_for("POST /subscriptions")) == 1  # never sent twice
            house.server.faults.clear()
            assert (await tools("getVirtualMachine", **TARGET))["name"] == "f-1"


async def test_throttling_is_waited_out_or_told_with_its_time(faults: House) -> None:
    async with faults.tools() as tools:
        faults.server.faults.throttle("GET .*/f-1", retry_after="0", times=1)
        assert (await tools("getVirtualMachine", **TARGET))["name"] == "f-1"
        faults.server.faults.throttle("POST .*/restart", retry_after="0", times=1)
        begun = await tools("restartVirtualMachine", **TARGET)
        assert len(faults.asked_for("/restart")) == 2  # it had been refused before any work
        ended = await tools("getOperation", operationId=begun["operationId"], waitS=5)
        assert ended["status"] == "succeeded"
        faults.server.faults.throttle("POST .*/restart", retry_after="3000", times=None)
        error = await tools.refused("rate_limited", "restartVirtualMachine", **TARGET)
        assert error["retryAfterMs"] == 3_000_000
        assert error["upstreamCode"] == "TooManyRequests"
        faults.server.faults.clear()
        assert (await tools("getVirtualMachine", **TARGET))["powerState"] == "running"


@pytest.mark.parametrize("kind", ["drop", "garble"])
async def test_an_answer_that_breaks_off_is_no_success(faults: House, kind: str) -> None:
    def fault(pattern: str) -> None:
        getattr(faults.server.faults, kind)(pattern, times=None)

    async with faults.tools() as tools:
        for tool, asked in (
            ("listVirtualMachines", {"resourceGroup": "faults", "limit": 7}),
            ("listResources", {"resourceGroup": "faults", "limit": 7}),
            ("getVirtualMachine", TARGET),
            ("queryResources", {"query": "resources | project id"}),
            ("queryCost", {"granularity": "monthly"}),
        ):
            fault("/(virtualMachines|resources|query)")
            error = await tools.refused("upstream_error", tool, **asked)
            assert error["reason"] in ("broken_answer", "connection_lost")
            faults.server.faults.clear()
            await tools(tool, **asked)
        fault("PUT .*resourceGroups/half")
        made = {"name": f"half-{kind}", "location": "westeurope"}
        error = await tools.refused("upstream_error", "createResourceGroup", **made)
        assert error["outcome"] == "unknown"  # it is there, and nobody said that it is not
        faults.server.faults.clear()
        assert (await tools("createResourceGroup", **made))["name"] == f"half-{kind}"


async def test_errors_of_azure_keep_their_code_and_request(faults: House) -> None:
    async with faults.tools() as tools:
        for status, code in (
            (403, "not_allowed"),
            (500, "upstream_error"),
            (401, "not_configured"),
        ):
            faults.server.faults.fail("GET .*/f-1", status, times=None)
            error = await tools.refused(code, "getVirtualMachine", **TARGET)
            assert error["upstreamStatus"] == status
            faults.server.faults.clear()
        error = await tools.refused("not_found", "getResourceGroup", name="nothing-here")
    assert error["upstreamCode"] == "ResourceGroupNotFound"
    assert error["upstreamRequestId"]
    # The fleet's own correlation ID is the one that Azure has in its log.
    assert error["upstreamCorrelationId"] == error["correlationId"]


async def test_a_next_page_elsewhere_is_not_followed(faults: House) -> None:
    stolen = {"value": [], "nextLink": "https://127.0.0.2/subscriptions?api-version=1&$skiptoken=x"}
    faults.estate.instead["microsoft.compute/virtualmachines"] = (200, stolen, {})
    async with faults.tools() as tools:
        asked = {"resourceGroup": "faults", "limit": 9}
        error = await tools.refused("upstream_error", "listVirtualMachines", **asked)
        assert error["reason"] == "strange_link"
        other = "https://127.0.0.2/subscriptions/x/operations/1?api-version=1"
        for header in ("Azure-AsyncOperation", "Location"):
            faults.estate.instead["f-1/deallocate"] = (202, None, {header: other})
            error = await tools.refused("upstream_error", "stopVirtualMachine", **TARGET)
            assert error["reason"] == "strange_link"
        faults.estate.instead.clear()
        assert (await tools("listVirtualMachines", **asked))["returned"] == 1


async def test_a_call_that_is_cancelled_lets_go_of_its_request(faults: House) -> None:
    faults.server.faults.hang("GET .*/f-1")
    async with faults.tools() as tools:
        calling = asyncio.create_task(tools("getVirtualMachine", **TARGET))
        await until(lambda: faults.asked_for("/f-1"))
        calling.cancel()
        with pytest.raises(asyncio.CancelledError):
            await calling
        assert len(faults.asked_for("/f-1")) == 1
        await until(faults.estate.connections[-1].is_closing)
        faults.server.faults.clear()
        assert (await tools("getVirtualMachine", **TARGET))["name"] == "f-1"


async def test_a_secret_that_is_wrong_is_told_and_a_new_one_taken(open_house: OpenHouse) -> None:
    async with open_house(account={"client_secret": "secret:azure/main"}) as house:
        furnished(house.estate, "faults", {"f-1": "running"})
        credentials = house.spoke.credentials
        assert isinstance(credentials, Credentials)
        assert credentials.needs == ("azure/main",)
        async with house.tools() as tools:
            with structlog.testing.capture_logs() as logs:
                error = await tools.refused("not_configured", "getVirtualMachine", **TARGET)
                assert "azure/main" in error["message"]
                credentials.give({"azure/main": "wrong-canary-11"})
                error = await tools.refused("not_configured", "getVirtualMachine", **TARGET)
                assert "AADSTS7000215" in error["message"]
                assert "wrong-canary-11" not in str(error) + str(logs)
            credentials.give({"azure/main": house.estate.client_secret})
            assert (await tools("getVirtualMachine", **TARGET))["name"] == "f-1"
            house.estate.client_secret = "another-secret-2"
            house.estate.tokens.clear()
            await tools.refused("not_configured", "getVirtualMachine", **TARGET)
            credentials.give({"azure/main": "another-secret-2"})
            assert (await tools("getVirtualMachine", **TARGET))["name"] == "f-1"


async def test_nothing_set_up_says_what_to_set(start_fleet: Any, tmp_path: Any) -> None:
    from azure_cloud import build
    from azure_cloud.settings import Settings
    from flotilla import CommonSettings

    spoke = build(Settings(config=tmp_path / "none.yaml"), CommonSettings(data_dir=tmp_path))
    assert spoke.not_configured is not None
    assert "AZURE_CLIENT_ID" in spoke.not_configured
