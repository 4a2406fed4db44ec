"""What the hub forgets of a server that has left, and what it does once one is back."""

import pytest
from prometheus_client import generate_latest

from flotilla.fleet import HUB, FleetConfig, ServiceEntry
from flotilla.metrics import Metrics
from flotilla.resilience import Breaker, Resilience
from master.state.seam import Cached
from master.steadiness.parts import Steadiness
from tests.conftest import until

pytestmark = pytest.mark.anyio


def steadiness(metrics: Metrics) -> Steadiness:
    hub = ServiceEntry(number=0, port=8000, namespaces=("master",))
    docs = Resilience(breaker=Breaker(failures=1, open_s=60))
    return Steadiness.of(FleetConfig({HUB: hub}, {}, external={"docs": docs}), None, metrics)


async def test_a_new_server_under_an_old_name_inherits_nothing() -> None:
    metrics = Metrics()
    some = steadiness(metrics)
    circuit = some.keepers.of("docs").circuit
    await circuit.failed(await circuit.admit(), "it broke")
    generation = await some.state.cache.get("ext.docs", "question")
    assert isinstance(generation, int)
    await some.state.cache.put("ext.docs", "question", generation, b"its answer", 60)
    assert isinstance(await some.state.cache.get("ext.docs", "question"), Cached)
    assert b'mcp_circuit_state{service="docs",state="open"} 1.0' in generate_latest(
        metrics.registry
    )
    some.removed("docs")
    assert b"docs" not in generate_latest(metrics.registry)

    async def is_dropped() -> bool:
        return not isinstance(await some.state.cache.get("ext.docs", "question"), Cached)

    await until(is_dropped)
    assert some.keepers.of("docs").circuit.view.state == "closed"


async def test_a_server_that_is_back_is_probed_at_once() -> None:
    some = steadiness(Metrics())
    circuit = some.keepers.of("docs").circuit
    await circuit.failed(await circuit.admit(), "it broke")
    assert circuit.view.retry_after_s > 59
    some.back("docs")
    await until(lambda: circuit.view.retry_after_s == 0)
    await circuit.succeeded(await circuit.admit())
    assert circuit.view.state == "closed"
