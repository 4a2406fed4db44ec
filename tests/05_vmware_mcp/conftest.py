"""A spoke whose vCenters are simulators, and the hub before it as a person uses it."""

from collections.abc import AsyncGenerator, Callable, Generator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import mcp_types as types
import orjson
import pytest
import yaml
from mcp import Client

from flotilla import CommonSettings, Spoke
from tests.backends.vcsim_server import PASSWORD, Vcsim, vcsim
from tests.conftest import StartFleet
from vmware import build
from vmware.settings import Settings

PREFIX = "infra.vmware."


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def main_vcenter(tmp_path_factory: pytest.TempPathFactory) -> Generator[Vcsim]:
    """Hundreds of machines, for tests that change none, or only their own."""
    with vcsim(tmp_path_factory.mktemp("main"), machines_per_pool=150) as running:
        yield running


@pytest.fixture(scope="session")
def lab_vcenter(tmp_path_factory: pytest.TempPathFactory) -> Generator[Vcsim]:
    """A second, small one."""
    with vcsim(tmp_path_factory.mktemp("lab"), machines_per_pool=2) as running:
        yield running


def spoke_of(folder: Path, vcenters: Mapping[str, Mapping[str, Any]], **settings: Any) -> Spoke:
    """The spoke with these vCenters in its file."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "vmware.yaml"
    entries = {alias: dict(entry) for alias, entry in vcenters.items()}
    file.write_text(yaml.safe_dump({"vcenters": entries}, sort_keys=False))
    common = CommonSettings(data_dir=folder / "data")
    return build(Settings(config=file, **settings), common)


def password_file(folder: Path, password: str = PASSWORD) -> str:
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "password"
    file.write_text(password + "\n")
    return str(file)


class Refused(AssertionError):
    """A tool answered an error; `error` is its object."""

    def __init__(self, error: dict[str, Any]) -> None:
        super().__init__(orjson.dumps(error).decode())
        self.error = error


class Person:
    """Says yes to everything in the client, and remembers what was asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    async def __call__(self, context: Any, params: Any) -> types.ElicitResult:
        self.asked.append(params.message)
        return types.ElicitResult(action="accept", content={"decision": "allow_once"})


class Operator:
    """Calls the tools through the hub as a client does."""

    def __init__(self, client: Client, person: Person) -> None:
        self.client = client
        self.person = person

    async def __call__(self, tool: str, **arguments: Any) -> dict[str, Any]:
        result = await self.client.call_tool(PREFIX + tool, arguments)
        if result.is_error:
            raise Refused(orjson.loads(result.content[0].text)["error"])  # type: ignore[union-attr]
        assert result.structured_content is not None
        return result.structured_content

    async def done(self, tool: str, **arguments: Any) -> dict[str, Any]:
        """The task that the tool begins, at its successful end."""
        begun = await self(tool, **arguments)
        task = await self("getTask", taskId=begun["taskId"], vcenter=begun["vcenter"], waitS=20)
        assert task["state"] == "success", task
        return task

    async def refused(self, code: str, tool: str, **arguments: Any) -> dict[str, Any]:
        with pytest.raises(Refused) as told:
            await self(tool, **arguments)
        assert told.value.error["code"] == code, told.value.error
        return told.value.error

    async def machine(self, vm_id: str, **more: Any) -> dict[str, Any]:
        return await self("getVirtualMachine", vmId=vm_id, **more)

    async def every(self, tool: str, **arguments: Any) -> list[dict[str, Any]]:
        """All items of a list, page by page."""
        page = await self(tool, **arguments)
        items: list[dict[str, Any]] = page["items"]
        while page.get("nextCursor"):
            page = await self(tool, cursor=page["nextCursor"], **arguments)
            items = items + page["items"]
        return items


OperatorOf = Callable[..., AbstractAsyncContextManager[Operator]]


@pytest.fixture
def operator_of(start_fleet: StartFleet, tmp_path: Path) -> OperatorOf:
    """A client of a hub that asks nobody, before a spoke with these vCenters."""

    @asynccontextmanager
    async def opened(
        vcenters: Mapping[str, Mapping[str, Any]], *, approvals: str = "off", **settings: Any
    ) -> AsyncGenerator[Operator]:
        spoke, person = spoke_of(tmp_path / "spoke", vcenters, **settings), Person()
        async with (
            start_fleet([spoke], approvals=approvals) as fleet,
            fleet.client(elicitation_callback=person) as client,
        ):
            yield Operator(client, person)

    return opened


@pytest.fixture
async def operator(
    operator_of: OperatorOf, main_vcenter: Vcsim, tmp_path: Path
) -> AsyncGenerator[Operator]:
    """A client before the one vCenter with hundreds of machines."""
    entry = main_vcenter.entry(password_file(tmp_path))
    async with operator_of({"main": entry}) as opened:
        yield opened
