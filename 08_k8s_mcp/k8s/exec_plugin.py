"""Tokens from a kubeconfig's `exec` plugin, where the operator allows them.

A plugin is a program that runs as this service does: it gets an environment of its own, a time
limit and a bound for what it prints, and what it says goes into no error.
Source: client.authentication.k8s.io/v1, ExecCredential.
"""

import asyncio
import json
import os
import signal
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import structlog

from flotilla.context import Deadline
from flotilla.errors import NotConfigured, TimedOut

log = structlog.get_logger(__name__)

TIMEOUT_S = 15.0
MAX_OUTPUT_BYTES = 64 * 1024
EARLY_S = 60.0
"""A token is renewed so long before it ends."""
KEPT = ("PATH", "HOME", "LANG", "TZ", "TMPDIR", "HTTPS_PROXY", "NO_PROXY", "SSL_CERT_FILE")


@dataclass(frozen=True, slots=True, kw_only=True)
class Plugin:
    """The program and what it is given: `env` is what the kubeconfig adds."""

    command: str
    args: tuple[str, ...]
    api_version: str
    env: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    folder: str = "/"
    install_hint: str = ""


@dataclass(frozen=True, slots=True)
class Issued:
    """What a plugin printed."""

    token: str = field(repr=False)
    ends_at: datetime | None


class FromPlugin:
    """Runs the plugin when there is no token that is still good; one run at a time."""

    def __init__(
        self, plugin: Plugin, now: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._plugin = plugin
        self._now = now
        self._issued: Issued | None = None
        self._one_at_a_time = asyncio.Lock()

    async def token(self, due: Deadline) -> str:
        async with self._one_at_a_time:
            if self._issued is None or self._ends(self._issued):
                self._issued = issued(self._plugin, await printed(self._plugin, due))
            return self._issued.token

    def stale(self) -> None:
        self._issued = None

    def _ends(self, issued: Issued) -> bool:
        if issued.ends_at is None:
            return False
        return (issued.ends_at - self._now()).total_seconds() < EARLY_S


async def printed(plugin: Plugin, due: Deadline) -> bytes:
    """What the plugin prints; it is killed at the deadline, or when whoever waits goes away."""
    asked: dict[str, Any] = {"apiVersion": plugin.api_version, "kind": "ExecCredential", "spec": {}}
    env = {name: os.environ[name] for name in KEPT if name in os.environ}
    env |= plugin.env
    env["KUBERNETES_EXEC_INFO"] = json.dumps(asked)
    try:
        process = await asyncio.create_subprocess_exec(
            plugin.command,
            *plugin.args,
            env=env,
            cwd=plugin.folder,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            # So that what it starts in its turn can be ended with it.
            start_new_session=True,
        )
    except OSError as error:
        raise NotConfigured(
            f"the exec plugin {plugin.command!r} cannot be started: {error.strerror}",
            hint=plugin.install_hint or "Install it where this service runs.",
        ) from None
    try:
        async with asyncio.timeout(due.no_later_than(TIMEOUT_S).remaining_s()):
            assert process.stdout is not None
            # One byte more than is taken, so that too much is seen as such.
            raw = b""
            while part := await process.stdout.read(MAX_OUTPUT_BYTES + 1 - len(raw)):
                raw += part
            if len(raw) > MAX_OUTPUT_BYTES:
                raise NotConfigured(f"the exec plugin {plugin.command!r} prints too much")
            status = await process.wait()
    except TimeoutError:
        raise TimedOut(f"the exec plugin {plugin.command!r} did not answer in time") from None
    finally:
        if process.returncode is None:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
    if status != 0:
        log.warning("k8s_exec_plugin_failed", command=plugin.command, status=status)
        raise NotConfigured(
            f"the exec plugin {plugin.command!r} ended with status {status}",
            hint="Run it by hand where this service runs; often a login has ended.",
        )
    return raw


def issued(plugin: Plugin, raw: bytes) -> Issued:
    """The token in what a plugin printed; NotConfigured for anything else. Pure."""
    try:
        parsed: Any = json.loads(raw)
        status: Any = parsed["status"]
        version: Any = parsed["apiVersion"]
        token: Any = status.get("token")
        ends: Any = status.get("expirationTimestamp")
        ends_at = datetime.fromisoformat(str(ends).replace("Z", "+00:00")) if ends else None
    except (ValueError, TypeError, KeyError, AttributeError):
        raise NotConfigured(f"the exec plugin {plugin.command!r} printed no credential") from None
    if version != plugin.api_version:
        raise NotConfigured(f"the exec plugin {plugin.command!r} speaks another version")
    if not isinstance(token, str) or not token:
        raise NotConfigured(
            f"the exec plugin {plugin.command!r} gave no token",
            hint="Plugins that give client certificates are not supported.",
        )
    return Issued(token, ends_at)
