"""How well the requests are answered, and how fast."""

from dataclasses import dataclass
from time import perf_counter

from master.entry import Entry
from master.profiles import FINDERS
from master.search.finder import Finder

from .fleet_at_full_size import all_tools, requests

MOST = 5
NOWHERE = 1000


@dataclass(frozen=True)
class Measured:
    """`places`: of each request, how many wrong tools came before the first right one."""

    places: tuple[int, ...]
    ms: tuple[float, ...]

    @property
    def asked(self) -> int:
        return len(self.places)

    def within(self, first: int) -> int:
        """How many requests had a right tool among the first so many."""
        return sum(place < first for place in self.places)


def entries() -> list[Entry]:
    return [
        Entry(tool["name"], "any", tool, given=tool["name"], safe=tool["name"].replace(".", "_"))
        for tool in all_tools()
        if tool["name"] not in FINDERS
    ]


def measured(half: str) -> Measured:
    """One half of the requests, asked of the whole fleet."""
    finder = Finder(entries())
    places: list[int] = []
    took_ms: list[float] = []
    for each in requests()[half]:
        started = perf_counter()
        found = [tool.name for tool, _ in finder.find(each["ask"])]
        took_ms.append((perf_counter() - started) * 1e3)
        right = [found.index(name) for name in each["right"] if name in found]
        places.append(min(right, default=NOWHERE))
    return Measured(tuple(places), tuple(took_ms))
