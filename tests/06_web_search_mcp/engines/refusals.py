"""What an engine raises where a test has it answer something else."""

from collections.abc import Callable

import pytest
from aiohttp import web

from flotilla import Deadline, FlotillaError
from tests.backends.web_search.internet import Handler
from web_search.engine import Engine, Kind, Question

Named = Callable[[str], Engine]


def answering(make: Callable[[], web.Response]) -> Handler:
    async def handler(_request: web.Request) -> web.StreamResponse:
        return make()

    return handler


async def refused(engine: Engine, words: str = "flotilla", kind: Kind = "web") -> FlotillaError:
    with pytest.raises(FlotillaError) as raised:
        await engine.search(kind, Question(words=words, most=5), Deadline.after(4))
    assert raised.value.details["engine"] == engine.name
    return raised.value
