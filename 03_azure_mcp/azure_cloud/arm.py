"""Requests to Resource Manager as one account: within the call's deadline, throttling obeyed."""

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping
from types import MappingProxyType
from typing import Any
from urllib.parse import urlencode

import structlog

from azure_cloud.account import AzureAccount
from azure_cloud.arm_errors import asked_pause, failure
from azure_cloud.ids import is_guid
from azure_cloud.wire import Answer, Wire
from flotilla import (
    Context,
    FlotillaError,
    NotConfigured,
    TimedOut,
    Unavailable,
    UpstreamError,
)
from flotilla.upstream import DEFAULT_RETRY_AFTER_S, retry_after_s

log = structlog.get_logger(__name__)

Query = Mapping[str, str]
NOTHING: Query = MappingProxyType({})
CORRELATION_HEADER = "x-ms-correlation-request-id"
NOT_SENT = "not_sent"
MOST_TRIES = 3
MARGIN_S = 0.5
"""Of the deadline, kept for the answer's own way back."""
_AADSTS = re.compile(r"AADSTS\d+:[^\r\n]*")


def pause_before_retry(
    reading: bool, status: int, retry_after: str | None, tries: int, left_s: float
) -> float | None:
    """Seconds to wait before the same request again; None: do not.

    A 429 was refused before any work, so that every method may come again; a 503 that says when is
    one that only reads. Never beyond what is left.
    """
    if tries >= MOST_TRIES:
        return None
    asked_s = retry_after_s(retry_after)
    if status == 429:
        pause_s = DEFAULT_RETRY_AFTER_S if asked_s is None else asked_s
    elif status == 503 and asked_s is not None and reading:
        pause_s = asked_s
    else:
        return None
    return pause_s if pause_s + MARGIN_S < left_s else None


class Arm:
    """One account; its connection is opened on first use, and anew when its secrets change."""

    def __init__(
        self,
        alias: str,
        account: AzureAccount,
        connect: Callable[[AzureAccount], Awaitable[Wire]],
        *,
        request_timeout_s: float,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.alias = alias
        self.account = account
        self._connect = connect
        self._request_timeout_s = request_timeout_s
        self._sleep = sleep
        self._wire: Wire | None = None
        self._opening = asyncio.Lock()
        self._retired: set[Wire] = set()

    @property
    def endpoint(self) -> str:
        return self.account.endpoint

    async def get(self, path: str, version: str, context: Context, query: Query = NOTHING) -> Any:
        """The body of a GET."""
        return (await self.ask("GET", path, context, version=version, query=query)).body

    async def ask(
        self,
        method: str,
        path: str,
        context: Context,
        *,
        version: str | None = None,
        query: Query = NOTHING,
        body: Any = None,
        headers: Mapping[str, str] = NOTHING,
        reading: bool = False,
    ) -> Answer:
        """The answer to a request; `path` is ready for a URL and may bring its own query.

        `reading`: it changes nothing, though it is no GET. Raises the FlotillaError of any answer
        that is no success.
        """
        url = self._url(path, version, query)
        sent = dict(headers)
        if is_guid(context.correlation_id):
            sent[CORRELATION_HEADER] = context.correlation_id
        reading = reading or method == "GET"
        tries = 0
        while True:
            tries += 1
            left_s = context.deadline.remaining_s() - MARGIN_S
            answer = await self._once(method, url, sent, body, left_s, reading)
            if 200 <= answer.status < 300:
                return answer
            after = asked_pause(answer.headers)
            pause_s = pause_before_retry(
                reading, answer.status, after, tries, context.deadline.remaining_s()
            )
            if pause_s is None:
                raise failure(answer.status, answer.headers, answer.body)
            log.info("azure_throttles", account=self.alias, status=answer.status, pause_s=pause_s)
            await self._sleep(pause_s)

    def renew(self) -> None:
        """The secrets have changed: what comes next signs in anew, what runs ends as it began."""
        if self._wire is not None:
            self._retired.add(self._wire)
            self._wire = None

    async def close(self) -> None:
        self.renew()
        for wire in list(self._retired):
            self._retired.discard(wire)
            await wire.close()

    def _url(self, path: str, version: str | None, query: Query) -> str:
        pairs = {**({} if version is None else {"api-version": version}), **query}
        if not pairs:
            return f"{self.endpoint}{path}"
        joint = "&" if "?" in path else "?"
        return f"{self.endpoint}{path}{joint}{urlencode(pairs)}"

    async def _once(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: Any,
        left_s: float,
        reading: bool,
    ) -> Answer:
        timeout_s = min(self._request_timeout_s, left_s)
        if timeout_s <= 0:
            raise TimedOut("no time is left to ask Azure")
        wire = await self._connected()
        wire.running += 1
        try:
            async with asyncio.timeout(timeout_s):
                return await wire.ask(method, url, headers, body, timeout_s)
        except FlotillaError as error:
            raise _doubtful(error, reading) from None
        except TimeoutError:
            raise _doubtful(
                TimedOut(f"Azure did not answer within {timeout_s:.0f} s"), reading
            ) from None
        except Exception as error:  # noqa: BLE001 - the SDK's errors; all others go on
            raise _doubtful(_of_sdk(error, timeout_s), reading) from None
        finally:
            wire.running -= 1
            await self._close_idle()

    async def _connected(self) -> Wire:
        if self._wire is None:
            async with self._opening:
                if self._wire is None:
                    self._wire = await self._connect(self.account)
        return self._wire

    async def _close_idle(self) -> None:
        for wire in [each for each in self._retired if each.running == 0]:
            self._retired.discard(wire)
            await wire.close()


def _of_sdk(error: Exception, timeout_s: float) -> FlotillaError:
    """The error of ours for one of the SDK's; raises what is none of its."""
    from aiohttp import ClientConnectorError
    from azure.core import exceptions as sdk

    if isinstance(error, sdk.ClientAuthenticationError):
        # Of what Entra says only its own sentence: the rest is advice about the SDK.
        found = _AADSTS.search(str(error.message))
        said = found[0][:300] if found else "nothing in its environment lets it sign in"
        return NotConfigured(
            f"the account cannot sign in to Azure: {said}",
            hint="Mend the account in azure.yaml or the SDK's environment.",
            details={"reason": "sign_in_failed"},
        )
    if isinstance(error, sdk.ServiceRequestTimeoutError | sdk.ServiceResponseTimeoutError):
        return TimedOut(f"Azure did not answer within {timeout_s:.0f} s")
    if isinstance(error, sdk.IncompleteReadError | sdk.ServiceResponseError | sdk.DecodeError):
        return UpstreamError(
            "the connection to Azure broke off within the answer",
            details={"reason": "connection_lost"},
        )
    if isinstance(error, sdk.ServiceRequestError):
        cause = error.inner_exception
        unsent = {"reason": NOT_SENT} if isinstance(cause, ClientConnectorError) else {}
        return Unavailable(
            f"Azure cannot be reached: {type(cause or error).__name__}",
            hint="Look at the network, the proxy and the addresses in azure.yaml.",
            details=unsent,
        )
    if isinstance(error, OSError):
        # Of a file that the account signs in with.
        return NotConfigured(
            f"the account cannot sign in to Azure: {error.strerror or type(error).__name__}",
            details={"reason": "sign_in_failed"},
        )
    if isinstance(error, sdk.AzureError):
        return UpstreamError(f"the request to Azure failed: {type(error).__name__}")
    raise error


def _doubtful(error: FlotillaError, reading: bool) -> FlotillaError:
    """The error, saying of a change whose answer was lost that it may have happened."""
    if reading or isinstance(error, NotConfigured):
        return error
    if error.details.get("reason") == NOT_SENT:
        return error
    error.hint = "The request may have reached Azure: look at the target before you repeat it."
    error.details["outcome"] = "unknown"
    return error
