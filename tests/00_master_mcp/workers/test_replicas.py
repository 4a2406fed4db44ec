"""Two hubs with the same keys and tokens and data folders of their own, which share one Redis."""

import shutil
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.backends.redis_server import RedisServer
from tests.conftest import free_base, until

from .conftest import everything
from .crew import Apart, Crew, Shop, answer_in, crew_in, shop_at

pytestmark = [pytest.mark.anyio, pytest.mark.real]


@dataclass
class Pair:
    first: Crew
    second: Crew


@pytest.fixture(scope="module")
async def pair(
    anyio_backend: Any, redis_process: RedisServer, tmp_path_factory: pytest.TempPathFactory
) -> AsyncGenerator[Pair]:
    folder: Path = tmp_path_factory.mktemp("pair")
    redis_process.fresh()
    shop, base = Shop(), free_base(range(5))
    async with AsyncExitStack() as open_:
        await open_.enter_async_context(shop_at(base, folder / "1" / "data", shop))
        crews: list[Crew] = []
        for number, workers in (("1", "2"), ("2", "1")):
            at = folder / number
            if crews:
                (at / "data" / "hub").mkdir(parents=True)
                # What deploy/ mounts from a secret.
                for each in ("admin_token", "owner_token", "hub/private_key.pem"):
                    shutil.copy2(crews[0].data_dir / each, at / "data" / each)
            crews.append(
                await open_.enter_async_context(
                    crew_in(
                        at,
                        base,
                        external={"every": everything()},
                        FLOTILLA_WORKERS=workers,
                        FLOTILLA_REDIS_URL=redis_process.url,
                        FLOTILLA_ADVERTISE=f"http://127.0.0.1:{base + 2 * int(number) - 1}",
                    )
                )
            )
        yield Pair(*crews)


async def test_a_session_is_found_whichever_replica_is_asked(pair: Pair) -> None:
    client = Apart(pair.first)
    for opened_at, asked_at in ((pair.first, pair.second), (pair.second, pair.first)):
        for _ in range(2):
            client.url, client.session = opened_at.url, None
            await client.open()
            client.url = asked_at.url
            for _ in range(2):
                answer = await client.call("test_shop_say", text="ahoy")
                assert answer.status_code == 200, answer.text
                said = answer_in(answer.text)["result"]["structuredContent"]
                assert said == {"text": "ahoy"}
            assert (await client.send("DELETE")).status_code == 200
            client.url = opened_at.url
            assert (await client.call("test_shop_say")).status_code == 404


async def test_an_answer_reaches_the_replica_that_asked(pair: Pair) -> None:
    client, arguments = Apart(pair.first), {"count": 2}

    async def connected() -> bool:
        answers = []
        for crew in (pair.first, pair.first, pair.second):
            client.url = crew.url
            answers.append(await client.modern("ext_every_test_simple_text", {}))
        return all("result" in each and not each["result"].get("isError") for each in answers)

    await until(connected, within_s=30)
    for start in (pair.first, pair.second):
        client.url = start.url
        answer = await client.modern("ext_every_ask_in_turn", arguments)
        for crew in (pair.second, pair.first):
            result = answer["result"]
            assert result["resultType"] == "input_required", answer
            (key,) = result["inputRequests"]
            client.url = crew.url
            answer = await client.modern(
                "ext_every_ask_in_turn",
                arguments,
                inputResponses={key: {"action": "accept", "content": {"answer": "yes"}}},
                requestState=result["requestState"],
            )
        assert answer["result"]["resultType"] == "complete", answer


async def test_the_sessions_of_a_replica_that_is_gone_are_gone(pair: Pair) -> None:
    client = Apart(pair.second)
    await client.open()
    client.url = pair.first.url
    assert (await client.call("test_shop_say")).status_code == 200
    pair.second.process.kill()
    await pair.second.process.wait()
    assert (await client.call("test_shop_say")).status_code == 404
    client.session = None
    await client.open()
    assert (await client.call("test_shop_say")).status_code == 200
