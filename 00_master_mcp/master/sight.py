"""Which part of the fleet one kind of principal may be told of."""

from collections.abc import Callable, Hashable
from dataclasses import dataclass, field

from master.entry import Entry


@dataclass(frozen=True, slots=True)
class Sight:
    """Two sights of one key see the same."""

    key: Hashable
    sees: Callable[[Entry], bool] = field(compare=False, repr=False)


EVERYTHING = Sight(None, lambda _: True)
