"""Those who use the fleet all the time: they ask, decide, write, spend, make and revoke.

Each notes in the ledger what it sends and what it was told. What the fleet says no to though it
must not is raised; what a kill leaves unanswered is not.
"""

import asyncio
import hashlib
import json
import random
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from flotilla.correlation import new_correlation_id

from .house import House, NoAnswer, Refused
from .ledger import Asked, Called, Kind, Lease, Ledger, Round
from .shredder import NAMESPACE

SHRED, MARK, SPEND, LOOK = (f"{NAMESPACE}.{what}" for what in ("shred", "mark", "spend", "look"))
DECIDE = "master.approvals.decide"
LEASE = "security.secrets.leaseSecret"
ANSWERED = "flotilla.approval"
PATHS = ("db/one", "db/two", "web/three")
SPENDABLE = {"tools": [SPEND]}
NOT_NOW = frozenset(("unavailable", "timeout", "circuit_open", "upstream_error"))
"""What is told of a service that was killed: whether it did it is not known."""


class Life:
    """What the callers do between two kills; `number` is how many there were before."""

    def __init__(
        self, house: House, ledger: Ledger, number: int, seed: str, people: Mapping[str, str]
    ) -> None:
        self.house = house
        self.ledger = ledger
        self.number = number
        self.ending = False
        self.eager: Kind | None = None
        """What is to be sent soon, of what is sent seldom."""
        self.people = people
        self._random = random.Random(seed)
        self._count = 0
        self._answered: list[str] = []
        """The correlation IDs of calls, in the order in which their answers came."""

    async def run(self) -> None:
        """Until `ending` is set, and what was sent by then is answered or lost."""
        async with asyncio.TaskGroup() as tasks:
            for does in (
                self._out_of_band,
                self._out_of_band,
                self._in_client,
                self._marks,
                self._writes_secrets,
                self._spends_secrets,
                self._tokens,
            ):
                tasks.create_task(self._again_and_again(does))

    async def _again_and_again(self, does: Callable[[], Awaitable[None]]) -> None:
        while not self.ending:
            try:
                await does()
            except NoAnswer:
                await asyncio.sleep(0.01)
            except Refused as refused:
                if refused.code not in NOT_NOW:
                    raise
                await asyncio.sleep(0.01)

    def _key(self) -> str:
        self._count += 1
        return f"k{self.number}.{self._count}"

    async def _called(self, who: str, tool: str, key: str, **more: Any) -> Mapping[str, Any]:
        """A call that may write, noted; a refusal that is no trouble of a kill ran nothing."""
        correlation, what = new_correlation_id(), tool.removeprefix(f"{NAMESPACE}.")
        call = self.ledger.calls[correlation] = Called(what, key)
        call.may_run = more.pop("may_run", True)
        before = self._answered[-20:]
        try:
            with self.ledger.sending("call"):
                result = await self.house.call(
                    self.people[who], tool, correlation=correlation, key=key, **more
                )
        except Refused as refused:
            if refused.code not in NOT_NOW:
                call.answered = "refused"
                self._answered.append(correlation)
            raise
        self._answered.append(correlation)
        if result["resultType"] == "complete":
            call.answered = "well"
            self.ledger.covered += [(each, correlation) for each in before]
        else:
            call.may_run = False
        return result

    async def _out_of_band(self) -> None:
        """Ask for a call, let somebody else decide, and see how it ends."""
        key = self._key()
        try:
            await self._called("operator", SHRED, key)
        except Refused as refused:
            if refused.code != "approval_required":
                raise
            told = refused.details
        else:
            raise AssertionError("it ran, and nobody was asked")
        asked = self.ledger.approvals[told["approvalId"]] = Asked(key, in_client=False)
        await self._decide(told["approvalId"], asked)
        if asked.decided == "approve" or asked.decided == "stand":
            await self._ended(told["approvalId"], asked)
        if asked.decided == "stand":
            await self._stand(told["approvalId"], key)

    async def _decide(self, approval: str, asked: Asked) -> None:
        answer = self._random.choice(("approve", "approve", "stand", "deny"))
        said: dict[str, Any] = {"decision": "approve" if answer == "stand" else answer}
        if answer == "stand":
            said["forMinutes"] = 60
        asked.sent.add(answer)
        way = self._random.choice(("cli", "tool"))
        with self.ledger.sending("decide"):
            if way == "cli":
                await self.house.owner("POST", f"/approvals/{approval}/decide", said)
            else:
                await self.house.call(self.people["approver"], DECIDE, id=approval, **said)
        asked.decided, asked.way = answer, way

    async def _ended(self, approval: str, asked: Asked) -> None:
        while not self.ending:
            told = await self.house.owner("GET", f"/approvals/{approval}")
            if told["state"] == "done":
                asked.result = told["result"]
                assert not told["result"].get("isError"), told
                self.ledger.counts["ran out of band"] += 1
                return
            await asyncio.sleep(0.02)

    async def _stand(self, approval: str, key: str) -> None:
        """Call what is allowed for a while; sometimes take that back, and call once more."""
        self.ledger.standing[key] = True
        await self.stands(key, allowed=True)
        if self._random.random() < 0.5:
            return
        del self.ledger.standing[key]
        with self.ledger.sending("decide"):
            await self.house.owner("POST", f"/approvals/{approval}/decide", {"decision": "deny"})
        self.ledger.standing[key] = False
        await self.stands(key, allowed=False)

    async def stands(self, key: str, *, allowed: bool) -> None:
        """Call what was allowed for a while; it runs, or it waits where that was taken back."""
        try:
            await self._called("operator", SHRED, key, may_run=allowed)
        except Refused as refused:
            if allowed or refused.code != "approval_required":
                raise
        else:
            assert allowed, "it ran, though that was taken back"

    async def _in_client(self) -> None:
        """Ask at the client, say yes there, and try to use that yes again."""
        key = self._key()
        result = await self._called("operator", SHRED, key, person=True)
        assert result["resultType"] == "input_required", result
        ticket = result["requestState"]
        message: str = result["inputRequests"][ANSWERED]["params"]["message"]
        approval = message.rpartition("Approval ")[2].partition(",")[0]
        asked = self.ledger.approvals[approval] = Asked(key, in_client=True)
        asked.sent.add("approve")
        mine = Round(key, ticket)
        self.ledger.rounds.append(mine)
        with self.ledger.sending("decide"):
            await self.say_yes(mine)
        asked.decided, asked.way = "approve", "elicitation"
        self.ledger.rounds.remove(mine)
        try:
            await self.say_yes(mine)
        except Refused as refused:
            assert refused.details.get("reason") == "approval_replayed", refused
        else:
            raise AssertionError("one yes was enough for two calls")

    async def say_yes(self, mine: Round) -> None:
        said = {"action": "accept", "content": {"decision": "allow_once"}}
        more = {"requestState": mine.ticket, "inputResponses": {ANSWERED: said}}
        await self._called("operator", SHRED, mine.key, person=True, more=more)

    async def _marks(self) -> None:
        """Look, and then write what nobody is asked about."""
        correlation = new_correlation_id()
        await self.house.call(self.people["operator"], LOOK, correlation=correlation, key="any")
        self._answered.append(correlation)
        await self._called("operator", MARK, self._key())

    async def _owned(self, kind: Kind, name: str, **body: Any) -> Any:
        """An operation of the owner at the store of secrets, by its correlation ID."""
        correlation = new_correlation_id()
        with self.ledger.sending(kind):
            told = await self.house.owner(
                "POST", f"/services/secrets/operations/{name}", body, correlation=correlation
            )
        self.ledger.operations.add(correlation)
        return told

    async def _writes_secrets(self) -> None:
        path, value = self._random.choice(PATHS), f"{self._random.getrandbits(160):040x}"
        chance = self._random.random()
        if self.eager == "rewrap":
            chance /= 10
        if chance < 0.1:
            await self._owned("rewrap", "rewrap", newMasterKey=chance < 0.07, values=chance > 0.04)
        elif chance < 0.2:
            made = f"made/{self._key()}"
            told = await self._owned("write", "generate", path=made, allow=SPENDABLE)
            self._version(told, None)
            told = await self._owned("write", "rotate", path=made)
            self._version(told, None)
        else:
            told = await self._owned("write", "write", path=path, value=value, allow=SPENDABLE)
            self._version(told, value)

    def _version(self, told: Any, value: str | None) -> None:
        place = (told["path"], told["version"])
        assert place not in self.ledger.versions, f"{place} was told twice"
        self.ledger.versions[place] = value

    async def _spends_secrets(self) -> None:
        """Lease a version that is known, use it up, and try to use it again."""
        known = [(*at, value) for at, value in self.ledger.versions.items() if value is not None]
        if not known:
            await asyncio.sleep(0.01)
            return
        path, version, value = self._random.choice(known)
        with self.ledger.sending("lease"):
            told = await self.house.call(
                self.people["operator"], LEASE, path=path, tool=SPEND, version=version
            )
        digest = hashlib.sha256(value.encode()).hexdigest()
        lease = Lease(told["structuredContent"]["handle"], digest)
        self.ledger.leases.append(lease)
        await self.spend(lease)

    async def spend(self, lease: Lease) -> None:
        lease.tried = True
        with self.ledger.sending("spend"):
            result = await self._called("operator", SPEND, "any", secret=lease.handle)
        lease.spent = True
        assert lease.digest in json.dumps(result), "another value than was written"

    async def _tokens(self) -> None:
        """Make a token and use it; revoke another, which is of no use then."""
        made = {"name": f"guest-{self._key()}", "roles": ["viewer"], "robot": False}
        with self.ledger.sending("token"):
            told = await self.house.owner("POST", "/tokens", made)
        self.ledger.tokens[told["token"]["id"]] = told["secret"]
        await self.house.call(told["secret"], LOOK, key="any")
        if self._random.random() < 0.5:
            return
        which = self._random.choice(list(self.ledger.tokens))
        secret = self.ledger.tokens.pop(which)
        self.ledger.revoking.add(which)
        with self.ledger.sending("revoke"):
            await self.house.owner("DELETE", f"/tokens/{which}")
        self.ledger.revoking.remove(which)
        self.ledger.revoked[which] = secret
        await expect_refused(self.house, secret)


async def expect_refused(house: House, secret: str) -> None:
    """A token that was revoked opens nothing."""
    try:
        await house.call(secret, LOOK, key="any")
    except Refused as refused:
        assert refused.code == "unauthorized", refused
    else:
        raise AssertionError("a revoked token still counts")
