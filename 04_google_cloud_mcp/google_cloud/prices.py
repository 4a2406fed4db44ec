"""What a new instance costs a month, by the Cloud Billing Catalog, where the account says so.

The catalogue of Compute has tens of thousands of entries, so a region's few that matter are read
once a day, in the background: a person who is asked meanwhile reads that the price is unknown.
Source: cloud.google.com/billing/docs/reference/rest/v1/services.skus/list.
"""

import asyncio
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING, Any

import structlog

from flotilla import Deadline, FlotillaError
from flotilla.preview import MonthlyCost
from google_cloud.cloud import Aim, Cloud

if TYPE_CHECKING:
    from google_cloud.connections import Connection

COMPUTE_ENGINE = "services/6F81-5844-456A"
HOURS_A_MONTH = 730
_KEPT_S = 24 * 3600.0
_READING_S = 120.0
_WAIT_S = 1.5
"""A person's question waits so long for prices that are just being read."""
_MAX_PAGES = 40
_DISKS = {
    "pd-standard": "Storage PD Capacity",
    "pd-balanced": "Balanced PD Capacity",
    "pd-ssd": "SSD backed PD Capacity",
}
_PART = re.compile(
    r"(?P<spot>Spot Preemptible )?(?P<family>[A-Z][A-Z0-9]{1,3})(?: (?:AMD|Arm|Predefined))*"
    r"(?: Instance)? (?P<part>Core|Ram) running in .*"
)

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a machine is made of, as far as it is paid for."""

    region: str
    machine_type: str
    cpus: int
    memory_mb: int
    disk_type: str
    disk_size_gb: int
    spot: bool


Table = Mapping[str, tuple[float, str]]
"""Prices and their currency: `E2 core` an hour, `E2 ram` a GB and hour, `pd-ssd` a GB and month."""


class Prices:
    """The prices of regions, by account; each read at most once a day."""

    def __init__(self, cloud: Cloud, clock: Callable[[], float] = monotonic) -> None:
        self._cloud = cloud
        self._clock = clock
        self._tables: dict[tuple[str, str], tuple[float, Table]] = {}
        self._reading: dict[tuple[str, str], asyncio.Task[None]] = {}

    async def monthly(self, due: Deadline, aim: Aim, wanted: Wanted) -> MonthlyCost | None:
        """The estimate; None where it is not known, now or ever. Never an error."""
        if not aim.account.prices:
            return None
        key = (aim.alias, wanted.region)
        kept = self._tables.get(key)
        if kept is None or self._clock() - kept[0] > _KEPT_S:
            task = self._reading.get(key)
            if task is None:
                task = asyncio.create_task(self._read(key, aim))
                self._reading[key] = task
            await asyncio.wait([task], timeout=min(_WAIT_S, due.remaining_s()))
            kept = self._tables.get(key)
        return None if kept is None else estimate(kept[1], wanted)

    async def close(self) -> None:
        """End what is still being read."""
        tasks = list(self._reading.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _read(self, key: tuple[str, str], aim: Aim) -> None:
        try:
            table: dict[str, tuple[float, str]] = {}
            token, due = "", Deadline.after(_READING_S)
            for _ in range(_MAX_PAGES):
                page = await self._cloud.read(
                    due, aim, lambda google, s, token=token: _page(google, s, token)
                )
                table.update(prices_of(page.get("skus") or [], key[1]))
                token = page.get("nextPageToken") or ""
                if not token:
                    self._tables[key] = (self._clock(), table)
                    return
        except FlotillaError as error:
            log.info("google_prices_unknown", account=key[0], region=key[1], code=error.code)
        finally:
            del self._reading[key]


def prices_of(skus: list[Any], region: str) -> dict[str, tuple[float, str]]:
    """What of a page of the catalogue is a price of a machine's parts in that region. Pure."""
    found: dict[str, tuple[float, str]] = {}
    for sku in skus:
        if region not in sku.get("serviceRegions", ()):
            continue
        name = _name_of(sku)
        price = _price_of(sku)
        if name is not None and price is not None:
            found.setdefault(name, price)
    return found


def estimate(table: Table, wanted: Wanted) -> MonthlyCost | None:
    """The sum for a month of 730 hours; None where a part of it has no price. Pure."""
    family = wanted.machine_type.split("-", 1)[0].upper()
    kind = "spot " if wanted.spot else ""
    core, ram = table.get(f"{kind}{family} core"), table.get(f"{kind}{family} ram")
    disk = table.get(wanted.disk_type)
    # Small shared types are paid for by a part of a CPU, which the catalogue does not tell apart.
    shared = wanted.machine_type in ("e2-micro", "e2-small", "e2-medium", "f1-micro", "g1-small")
    if core is None or ram is None or disk is None or shared:
        return None
    hourly = core[0] * wanted.cpus + ram[0] * wanted.memory_mb / 1024
    return MonthlyCost(
        amount=round(hourly * HOURS_A_MONTH + disk[0] * wanted.disk_size_gb, 2),
        currency=core[1],
        basis="list price of CPUs, memory and boot disk for 730 hours; no licences, traffic, "
        "addresses, or discounts",
    )


def _name_of(sku: Mapping[str, Any]) -> str | None:
    category = _inside(sku, "category")
    description = str(sku.get("description", ""))
    if category.get("resourceFamily") == "Storage":
        for disk, begins in _DISKS.items():
            if description.startswith(begins) and "Regional" not in description:
                return disk
        return None
    usage = category.get("usageType")
    found = _PART.fullmatch(description)
    if found is None or usage not in ("OnDemand", "Preemptible"):
        return None
    kind = "spot " if usage == "Preemptible" else ""
    return f"{kind}{found['family']} {found['part'].lower()}"


def _price_of(sku: Mapping[str, Any]) -> tuple[float, str] | None:
    infos: list[Any] = sku.get("pricingInfo") or []
    if not infos:
        return None
    rates: list[Any] = _inside(infos[-1], "pricingExpression").get("tieredRates") or []
    if not rates:
        return None
    price = _inside(rates[-1], "unitPrice")
    units = int(price.get("units") or 0) + int(price.get("nanos") or 0) / 1e9
    return units, str(price.get("currencyCode", "USD"))


def _inside(raw: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    return raw.get(name) or {}


def _page(google: "Connection", timeout_s: float, token: str) -> dict[str, Any]:
    return google.fetched(
        f"{google.account.url_of('billing')}/v1/{COMPUTE_ENGINE}/skus",
        {
            "pageSize": "5000",
            "pageToken": token,
            "fields": "skus(description,category,serviceRegions,"
            "pricingInfo/pricingExpression/tieredRates),nextPageToken",
        },
        timeout_s,
    )
