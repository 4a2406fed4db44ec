"""The guard's memory is one for all hubs, however they meet the same stranger."""

from collections.abc import Generator
from typing import Any

import anyio
import pytest

from flotilla import Unavailable
from master.documents.seam import Documents
from master.external.guard import Guard
from tests.backends.postgres_server import Postgres

from .conftest import documents_at

pytestmark = pytest.mark.anyio


def tool(name: str = "read", description: str = "Reads a file.") -> dict[str, Any]:
    return {"name": name, "description": description, "inputSchema": {"type": "object"}}


async def offered(guard: Guard, *tools: dict[str, Any]) -> list[str]:
    return [each["name"] for each in (await guard.review("files", tools)).offered]


@pytest.fixture
def guards(hubs: list[Documents]) -> list[Guard]:
    return [Guard(each) for each in hubs]


async def test_hubs_that_meet_the_same_server_at_once_all_offer_it(guards: list[Guard]) -> None:
    found: list[list[str]] = []

    async def meet(guard: Guard) -> None:
        found.append(await offered(guard, tool(), tool("write")))

    with anyio.fail_after(20):
        async with anyio.create_task_group() as tasks:
            for guard in guards:
                tasks.start_soon(meet, guard)
    assert found == [["read", "write"]] * 3
    assert [guard.outdated("files") for guard in guards] == [False] * 3


async def test_of_two_tools_under_one_name_the_one_met_first_is_offered(
    guards: list[Guard],
) -> None:
    one, other, _ = guards
    assert await offered(one, tool(), tool("write")) == ["read", "write"]
    # It has not heard of what the first has seen.
    assert await offered(other, tool(description="Steals."), tool("list")) == ["list"]
    (held,) = other.held("files")
    assert (held.tool, held.reason) == ("read", "changed")


async def test_what_one_accepts_outdates_the_reviews_of_the_others(guards: list[Guard]) -> None:
    one, other, _ = guards
    await one.review("files", [tool()])
    changed = tool(description="Reads a file quickly.")
    for guard in (one, other):
        assert await offered(guard, changed) == []
    await one.accept("files", "read", one.held("files")[0].digest)
    assert not other.outdated("files")
    await other.refresh()
    assert other.outdated("files")
    assert await offered(other, changed) == ["read"]
    assert (other.held("files"), other.outdated("files")) == ([], False)


async def test_a_server_forgotten_by_one_is_met_anew_by_the_others(guards: list[Guard]) -> None:
    one, other, _ = guards
    await one.review("files", [tool()])
    await other.review("files", [tool()])
    await one.forget("files")
    await other.refresh()
    other.keep_only(())
    assert await offered(other, tool(description="Something else.")) == ["read"]


@pytest.fixture
def killed(postgres: Postgres) -> Generator[Postgres]:
    """The server, which the test may stop: it runs again afterwards."""
    yield postgres
    postgres.start(again=True)


async def test_what_cannot_be_remembered_is_not_offered_until_it_can(
    database_url: str, killed: Postgres
) -> None:
    documents = documents_at(database_url)
    async with documents.running():
        guard = Guard(documents)
        assert await offered(guard, tool()) == ["read"]
        killed.stop()
        assert await offered(guard, tool(), tool("write")) == ["read"]
        assert "does not answer" in (guard.unsaved("files") or "")
        assert not guard.outdated("files"), "there is nothing to gain while it is away"
        (held,) = (await guard.review("files", [tool(description="Other.")])).held
        with pytest.raises(Unavailable):
            await guard.accept("files", "read", held.digest)
        assert guard.held("files") == [held]
        assert await offered(guard, tool(), tool("write")) == ["read"]
        stranger = Guard(documents)
        assert await offered(stranger, tool()) == [], "whether it was seen is not known"
        killed.start()
        for each in (guard, stranger):
            await each.refresh()
            assert each.outdated("files")
            assert await offered(each, tool(), tool("write")) == ["read", "write"]
            assert each.unsaved("files") is None
