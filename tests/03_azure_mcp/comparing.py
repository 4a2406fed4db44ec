"""Two clients' requests to the pretended Azure, side by side."""

import json
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from tests.backends.tls_server import Asked

from .conftest import House


def plain(asked: Asked) -> tuple[str, str, dict[str, str], Any]:
    """A request without what may differ: versions, spelling, order."""
    parts = urlsplit(asked.path)
    query = {name.lower(): value for name, value in parse_qsl(parts.query)}
    assert query.pop("api-version")
    body = json.loads(asked.body) if asked.body else None
    return asked.method, parts.path.lower(), query, body


async def same(
    house: House,
    ours: Callable[[], Awaitable[Any]],
    theirs: Callable[[], Awaitable[Any]],
    what: str,
) -> None:
    """Both send the same first request that has `what` in it."""
    sent: list[tuple[str, str, dict[str, str], Any]] = []
    for ask in (ours, theirs):
        house.server.asked.clear()
        await ask()
        found = [plain(each) for each in house.server.asked if what in f"{each.method} {each.path}"]
        assert found, [f"{each.method} {each.path}" for each in house.server.asked]
        sent.append(found[-1])
    assert sent[0] == sent[1]


async def every(pages: Any) -> list[Any]:
    return [each async for each in pages]


async def done(begin: Awaitable[Any]) -> Any:
    """The SDK's own poller follows the operation to its end."""
    return await (await begin).result()
