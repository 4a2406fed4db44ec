"""The spoke's tools without a hub before them: what they do in detail is tried so, many at once."""

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from flotilla import CommonSettings, Context, Deadline, Principal, Spoke
from flotilla.context import report_nothing
from flotilla.preview import Foreseen
from k8s import build
from k8s.settings import Settings
from tests.backends.kube.emulator import KubeEmulator
from tests.backends.tls_server import TlsServer
from tests.called_tools import CalledTools

Report = Callable[[float, float | None, str | None], Awaitable[None]]


@dataclass
class BareKube:
    """Calls tools by their action, approved, as the hub would."""

    spoke: Spoke
    kube: KubeEmulator
    server: TlsServer
    deadline_s: float = 30
    report: Report = report_nothing
    tools: CalledTools = field(init=False)

    def __post_init__(self) -> None:
        self.tools = CalledTools(self.spoke.tools)

    async def __call__(self, tool: str, **arguments: Any) -> dict[str, Any]:
        result = await self.raw(tool, **arguments)
        assert not result["isError"], result["content"][0]["text"]
        return result["structuredContent"]

    async def refused(self, code: str, tool: str, **arguments: Any) -> dict[str, Any]:
        """The error object of a call that must fail with that code."""
        result = await self.raw(tool, **arguments)
        assert result["isError"], result["structuredContent"]
        error = result["_meta"]["io.flotilla/error"]
        assert error["code"] == code, error
        return error

    async def raw(self, tool: str, **arguments: Any) -> dict[str, Any]:
        context = Context(
            principal=Principal("ada"),
            correlation_id="test",
            deadline=Deadline.after(self.deadline_s),
            approved=True,
            report=self.report,
        )
        arguments = {"cluster": "main", **arguments}
        return await self.tools.call(f"infra.k8s.{tool}", arguments, context)

    async def foreseen(self, tool: str, **arguments: Any) -> Foreseen:
        """What an approval of the call would show: the operation that its preview names."""
        wanted = next(each for each in self.spoke.tools if each.name == f"infra.k8s.{tool}")
        preview = wanted.preview
        assert preview is not None
        operation = next(each for each in self.spoke.operations if each.name == preview.operation)
        given = {"cluster": "main", **arguments}
        taken = {mine: given[theirs] for mine, theirs in preview.taken.items() if theirs in given}
        found = await operation.run(operation.takes.model_validate({**taken, **preview.fixed}))
        assert isinstance(found, Foreseen)
        return found

    def asked(self, path: str) -> list[str]:
        """The requests of the API server, `GET /path?query`, that have `path` in them."""
        told = (f"{each.method} {each.path}" for each in self.server.asked)
        return [each for each in told if path in each]


def spoke_of(
    folder: Path, url: str, trusted: Path, settings: Mapping[str, Any] | None = None
) -> Spoke:
    """The spoke with clusters `main` and `reader` at one server, and their tokens in `folder`."""
    clusters: dict[str, Any] = {}
    for alias, user in (("main", "admin"), ("reader", "reader")):
        token = folder / f"{user}.token"
        token.write_text(f"{user}-token\n")
        clusters[alias] = {"server": url, "ca_file": str(trusted), "token": str(token)}
    file = folder / "k8s.yaml"
    file.write_text(yaml.safe_dump({"clusters": clusters}))
    wanted = Settings(config=file, kubeconfig="none", **(settings or {}))
    return build(wanted, CommonSettings(data_dir=folder / "data"), env={})


StartBare = Callable[..., AbstractAsyncContextManager[BareKube]]


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Certificates are made once."""
    return tmp_path_factory.mktemp("kube-tls")


@pytest.fixture
def start_bare(tmp_path: Path, authority: Path) -> StartBare:
    """`start_bare(kube, settings={...}, deadline_s=...)`."""

    @asynccontextmanager
    async def started(
        kube: KubeEmulator, settings: Mapping[str, Any] | None = None, **more: Any
    ) -> AsyncGenerator[BareKube]:
        server = TlsServer(kube.application, authority)
        async with server.running():
            spoke = spoke_of(tmp_path, server.url, server.trusted, settings)
            async with spoke.lifespan():
                yield BareKube(spoke, kube, server, **more)

    return started
