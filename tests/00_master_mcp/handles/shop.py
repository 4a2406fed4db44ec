"""A fleet with the real secrets spoke, and a shop that is given secrets and tells what it keeps."""

import base64
import json
import textwrap
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
from mcp import Client
from mcp_types import TextContent

from flotilla import CommonSettings, Conflict, Context, Model, Spoke, reads, writes
from flotilla.credentials import Credentials
from flotilla.fleet import HUB
from flotilla.secret_text import SecretText
from master import build as build_hub
from master.settings import Settings as HubSettings
from secret_store import build as build_secrets
from secret_store.settings import Settings as SecretSettings
from tests.conftest import plain_http

CORE = "Zx81Qv07kT3m"
"""So long that no signature or ticket has it by chance."""
VALUE = f'canary "{CORE}" \\ value=of/a+secret'
PATH = "shop/password"


class Told(Model):
    text: str


class Login(Model):
    user: str
    password: SecretText


FORMS = {
    "plain": lambda value: value,
    "base64": lambda value: base64.b64encode(f"a{value}".encode()).decode(),
    "wrapped": lambda value: base64.encodebytes(f"{value}{value}".encode() * 4).decode(),
    "hex": lambda value: value.encode().hex(),
    "json": lambda value: json.dumps({"inner": json.dumps(value)}),
    "narrow": lambda value: "\n".join(textwrap.wrap(value, 5, drop_whitespace=False)),
    "large": lambda value: "x" * 150_000 + value + "y" * 150_000,
}


class Shop:
    """Keeps what it is given; `needs` are stored secrets that it has the hub bring."""

    def __init__(self, needs: tuple[str, ...] = ()) -> None:
        self.given: list[str] = []
        self.asked = 0
        self.credentials = Credentials(needs)

    async def use(
        self,
        password: SecretText = "none",
        note: str = "",
        logins: list[Login] | None = None,
    ) -> Told:
        """Use passwords."""
        self.asked += 1
        self.given += [password, *(login.password for login in logins or ())]
        return Told(text=f"used {password} for {note}")

    async def fail(self, password: SecretText) -> Told:
        """Fail, and say with what."""
        raise Conflict(f"{password} is wrong", hint=f"Not {password}.", details={"was": password})

    async def report(self, password: SecretText, context: Context) -> Told:
        """Say it on the way."""
        await context.report(1, 2, f"trying {password}")
        return Told(text="done")

    async def read_back(self, form: str = "plain") -> Told:
        """Tell what was written down before."""
        return Told(text=FORMS[form](self.given[-1]))

    def spoke(self) -> Spoke:
        return Spoke(
            name="shop",
            version="1",
            instructions="Sells.",
            namespaces=("test.shop",),
            tools=(
                writes("test.shop.use", self.use, idempotent=True),
                writes("test.shop.fail", self.fail),
                writes("test.shop.report", self.report),
                reads("test.shop.readBack", self.read_back),
            ),
            credentials=self.credentials if self.credentials.needs else None,
        )


@dataclass
class House:
    fleet: Any
    shop: Shop

    async def owner(self, operation: str, **body: Any) -> Any:
        answer = await self.api("POST", f"/services/secrets/operations/{operation}", body)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def api(self, method: str, path: str, body: Any = None) -> httpx2.Response:
        token = (self.fleet.common.data_dir / "owner_token").read_text().strip()
        async with httpx2.AsyncClient(timeout=20, verify=plain_http()) as http:
            return await http.request(
                method,
                f"{self.fleet.url}/api{path}",
                json=body,
                headers={"authorization": f"Bearer {token}"},
            )

    async def store(self, value: str = VALUE, path: str = PATH, **allow: Any) -> None:
        rules = allow or {"tools": ["test.shop.*"]}
        await self.owner("write", path=path, value=value, allow=rules)

    async def lease(
        self, client: Client, tool: str = "test.shop.use", path: str = PATH, **more: Any
    ) -> str:
        asked = {"path": path, "tool": tool, **more}
        result = await client.call_tool("security.secrets.leaseSecret", asked)
        assert not result.is_error, said(result)
        return result.structured_content["handle"]

    async def release(self) -> None:
        """The shop has the value and may write it down: from now on nobody is to see it."""
        await self.store()
        async with self.fleet.client() as client:
            handle = await self.lease(client)
            result = await client.call_tool("test.shop.use", {"password": handle})
        assert not result.is_error, said(result)

    async def start_hub(self) -> None:
        """The hub that was stopped, once more."""
        fleet = self.fleet
        settings = HubSettings(mcp_config=fleet.common.data_dir.parent / "mcp.json")
        await fleet.start(HUB, lambda: build_hub(settings, fleet.common, fleet.fleet))

    async def read_back(self) -> str:
        """What a client is shown of what the shop has written down."""
        async with self.fleet.client() as client:
            result = await client.call_tool("test.shop.readBack", {})
        assert not result.is_error, said(result)
        return said(result)


def secrets_in(folder: Path) -> Spoke:
    settings = SecretSettings(database_url=f"sqlite:///{folder}/secrets.sqlite3")
    return build_secrets(settings, CommonSettings(data_dir=folder / "data"))


@asynccontextmanager
async def open_house(
    start: Any, folder: Path, shop: Shop | None = None, **more: Any
) -> AsyncGenerator[House]:
    shop = shop or Shop()
    async with start([shop.spoke(), secrets_in(folder)], **more) as fleet:
        yield House(fleet, shop)


def said(result: Any) -> str:
    """All that a client gets of a result."""
    texts = [part.text for part in result.content if isinstance(part, TextContent)]
    return json.dumps([texts, result.structured_content, result.meta], ensure_ascii=False)
