"""One account's connection to Azure: the SDK's pipeline, loaded and opened on first use.

The SDK signs in, renews tokens and answers claims challenges. Left out of its pipeline on purpose:
the registration of resource providers (a reading call must not write), redirects (a token goes to
no other host), and its own retries (ours know the deadline of the call).
"""

import asyncio
import json
import ssl
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast

import orjson

from azure_cloud.account import AzureAccount
from azure_cloud.signing_in import credential_of
from flotilla import NotConfigured, UpstreamError
from flotilla.credentials import Credentials
from flotilla.upstream import whole

if TYPE_CHECKING:
    import aiohttp
    from azure.core.credentials_async import AsyncTokenCredential

_SDK = (
    "aiohttp",
    "azure.core.pipeline.policies",
    "azure.core.pipeline.transport",
    "azure.core.rest",
    "azure.identity.aio",
    "azure.mgmt.core.policies",
)

MAX_BODY_BYTES = 32 * 1024 * 1024
CONNECT_TIMEOUT_S = 10.0
KEEP_ALIVE_S = 60.0


class PipelineClient(Protocol):
    """What is used of the SDK's AsyncARMPipelineClient."""

    send_request: Callable[..., Awaitable[Any]]
    close: Callable[[], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer of Azure; names of `headers` are in lower case, `body` None where there is none."""

    status: int
    headers: Mapping[str, str]
    body: Any


class Wire:
    """Open until it is closed; one session for signing in and for requests."""

    def __init__(
        self,
        session: "aiohttp.ClientSession",
        client: PipelineClient,
        credential: "AsyncTokenCredential",
    ) -> None:
        self._session = session
        self._client = client
        self._credential = credential
        self.running = 0
        """Requests that are under way."""

    @classmethod
    async def opened(cls, account: AzureAccount, credentials: Credentials, agent: str) -> "Wire":
        """Raises NotConfigured where the account cannot sign in as it stands."""
        # It takes a quarter of a second of importing, beside which others go on.
        await asyncio.to_thread(_load_sdk)
        import aiohttp
        from azure.core.pipeline.policies import (
            HeadersPolicy,
            RequestIdPolicy,
            UserAgentPolicy,
        )
        from azure.core.pipeline.transport import AioHttpTransport
        from azure.mgmt.core import AsyncARMPipelineClient
        from azure.mgmt.core.policies import AsyncARMChallengeAuthenticationPolicy

        # The SDK's transport would make a context, and so a connection, for every single request.
        connector = aiohttp.TCPConnector(
            ssl=_trusting(account.ca_file), keepalive_timeout=KEEP_ALIVE_S
        )
        session = aiohttp.ClientSession(
            connector=connector,
            trust_env=True,
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
        )

        def transport() -> Any:
            return AioHttpTransport(session=session, session_owner=False)

        try:
            credential = credential_of(account, credentials, transport)
        except BaseException:
            await session.close()
            raise
        policies = [
            RequestIdPolicy(),
            HeadersPolicy(),
            UserAgentPolicy(base_user_agent=agent),
            AsyncARMChallengeAuthenticationPolicy(credential, account.scope),
        ]
        client = cast(
            "PipelineClient",
            AsyncARMPipelineClient(account.endpoint, policies=policies, transport=transport()),
        )
        return cls(session, client, credential)

    async def ask(
        self, method: str, url: str, headers: Mapping[str, str], body: Any, timeout_s: float
    ) -> Answer:
        """One request. Raises the SDK's errors, TooLarge and UpstreamError."""
        from azure.core.rest import HttpRequest

        content = None if body is None else orjson.dumps(body)
        sent = {"Accept": "application/json", **headers}
        if content is not None:
            sent["Content-Type"] = "application/json"
        request = HttpRequest(method, url, headers=sent, content=content)
        response = await self._client.send_request(
            request,
            stream=True,
            connection_timeout=min(CONNECT_TIMEOUT_S, timeout_s),
            read_timeout=timeout_s,
        )
        try:
            raw = await whole(
                response.iter_bytes(),
                MAX_BODY_BYTES,
                f"Azure answers with over {MAX_BODY_BYTES >> 20} MiB",
                hint="Ask for fewer items or a narrower part.",
            )
            known = {name.lower(): str(value) for name, value in response.headers.items()}
            return Answer(response.status_code, known, _json(raw, response.status_code))
        finally:
            await response.close()

    async def close(self) -> None:
        await self._client.close()
        await self._credential.close()
        await self._session.close()


def _load_sdk() -> None:
    for name in _SDK:
        import_module(name)


def _trusting(ca_file: Path | None) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=ca_file)
    except (OSError, ssl.SSLError) as error:
        raise NotConfigured(
            f"the account's ca_file {ca_file} cannot be used: {error.strerror or error}"
        ) from None


def _json(raw: bytes, status: int) -> Any:
    if not raw.strip():
        return None
    try:
        return json.loads(raw) if raw.startswith(b"\xef\xbb\xbf") else orjson.loads(raw)
    except ValueError:
        if status >= 400:
            return None  # the page of a gateway on the way: its status says enough
        raise UpstreamError(
            "Azure's answer breaks off or is no JSON", details={"reason": "broken_answer"}
        ) from None
