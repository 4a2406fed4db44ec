"""A fleet that is killed at any moment loses nothing that it acknowledged, and does nothing twice.

Hub, store of secrets and a spoke with effects are processes of their own, as people start them;
callers use them all the time, and what they were told is compared with what is there after each
kill. SIGKILL ends a process, not the machine: what the kernel has taken survives it.
"""

import asyncio
import random
import secrets
import shutil
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import asyncpg
import pytest

from tests.backends.postgres_server import Postgres
from tests.conftest import until

from .callers import Life
from .findings import Findings
from .house import HUB, SCRIPTS, SECRETS, House, opened_house
from .ledger import Kind, Ledger

pytestmark = pytest.mark.anyio

VICTIMS = ((HUB,), (HUB,), (SECRETS,), (HUB, SECRETS))
MOMENTS: tuple[Kind | None, ...] = (
    *(None, "decide", "call", "write"),
    *("rewrap", "spend", "token", "revoke", "lease"),
)
"""What a kill follows; None: nothing but the clock."""
AT_START = 0.2
"""How often what was killed is killed once more while it starts again."""
ANSWERS = (1, 25)
"""How many answers the callers get in one life before its end draws near."""
USUAL_S = 0.03
"""What a request takes of which there was none yet."""
LONGEST_S = 0.5
"""How long is waited for what the kill is to follow, which may never come."""


async def survive(
    folder: Path, kills: int, seed: int, *, database_url: str | None = None, patient: bool = False
) -> None:
    """Kill so often; after each kill everything that was ever acknowledged must hold."""
    chance, ledger, hit = random.Random(seed), Ledger(), Counter[str]()
    async with opened_house(folder, database_url) as house:
        people = {name: await _token(house, name) for name in ("operator", "approver")}
        findings = Findings(house, ledger, database_url)
        for number in range(kills):
            life = Life(house, ledger, number, f"{seed}.{number}", people)
            moment = chance.choice(MOMENTS)
            victims = chance.choice(VICTIMS if moment != "rewrap" else VICTIMS[2:])
            open_then = await _lived(life, victims, moment, chance)
            hit["requests open at a kill"] += open_then
            hit["kills in the middle of something"] += open_then > 0
            hit[f"kills of {' and '.join(victims)}"] += 1
            if SECRETS in victims:
                await findings.of_secrets(folder / "copy")
            if chance.random() < AT_START:
                await _killed_at_start(house, victims, chance)
                hit["kills in the middle of a start"] += 1
            await house.start(*victims)
            await findings.of_all(Life(house, ledger, number, f"{seed}.{number}.after", people))
        if patient:
            # What was allowed, and had not begun when its hub was killed, runs by itself.
            await until(findings.all_began, within_s=30)
            await findings.of_all(Life(house, ledger, kills, f"{seed}", people))
    print(f"\nseed {seed}: {dict(hit)}, {dict(sorted(ledger.counts.items()))}")
    states = Counter(each.last_state for each in ledger.approvals.values())
    print(
        f"approvals {dict(states)}, effects {findings.effects}, "
        f"audit rows {findings.book.last}, versions {len(ledger.versions)}"
    )
    assert hit["kills in the middle of something"] > kills / 2
    assert ledger.acknowledged > kills * ANSWERS[0]
    assert findings.effects and ledger.versions
    # The callers also revoke them: after a few kills there may be none left.
    assert ledger.tokens or kills < 10


async def _lived(
    life: Life, victims: tuple[str, ...], moment: Kind | None, chance: random.Random
) -> int:
    """Let the callers work until the victims are killed, and until they know what they were told.

    The kill comes at some moment between the sending of a kind of request and when its answer is
    expected, or a little later. Returns how many requests were open then.
    """
    ledger, sent = life.ledger, asyncio.Event()
    enough = ledger.acknowledged + chance.randint(*ANSWERS)
    share = chance.uniform(0, 1.2)

    def on_sending(kind: Kind) -> None:
        if moment in (None, kind):
            sent.set()

    working = asyncio.create_task(life.run())
    waiting = asyncio.create_task(sent.wait())
    try:
        await until(lambda: working.done() or ledger.acknowledged >= enough, within_s=30)
        ledger.on_sending, life.eager = on_sending, moment
        await asyncio.wait([working, waiting], timeout=LONGEST_S, return_when="FIRST_COMPLETED")
        await asyncio.wait([working], timeout=share * ledger.took_s.get(moment or "call", USUAL_S))
    finally:
        open_then = ledger.open
        life.house.kill(*victims)
        life.ending = True
        ledger.on_sending = lambda _: None
        waiting.cancel()
    await asyncio.wait_for(working, 25)
    await life.house.reap(*victims)
    return open_then


async def _killed_at_start(house: House, victims: tuple[str, ...], chance: random.Random) -> None:
    await house.launch(*victims)
    # No wait for anything: a moment of chance, which is what is tested.
    await asyncio.sleep(chance.uniform(0, house.start_s))
    house.kill(*victims)
    await house.reap(*victims)


async def _token(house: House, name: str) -> str:
    made = {"name": name, "roles": [name], "robot": False}
    told: Mapping[str, str] = await house.owner("POST", "/tokens", made)
    return told["secret"]


async def test_a_few_kills_lose_nothing_and_do_nothing_twice(tmp_path: Path) -> None:
    await survive(tmp_path, 3, 1)


@pytest.mark.real
@pytest.mark.timeout(300)
@pytest.mark.parametrize("seed", [11, 12, 13, 14])
async def test_a_hundred_kills_lose_nothing_and_do_nothing_twice(tmp_path: Path, seed: int) -> None:
    await survive(tmp_path, 25, seed, patient=seed == 11)


@pytest.mark.real
async def test_a_fleet_that_is_killed_in_its_first_start_starts_the_next_time(
    tmp_path: Path,
) -> None:
    chance, everybody = random.Random(31), tuple(SCRIPTS)
    async with opened_house(tmp_path) as house:
        for _ in range(5):
            house.kill(*everybody)
            await house.reap(*everybody)
            shutil.rmtree(house.data)
            for _ in range(3):
                await _killed_at_start(house, everybody, chance)
            await house.start(*everybody)
            people = {name: await _token(house, name) for name in ("operator", "approver")}
            findings = Findings(house, Ledger(), None)
            await findings.of_all(Life(house, Ledger(), 0, "31", people))
            written = {"path": "a", "value": "a value of ours"}
            await house.owner("POST", "/services/secrets/operations/write", written)


@pytest.mark.real
@pytest.mark.timeout(300)
async def test_twenty_kills_lose_nothing_with_postgresql(
    tmp_path: Path, postgres: Postgres
) -> None:
    name = f"crash_{secrets.token_hex(6)}"
    connection = await asyncpg.connect(postgres.url)
    try:
        await connection.execute(f"CREATE DATABASE {name} TEMPLATE template0")
    finally:
        await connection.close()
    url = postgres.url.removesuffix("/postgres") + f"/{name}"
    await survive(tmp_path, 20, 21, database_url=url)
