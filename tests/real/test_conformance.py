"""The protocol's own conformance suite finds nothing wrong, directly and through the hub."""

import tempfile
from collections.abc import AsyncGenerator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tools.conformance import (
    CANNOT,
    REQUIREMENTS,
    UPSTREAMS,
    CannotRun,
    Report,
    Score,
    direct,
    fixture,
    install,
    read_report,
    run_suite,
    through_hub,
)
from tools.header_proxy import HeaderProxy

pytestmark = [pytest.mark.anyio, pytest.mark.real, pytest.mark.timeout(600)]

CHECKS = {"2025-11-25": 84, "2026-07-28": 152}
"""How many there are beside those of optional extensions; the pinned suite makes it a constant."""


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
async def suite(anyio_backend: str) -> AsyncGenerator[None]:
    try:
        await install()
    except CannotRun as error:
        pytest.skip(str(error))
    yield


@pytest.fixture(scope="module")
async def references(suite: None) -> dict[str, Report]:
    return await direct(REQUIREMENTS)


@pytest.mark.parametrize("requirements", REQUIREMENTS)
async def test_the_fixture_fails_nothing_itself(
    references: dict[str, Report], requirements: str
) -> None:
    total = references[requirements].total()
    assert (total.passed, total.failed) == (CHECKS[requirements], 0)


@pytest.mark.parametrize("requirements", REQUIREMENTS)
async def test_the_proxy_that_adds_the_credential_costs_no_check(
    references: dict[str, Report], requirements: str
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        async with fixture("streamable-http", "both", Path(folder)) as url:
            port = urlsplit(url).port
            assert port is not None
            async with HeaderProxy(port, "X-Added", "yes").serving() as proxy:
                report = await run_suite(f"http://127.0.0.1:{proxy}/mcp", requirements)
    assert report.below(references[requirements]) == {}


@pytest.mark.parametrize("kind", UPSTREAMS)
async def test_the_hub_takes_no_check_away(references: dict[str, Report], kind: str) -> None:
    for requirements, report in (await through_hub(kind, REQUIREMENTS)).items():
        lost = report.below(references[requirements]).keys() - CANNOT[kind]
        assert lost == set(), f"{requirements} over {kind}"


def test_what_speaks_the_revision_itself_loses_nothing_at_all() -> None:
    assert "server-sse-polling" not in CANNOT["handshake"]
    assert CANNOT["modern"] == {"server-sse-polling"}


def test_a_check_lost_or_failed_or_missing_is_seen() -> None:
    reference = Report({"a": Score(2, 0), "b": Score(1, 1), "c": Score(1, 0)}, frozenset("ab"))
    worse = Report({"a": Score(1, 0), "b": Score(1, 2)}, frozenset("ab"))
    assert set(worse.below(reference)) == {"a", "b", "c"}
    assert reference.below(reference) == {}


def test_a_suite_that_ends_without_a_summary_is_no_score(tmp_path: Path) -> None:
    with pytest.raises(CannotRun, match="cannot reach"):
        read_report("Error: cannot reach the server", tmp_path)
