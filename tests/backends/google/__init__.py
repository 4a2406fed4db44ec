"""A Google Cloud on loopback: Compute, Storage, Resource Manager and tokens, over TLS.

    google = GoogleServer(folder)
    key = google.world.service_account("robot", ["acme-prod"])      # its key JSON
    async with google.running():
        google.account(key)       # what an account of google_cloud.yaml says to be served from here
        google.faults.throttle("/instances")

Nothing of it comes from the spoke: it follows Google's own reference of these interfaces.
"""

from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from aiohttp import web

from tests.backends.google.answers import error_body, refusing
from tests.backends.google.compute import compute_routes
from tests.backends.google.others import billing_routes, project_routes, storage_routes
from tests.backends.google.tokens import token_routes
from tests.backends.google.world import World
from tests.backends.tls_server import TlsServer

__all__ = ["GoogleServer", "World"]


class GoogleServer:
    """All of Google at one address; `world` is what there is."""

    def __init__(self, folder: Path) -> None:
        self.world = World()
        self.folder = folder
        application = web.Application(middlewares=[refusing])
        for routes in (
            compute_routes,
            storage_routes,
            project_routes,
            token_routes,
            billing_routes,
        ):
            application.add_routes(routes(self.world))
        self.tls = TlsServer(application, folder)
        self.faults = self.tls.faults
        self.faults.body_of_status = lambda status: error_body(status, "told to fail")

    @property
    def url(self) -> str:
        return self.tls.url

    @asynccontextmanager
    async def running(self) -> AsyncGenerator["GoogleServer"]:
        async with self.tls.running():
            self.world.url = self.tls.url
            try:
                yield self
            finally:
                self.world.let_go.set()

    def account(self, key: str | None, **more: Any) -> Mapping[str, Any]:
        """An entry of `accounts:`; `key` is where the key is: `secret:...` or a file."""
        url = self.url
        return {
            **({} if key is None else {"credential": "service_account", "key": key}),
            "ca_file": str(self.tls.trusted),
            "endpoints": {
                "compute": url,
                "storage": url,
                "resource_manager": url,
                "token": f"{url}/token",
                "iam_credentials": url,
                "billing": url,
            },
            **more,
        }

    def paths(self, method: str = "", part: str = "") -> list[str]:
        """What was asked of it so far: the paths of requests of that method with that part."""
        return [
            each.path
            for each in self.tls.asked
            if each.method.startswith(method) and part in each.path
        ]
