"""What was sent and what was acknowledged, and nothing else: the memory of those that call."""

from collections import Counter
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from time import monotonic
from typing import Any, Literal

Kind = Literal["decide", "call", "write", "rewrap", "lease", "spend", "token", "revoke"]
"""What is sent, by which the moment of a kill may be chosen."""
WRITING: frozenset[str] = frozenset(("mark", "shred", "spend"))


@dataclass
class Asked:
    """An approval whose asker was told of it."""

    key: str
    in_client: bool
    sent: set[str] = field(default_factory=set[str])
    """The decisions that were sent, whatever became of them."""
    decided: str | None = None
    """The decision that was acknowledged."""
    way: str | None = None
    result: Any = None
    """The result that was told of a call that had ended."""
    last_state: str = "pending"


@dataclass
class Called:
    """One call of a tool that writes, by its correlation ID; `answered` well, refused, or not."""

    what: str
    key: str
    answered: Literal["well", "refused"] | None = None
    may_run: bool = True
    """False: sent when it was known that nobody allows it any more."""


@dataclass
class Round:
    """A second round, with the person's yes, whose answer never came."""

    key: str
    ticket: str


@dataclass
class Lease:
    """A handle that is good once, and the digests of the values that it may stand for."""

    handle: str
    digest: str
    spent: bool = False
    """Its use was acknowledged."""
    tried: bool = False


@dataclass
class Ledger:
    """Everything over all lives of the fleet. `on_sending` hears what goes out just now."""

    approvals: dict[str, Asked] = field(default_factory=dict[str, Asked])
    calls: dict[str, Called] = field(default_factory=dict[str, Called])
    covered: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])
    """A call that was answered, and one that wrote which was sent after that. Rows keep their
    order: where the latter's intent is on the disk, the end of the former is too."""
    rounds: list[Round] = field(default_factory=list[Round])
    standing: dict[str, bool] = field(default_factory=dict[str, bool])
    """What was allowed for a while, by its key: whether it is still."""
    leases: list[Lease] = field(default_factory=list[Lease])
    versions: dict[tuple[str, int], str | None] = field(
        default_factory=dict[tuple[str, int], str | None]
    )
    """The value of each version that was told; None where the store made it itself."""
    operations: set[str] = field(default_factory=set[str])
    """The correlation IDs of the owner's acknowledged operations."""
    tokens: dict[str, str] = field(default_factory=dict[str, str])
    """Those that are live, by their IDs."""
    revoked: dict[str, str] = field(default_factory=dict[str, str])
    revoking: set[str] = field(default_factory=set[str])
    """Those whose revoking was sent and never acknowledged: they may be either."""
    counts: Counter[str] = field(default_factory=Counter[str])
    open: int = 0
    """Requests that were sent and are not answered yet."""
    took_s: dict[Kind, float] = field(default_factory=dict[Kind, float])
    """How long the latest answer of each kind took."""
    on_sending: Callable[[Kind], None] = lambda _: None

    @property
    def acknowledged(self) -> int:
        return sum(many for name, many in self.counts.items() if name.endswith(" acknowledged"))

    @contextmanager
    def sending(self, kind: Kind) -> Generator[None]:
        """Within, a request of that kind is sent and its answer waited for."""
        self.counts[f"{kind} sent"] += 1
        self.open += 1
        self.on_sending(kind)
        began = monotonic()
        try:
            yield
            self.took_s[kind] = monotonic() - began
            self.counts[f"{kind} acknowledged"] += 1
        finally:
            self.open -= 1
