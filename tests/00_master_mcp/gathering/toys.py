"""A fleet with the real CMDB and a spoke of toys, which really run and can be discovered."""

import asyncio
import json
from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any

import httpx2
from mcp import Client
from sqlalchemy import delete, func, select

from cmdb import build as build_cmdb
from cmdb.settings import Settings as CmdbSettings
from cmdb.tables import change, gathered_page, gathering, item, plan, relation
from flotilla import CommonSettings, InvalidArgument, Model, Spoke, reads
from flotilla.discovery import (
    Covers,
    Described,
    Discovery,
    Seen,
    SeenEnd,
    SeenPage,
    SeenRelation,
)
from tests.conftest import InProcessFleet, StartFleet, client_over, plain_http

RULES = """
@id("nobody-sees-secret-toys")
forbid (principal, action == Action::"call", resource == Tool::"test.toys.listToys")
when { context.target has account && context.target.account == "secret" };

@id("reconcilers-reconcile") @role("reconciler")
permit (principal in Role::"reconciler", action == Action::"call",
    resource in Namespace::"data.cmdb");

@id("asked-for-toys") @role("asked") @consent("always")
permit (principal in Role::"asked", action == Action::"call", resource in Namespace::"test.toys");
@id("asked-reconciles")
permit (principal in Role::"asked", action == Action::"call", resource in Namespace::"data.cmdb");
"""
CAREFUL = """
@id("careful-reads") @role("careful")
permit (principal in Role::"careful", action == Action::"call", resource in Namespace::"test.toys");
@id("careful-reconciles") @consent("always")
permit (principal in Role::"careful", action == Action::"call", resource in Namespace::"data.cmdb");
"""
PROFILES = """
profiles:
  cmdb: {include: ["data.cmdb.*"]}
  both: {include: ["data.cmdb.*", "test.toys.*"]}
"""
KEY = "canary-of-the-toys-5ecret"


class Toys(Model):
    names: list[str]


@dataclass
class Toybox:
    """What there is, by account; and what goes wrong: at which page, and how."""

    toys: dict[str, list[str]] = field(default_factory=lambda: {"main": ["a", "b", "c", "d", "e"]})
    page_size: int = 2
    pages: list[tuple[Any, str | None]] = field(default_factory=list[Any])
    trouble: Mapping[int, Exception | str] = field(default_factory=dict[int, Any])
    hanging: asyncio.Event = field(default_factory=asyncio.Event)
    named: str | None = None

    async def list_toys(self, account: str = "main") -> Toys:
        """List the toys of an account."""
        return Toys(names=self.toys[account])

    async def describe(self, within: Mapping[str, Any]) -> Described:
        account = within.get("account", "main")
        if account not in self.toys or set(within) - {"account"}:
            raise InvalidArgument("there is no such account")
        return Described(
            tool=self.named or "test.toys.listToys",
            covers=Covers(
                ci_classes=["virtual_machine"], attributes={"provider": "toys", "account": account}
            ),
            within={"account": account},
        )

    async def page(self, within: Mapping[str, Any], cursor: str | None) -> SeenPage:
        self.pages.append((dict(within), cursor))
        start = int(cursor or 0)
        account = within["account"]
        trouble = self.trouble.get(start)
        if isinstance(trouble, Exception):
            raise trouble
        if trouble == "hang":
            self.hanging.set()
            await asyncio.Event().wait()
        names = self.toys[account][start : start + self.page_size]
        items = (
            [Seen(ci_class="server", name="shelf", attributes={"site": "x"})] if not start else []
        )
        items += [
            Seen(
                ci_class="virtual_machine",
                name=f"{account}/{name}",
                key="resource_id",
                attributes={"provider": "toys", "account": account, "resource_id": f"id-{name}",
                            "note": KEY},
            )
            for name in names
        ]  # fmt: skip
        relations = [
            SeenRelation(
                source=SeenEnd(ci_class="virtual_machine", name=f"{account}/{name}"),
                type="runs_on",
                target=SeenEnd(ci_class="server", name="shelf"),
            )
            for name in names
        ]
        more = start + self.page_size
        following = str(more) if more < len(self.toys[account]) else None
        if trouble == "circle":
            following = cursor or "0"
        return SeenPage(items=items, relations=relations, next_cursor=following)

    def spoke(self) -> Spoke:
        return Spoke(
            name="toys",
            version="1",
            instructions="Toys.",
            namespaces=("test.toys",),
            tools=(reads("test.toys.listToys", self.list_toys),),
            discovery=Discovery(describe=self.describe, page=self.page),
            secrets=(KEY,),
        )


@dataclass
class World:
    fleet: InProcessFleet
    box: Toybox
    cmdb: Spoke
    since: str = ""
    """When the last test began."""
    _names: Iterator[int] = field(default_factory=count)

    @property
    def _store(self) -> Any:
        return self.cmdb.operations[0].run.__self__._store  # pyright: ignore

    async def begin_anew(self) -> None:
        self.box.__init__()
        self.since = datetime.now(UTC).isoformat()
        async with self._store.write() as connection:
            for table in (gathered_page, gathering, plan, change, relation, item):
                await connection.execute(delete(table))

    async def token(self, *roles: str) -> str:
        name = f"{'-'.join(roles)}-{next(self._names)}"
        made = await self.api("POST", "/tokens", {"name": name, "roles": list(roles)})
        return made["secret"]

    async def api(self, method: str, path: str, body: Any = None) -> Any:
        owner = (self.fleet.common.data_dir / "owner_token").read_text().strip()
        async with httpx2.AsyncClient(
            headers={"Authorization": f"Bearer {owner}"}, verify=plain_http()
        ) as http:
            return (await http.request(method, f"{self.fleet.url}/api{path}", json=body)).json()

    @asynccontextmanager
    async def client(
        self, token: str | None = None, path: str = "/mcp?names=dotted"
    ) -> AsyncGenerator[Client]:
        secret = token or self.fleet.token_file.read_text().strip()
        headers = {"Authorization": f"Bearer {secret}"}
        async with (
            httpx2.AsyncClient(headers=headers, timeout=60, verify=plain_http()) as http,
            client_over(http, f"{self.fleet.url}{path}", mode="2026-07-28") as client,
        ):
            yield client

    async def preview(
        self, token: str | None = None, path: str = "/mcp?names=dotted", **more: Any
    ) -> Any:
        """The plan, or the error, of a preview of what the toys say."""
        arguments = {"source": "toys", "discover": {"service": "toys"}, **more}
        return await self.call("data.cmdb.previewReconcile", arguments, token, path)

    async def call(
        self,
        name: str,
        arguments: Mapping[str, Any],
        token: str | None = None,
        path: str = "/mcp?names=dotted",
    ) -> Any:
        async with self.client(token, path) as client:
            result = await client.call_tool(name, dict(arguments))
        if result.is_error:
            return json.loads(result.content[0].text)["error"]  # pyright: ignore[reportAttributeAccessIssue]
        return result.structured_content

    async def gatherings(self) -> int:
        """How many the CMDB still keeps."""
        async with self._store.read() as connection:
            found = await connection.execute(select(func.count()).select_from(gathering))
            return int(found.scalar_one())


@asynccontextmanager
async def world_in(folder: Path, start_fleet: StartFleet, **more: Any) -> AsyncGenerator[World]:
    config = folder / "config"
    (config / "policy").mkdir(parents=True)
    shipped = Path(__file__).resolve().parents[3] / "config" / "policy" / "roles.cedar"
    (config / "policy" / "roles.cedar").write_bytes(shipped.read_bytes())
    (config / "policy" / "ours.cedar").write_text(RULES + CAREFUL)
    (config / "profiles.yaml").write_text(PROFILES)
    box = Toybox()
    cmdb = build_cmdb(
        CmdbSettings(database_url=f"sqlite:///{folder}/cmdb.sqlite3"),
        CommonSettings(data_dir=folder / "cmdb", config_dir=config),
    )
    async with start_fleet([cmdb, box.spoke()], config_dir=config, **more) as fleet:
        yield World(fleet, box, cmdb)
