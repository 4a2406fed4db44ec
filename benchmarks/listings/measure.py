"""The first page of a long list through a spoke's tool, against one request of the provider.

Each benchmark of this folder brings the two as functions; what is printed is the same for all.
"""

import asyncio
import resource
from collections.abc import Awaitable, Callable
from statistics import median
from time import perf_counter
from typing import Any

from flotilla.json_text import to_json

ROUNDS = 15
MAX_ANSWER_BYTES = 48 * 1024


async def first_page(
    title: str,
    page: Callable[[], Awaitable[Any]],
    upstream: Callable[[], Awaitable[Any]],
    *,
    rounds: int = ROUNDS,
) -> None:
    """Print both times (medians of alternating rounds), their ratio, and the answer's size.

    `page` answers what the tool answers as JSON; `upstream` makes the one request that the first
    page needs, by the plainest client there is.
    """
    answer = await page()
    await upstream()
    ours: list[float] = []
    theirs: list[float] = []
    for _ in range(rounds):
        theirs.append(await _took_ms(upstream))
        ours.append(await _took_ms(page))
    size = len(to_json(answer))
    ratio = median(ours) / median(theirs)
    print(
        f"{title}: first page {median(ours):.1f} ms, one upstream request {median(theirs):.1f} ms, "
        f"ratio {ratio:.2f}; answer {size / 1024:.1f} KB "
        f"({'within' if size <= MAX_ANSWER_BYTES else 'OVER'} 48 KB)"
    )


async def whole_list(title: str, pages: Callable[[], Awaitable[int]]) -> None:
    """Print how long all pages take, how many items they had, and by how much the peak grew."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    started = perf_counter()
    items = await pages()
    took_s = perf_counter() - started
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    print(
        f"{title}: all {items} items in {took_s:.1f} s; peak memory grew by {grown / 1024:.0f} MB"
    )


async def _took_ms(work: Callable[[], Awaitable[Any]]) -> float:
    started = perf_counter()
    await work()
    took = (perf_counter() - started) * 1e3
    await asyncio.sleep(0)
    return took
