"""The external servers of the host as all workers but the lead have them: behind its door."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, closing
from time import monotonic

import structlog
from pydantic import BaseModel, ConfigDict, ValidationError
from typing_extensions import override

from flotilla import FlotillaError, UpstreamError
from flotilla.backoff import delay_s
from master import rpc
from master.call import Call
from master.catalogue import Catalogue
from master.entry import Approval, Origin
from master.result import Result
from master.upstream.http import Http
from master.upstream.link import Link
from master.upstream.links import Links
from master.upstream.modern import Modern
from master.upstream.transport.target import Target
from master.workers.colleagues import LENT, Colleagues
from master.workers.lent import HOLD_S
from master.workers.loans import restored

log = structlog.get_logger(__name__)

RETRY_CAP_S = 1.0
MAX_LIST_BYTES = 4 * 1024 * 1024


class Loan(BaseModel):
    """One server that the lead runs, with what this process decides of its calls by."""

    model_config = ConfigDict(frozen=True)

    name: str
    approval: Approval
    timeout_s: float
    long_timeout_s: float


class _List(BaseModel):
    known: str
    servers: tuple[Loan, ...]


class Lender(Modern):
    """Speaks with a server through the process of the hub that runs it."""

    @override
    async def send(self, call: Call) -> Result:
        try:
            return await super().send(call)
        except rpc.RpcError as refusal:
            raise restored(refusal) from None


def lender(address: str, name: str, colleagues: Colleagues) -> Lender:
    """To the server of that name at the process with this private address."""
    http = Http(name, f"{address}{LENT}/{name}/mcp", colleagues.pool)
    return Lender(http, colleagues.authority)


class BorrowedServers:
    """Keeps the links to what the host's lead lends, as its list changes."""

    def __init__(self, colleagues: Colleagues, catalogue: Catalogue, links: Links) -> None:
        self._address = colleagues.place.addresses[0]
        self._colleagues = colleagues
        self._catalogue = catalogue
        self._links = links
        self._loans: dict[str, Loan] = {}

    def limits(self, name: str) -> tuple[float, float] | None:
        """The time limits of a server's calls in seconds; None where the name is none of these."""
        loan = self._loans.get(name)
        return None if loan is None else (loan.timeout_s, loan.long_timeout_s)

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        """The list is followed within."""
        following = asyncio.create_task(self._follow())
        try:
            yield
        finally:
            following.cancel()
            await asyncio.wait({following})

    async def _follow(self) -> None:
        known, failures = "", 0
        while True:
            try:
                told = await self._asked(known)
            except FlotillaError as error:
                # The lead is being started again; its servers are away meanwhile, and stay listed.
                failures += 1
                if failures == 1:
                    log.warning("lead_away", reason=error.message)
                await asyncio.sleep(delay_s(failures, cap_s=RETRY_CAP_S))
                continue
            known, failures = told.known, 0
            await self._keep({loan.name: loan for loan in told.servers})

    async def _asked(self, known: str) -> _List:
        target = Target.of(f"{self._address}{LENT}/list?known={known}", "the hub's first worker")
        due_at = monotonic() + HOLD_S + 5.0
        headers = self._colleagues.authority.of_hub()
        client = self._colleagues.pool.client(target)
        with closing(await client.request("GET", target, headers, due_at=due_at)) as response:
            body = await response.begin(MAX_LIST_BYTES)
        try:
            return _List.model_validate_json(body)
        except ValidationError:
            raise UpstreamError(f"no list came, but HTTP {response.status}") from None

    async def _keep(self, loans: dict[str, Loan]) -> None:
        for name, loan in list(self._loans.items()):
            if loans.get(name) != loan:
                del self._loans[name]
                await self._links.remove(name)
                self._links.gone(name, self._catalogue.remove(name))
        for name, loan in loans.items():
            if name not in self._loans:
                self._loans[name] = loan
                self._catalogue.add(name, Origin(external=True, approval=loan.approval))
                speaker = lender(self._address, name, self._colleagues)
                self._links.join(Link(name, speaker, self._links))
