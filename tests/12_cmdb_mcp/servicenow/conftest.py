"""A ServiceNow of ours, a CMDB that knows it as `dev`, and the same behind a hub."""

import json
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml
from mcp_types import ElicitResult, TextContent

from cmdb import build
from cmdb.settings import Settings
from flotilla import CommonSettings
from tests.backends.servicenow_server import CLIENT, CLIENT_SECRET, PASSWORD, USER, ServiceNow

BASIC = {"auth": "basic", "user": USER, "password": "password"}
OAUTH = {"auth": "client_credentials", "client_id": CLIENT, "client_secret": "client_secret"}
FILES = {"password": PASSWORD, "client_secret": CLIENT_SECRET}


@pytest.fixture
async def instance(tmp_path: Path) -> AsyncIterator[ServiceNow]:
    made = ServiceNow(tmp_path / "servicenow")
    async with made.server.running():
        yield made


def settings_of(folder: Path, *instances: ServiceNow, **more: Any) -> Settings:
    """Settings under which the first instance is `dev`, the second `dev2`; `more` is of all."""
    told: dict[str, Any] = {}
    for number, one in enumerate(instances, 1):
        entry = {"url": one.server.url, "ca_file": str(one.server.trusted), **BASIC, **more}
        for key, value in entry.items():
            if key in ("password", "client_secret", "refresh_token") and ":" not in str(value):
                file = folder / str(value)
                file.write_text(FILES.get(str(value), str(value)))
                entry[key] = str(file)
        told["dev" if number == 1 else f"dev{number}"] = entry
    file = folder / "servicenow.yaml"
    file.write_text(yaml.safe_dump({"instances": told}))
    database = f"sqlite:///{folder}/cmdb.sqlite3"
    return Settings(database_url=database, servicenow_config=file)


@pytest.fixture
def servicenow_file(tmp_path: Path) -> Callable[..., Path | None]:
    """The file that names an instance, for settings of any database."""
    return lambda instance: settings_of(tmp_path, instance).servicenow_config


@pytest.fixture
def connected(opened: Any, tmp_path: Path) -> Callable[..., AbstractAsyncContextManager[Any]]:
    """`connected(instance, ..., **entry)`: a CMDB that knows them, called without a hub."""

    def made(*instances: ServiceNow, **more: Any) -> AbstractAsyncContextManager[Any]:
        return opened(settings_of(tmp_path, *instances, **more), tmp_path)

    return made


@pytest.fixture
async def now(connected: Any, instance: ServiceNow) -> AsyncIterator[Any]:
    async with connected(instance) as cmdb:
        yield cmdb


@dataclass
class Person:
    """Answers what is asked in the client."""

    decision: str = "allow_once"
    asked: list[str] = field(default_factory=list[str])

    async def __call__(self, context: Any, params: Any) -> ElicitResult:
        self.asked.append(params.message)
        return ElicitResult(action="accept", content={"decision": self.decision})


@dataclass
class Hub:
    """Calls through a hub, as a client does; `person` sits before it."""

    client: Any
    fleet: Any
    person: Person

    async def raw(self, tool: str, **arguments: Any) -> Any:
        return await self.client.call_tool(f"data.cmdb.{tool}", arguments)

    async def __call__(self, tool: str, **arguments: Any) -> dict[str, Any]:
        result = await self.raw(tool, **arguments)
        assert not result.is_error, said(result)
        return result.structured_content

    async def refused(self, code: str, tool: str, **arguments: Any) -> dict[str, Any]:
        result = await self.raw(tool, **arguments)
        assert result.is_error, said(result)
        error = json.loads(result.content[0].text)["error"]
        assert error["code"] == code, error
        return error


def said(result: Any) -> str:
    texts = [part.text for part in result.content if isinstance(part, TextContent)]
    return json.dumps([texts, result.structured_content])


@pytest.fixture
def through_hub(start_fleet: Any, tmp_path: Path) -> Callable[..., Any]:
    """`through_hub(instance, approvals="off")`: the CMDB that knows it, behind a hub."""

    @asynccontextmanager
    async def opened_hub(*instances: ServiceNow, **more: Any) -> AsyncIterator[Hub]:
        spoke = build(settings_of(tmp_path, *instances), CommonSettings(data_dir=tmp_path / "d"))
        person = Person()
        async with (
            start_fleet([spoke], **more) as fleet,
            fleet.client(elicitation_callback=person) as client,
        ):
            yield Hub(client, fleet, person)

    return opened_hub
