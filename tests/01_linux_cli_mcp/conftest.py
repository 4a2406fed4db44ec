"""What the tests of the Linux spoke share: the spoke itself, over folders of the test's own."""

from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from flotilla import CommonSettings, Context, Deadline, Principal, Spoke
from linux_cli import build, local_host
from linux_cli.local import LocalHost
from linux_cli.settings import Settings
from tests.called_tools import CalledTools

Call = Callable[..., Awaitable[dict[str, Any]]]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def common(tmp_path: Path) -> CommonSettings:
    data = tmp_path / "data"
    data.mkdir()
    (data / "admin_token").write_text("the-fleets-own-secret")
    return CommonSettings(data_dir=data)


@pytest.fixture
def settings() -> Settings:
    return Settings(max_jobs=3, job_output_bytes=64 * 1024)


@pytest.fixture
def host(settings: Settings, common: CommonSettings) -> LocalHost:
    return local_host(settings, common)


@pytest.fixture
def spoke(settings: Settings, common: CommonSettings) -> Spoke:
    return build(settings, common)


def context(timeout_s: float = 20, *, approved: bool = True, name: str = "ada") -> Context:
    return Context(
        principal=Principal(name),
        correlation_id="test",
        deadline=Deadline.after(timeout_s),
        approved=approved,
    )


@pytest.fixture
def make_context() -> Callable[..., Context]:
    return context


@pytest.fixture
def call(spoke: Spoke) -> Call:
    """Calls a tool by its action, approved, and returns the content or the error object."""
    return caller(spoke)


@pytest.fixture
def make_call() -> Callable[[Spoke], Call]:
    return caller


def caller(spoke: Spoke) -> Call:
    tools = CalledTools(spoke.tools)

    async def run(action: str, /, timeout_s: float = 20, **arguments: Any) -> dict[str, Any]:
        result = await tools.call(f"os.linux.{action}", arguments, context(timeout_s))
        if result["isError"]:
            error: Mapping[str, Any] = result["_meta"]["io.flotilla/error"]
            assert error["code"] != "internal", error
            return {"error": error["code"], "message": error["message"], "details": error}
        return result["structuredContent"]

    return run
