"""What a virtual machine costs in a month, by Azure's public price list; asked without credentials.

Source: Azure Retail Prices REST API.
"""

import asyncio
import ssl
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson
import structlog

from azure_cloud.reading import each_of, text_at
from azure_cloud.settings import OFF
from flotilla.preview import MonthlyCost

if TYPE_CHECKING:
    import aiohttp

log = structlog.get_logger(__name__)

HOURS = 730
TIMEOUT_S = 4.0
MOST_BYTES = 2 * 1024 * 1024
MOST_KNOWN = 500
_VERSION = "2023-01-01-preview"
_CHEAPER = ("spot", "low priority")


class Prices:
    """Prices by region, size and system, kept while the spoke runs; a failure is no price."""

    def __init__(self, url: str, ca_file: Path | None = None) -> None:
        self._url = None if url == OFF else url
        self._ca_file = ca_file
        self._session: aiohttp.ClientSession | None = None
        self._known: dict[tuple[str, str, bool], MonthlyCost] = {}

    @asynccontextmanager
    async def opened(self) -> AsyncGenerator[None]:
        try:
            yield
        finally:
            if self._session is not None:
                await self._session.close()
                self._session = None

    async def of_machine(self, location: str, size: str, *, windows: bool) -> MonthlyCost | None:
        """The estimate; None where there is none, for whatever reason."""
        if self._url is None:
            return None
        from aiohttp import ClientError

        key = (location.lower(), size.lower(), windows)
        if key in self._known:
            return self._known[key]
        try:
            async with asyncio.timeout(TIMEOUT_S):
                items = await self._asked(self._url, location, size)
        except (TimeoutError, ClientError, OSError, ValueError) as error:
            log.info("azure_price_unknown", size=size, kind=type(error).__name__)
            return None
        found = cost_of(items, location, size, windows=windows)
        if found is not None:
            if len(self._known) >= MOST_KNOWN:
                self._known.clear()
            self._known[key] = found
        return found

    async def _asked(self, url: str, location: str, size: str) -> Any:
        from aiohttp import ClientSession, TCPConnector

        session = self._session
        if session is None:
            context = ssl.create_default_context(cafile=self._ca_file)
            connector = TCPConnector(ssl=context, limit=2)
            session = ClientSession(connector=connector, trust_env=True)
            self._session = session
        condition = (
            "serviceName eq 'Virtual Machines' and priceType eq 'Consumption'"
            f" and armRegionName eq '{location.lower()}' and armSkuName eq '{size}'"
        )
        query = {"api-version": _VERSION, "$filter": condition}
        async with session.get(url, params=query, allow_redirects=False) as response:
            response.raise_for_status()
            raw = await response.content.read(MOST_BYTES)
            while not response.content.at_eof():
                part = await response.content.read(MOST_BYTES)
                raw += part
                if len(raw) > MOST_BYTES:
                    raise ValueError("the price list is too long")
        return orjson.loads(raw)


def cost_of(answer: Any, location: str, size: str, *, windows: bool) -> MonthlyCost | None:
    """The cheapest plain price by the hour among the items of an answer. Pure."""
    items = each_of(answer.get("Items")) if isinstance(answer, dict) else []  # pyright: ignore[reportUnknownMemberType, reportUnknownArgumentType]
    fitting = [each for each in items if _plain(each, windows=windows)]
    if not fitting:
        return None
    cheapest = min(fitting, key=_hourly)
    price, currency = _hourly(cheapest), text_at(cheapest, "currencyCode") or "USD"
    system = "Windows" if windows else "Linux"
    return MonthlyCost(
        amount=round(price * HOURS, 2),
        currency=currency,
        basis=(
            f"{HOURS} hours of {size} ({system}) in {location} at the list price of {price:g} "
            f"{currency} an hour; without disks, addresses, traffic, discounts and taxes"
        ),
    )


def _plain(item: Mapping[str, Any], *, windows: bool) -> bool:
    names = f"{item.get('skuName')} {item.get('meterName')}".lower()
    return (
        item.get("unitOfMeasure") == "1 Hour"
        and isinstance(item.get("retailPrice"), int | float)
        and item.get("type", "Consumption") == "Consumption"
        and not any(word in names for word in _CHEAPER)
        and ("windows" in str(item.get("productName")).lower()) == windows
    )


def _hourly(item: Mapping[str, Any]) -> float:
    return float(item["retailPrice"])
