"""Which state is opened for which setting, and what a wrong one is answered."""

import subprocess
import sys
from pathlib import Path

import pytest

from flotilla import Misconfigured
from flotilla.fleet import HubLimits
from flotilla.resilience import RateLimit
from master.state.embedded import FEWEST_SWEPT, Embedded, EmbeddedLimits
from master.state.memory import ENTRY_BYTES, MOST_GROUPS, EmbeddedCache
from master.state.opened import open_state
from master.state.seam import Cached, SharedState

pytestmark = pytest.mark.anyio

ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.parametrize(
    "url",
    [
        "redis://redis",
        "redis://redis:6379/0",
        "redis://:pa%2Fss@redis:6379/15",
        "rediss://user:word@redis.example.org:6380/0?ssl_ca_certs=/etc/ca.pem",
        "unix:///run/redis.sock?db=2",
    ],
)
def test_a_url_of_redis_opens_redis_without_asking_it(url: str) -> None:
    state: SharedState = open_state(url, HubLimits())
    assert (state.kind, state.away) == ("redis", "not connected yet")


@pytest.mark.parametrize(
    "url",
    [
        *("", "canary", "canary.example.org:6379", "http://canary@redis:6379", "redis://"),
        *("redis://:canary@", "unix://", "redis://u:canary/1@redis:6379/0"),
        *("redis://:canary@redis:port/0", "redis://:canary@redis:99999/0"),
        *("redis://:canary@redis:6379/zero", "redis://:canary@redis:6379/0?bogus=canary"),
        *("redis://:canary@[redis:6379/0", "redis://:canary@redis:6379/0?db=canary"),
    ],
)
def test_what_cannot_be_one_is_told_by_its_key_and_never_repeated(url: str) -> None:
    with pytest.raises(Misconfigured, match="FLOTILLA_REDIS_URL: must be like redis://") as raised:
        open_state(url, HubLimits())
    assert "canary" not in str(raised.value)
    assert raised.value.__suppress_context__


def test_a_hub_alone_does_not_load_the_client_of_redis() -> None:
    program = (
        "import sys; from flotilla.fleet import HubLimits; from master.state.opened import *;"
        "open_state(None, HubLimits()); sys.exit('redis' in sys.modules)"
    )
    env = {"PYTHONPATH": f"{ROOT}:{ROOT / '00_master_mcp'}"}
    done = subprocess.run([sys.executable, "-c", program], env=env, timeout=60, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()


async def test_a_hub_alone_has_nothing_that_could_be_away() -> None:
    state: SharedState = Embedded(HubLimits())
    assert (state.kind, state.away, state.secrets) == ("embedded", None, ())
    async with state.running():
        assert await state.hubs.all() == {}
        assert await state.hubs.address_of(state.hubs.own_id) is None


async def test_callers_who_rested_are_forgotten_and_the_others_are_not() -> None:
    now = 1000.0
    limits = EmbeddedLimits(lambda: now)
    limit = RateLimit(per_minute=60, burst=1)
    steady = RateLimit(per_minute=0.1, burst=1)
    assert await limits.take("steady", steady) == 0.0
    for n in range(20 * FEWEST_SWEPT):
        now += 0.01
        assert await limits.take(f"caller {n}", limit) == 0.0
        assert len(limits) <= FEWEST_SWEPT + 1
    assert await limits.take("steady", steady) > 0.0


async def test_the_cache_of_a_hub_holds_its_bytes_and_forgets_what_was_used_longest_ago() -> None:
    body = b"x" * 1000
    cache = EmbeddedCache(10 * (len(body) + ENTRY_BYTES + 2))
    for n in range(10):
        await cache.put("os.linux", f"{n:02}", 0, body, 60)
    assert isinstance(await cache.get("os.linux", "00"), Cached)
    for n in range(10, 15):
        await cache.put("os.linux", f"{n:02}", 0, body, 60)
    found = [isinstance(await cache.get("os.linux", f"{n:02}"), Cached) for n in range(15)]
    assert [n for n, is_there in enumerate(found) if is_there] == [0, *range(6, 15)]
    for n in range(10_000):
        await cache.put("os.linux", f"{n % 700}", 0, body[: n % 900], 60)
        assert cache.size_bytes <= 10 * (len(body) + ENTRY_BYTES + 2)


async def test_more_groups_than_are_remembered_cost_results_and_never_bring_stale_ones() -> None:
    cache = EmbeddedCache(1_000_000)
    asked = await cache.get("os.linux", "a")
    assert isinstance(asked, int)
    await cache.put("os.linux", "a", asked, b"1", 60)
    for n in range(MOST_GROUPS + 1):
        await cache.drop(f"group {n}")
    assert not isinstance(await cache.get("os.linux", "a"), Cached)
    await cache.put("os.linux", "a", asked, b"stale", 60)
    assert not isinstance(await cache.get("os.linux", "a"), Cached)
    assert cache.size_bytes == 0


async def test_a_cleared_cache_takes_nothing_that_was_asked_for_before() -> None:
    cache = EmbeddedCache(1_000_000)
    await cache.drop("os.linux")
    asked = await cache.get("os.linux", "a")
    assert isinstance(asked, int)
    cache.clear()
    await cache.put("os.linux", "a", asked, b"stale", 60)
    assert not isinstance(await cache.get("os.linux", "a"), Cached)
