"""What containers print: getPodLogs."""

import re
from collections import deque
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from math import prod
from time import perf_counter
from typing import Annotated, Literal

from pydantic import Field
from pydantic_core import SchemaError, SchemaValidator, core_schema

from flotilla import Context, InvalidArgument, Model, Tool, reads
from flotilla.context import Deadline
from k8s.api import Cluster
from k8s.clusters import Clusters
from k8s.hiding import without_encoded_keys
from k8s.kinds import PODS
from k8s.parameters import ClusterName, Namespace, ObjectName

MAX_SHOWN_BYTES = 40 * 1024
"""As JSON text its line breaks and quotes are two bytes each; all must stay within 48 KB."""
MAX_READ_BYTES = 16 * 1024 * 1024
MAX_LINE_BYTES = 8 * 1024
MAX_PATTERN_CHARS = 200
MAX_REPEATS = 200
MAX_SEARCH_S = 2.0
_COUNTED = re.compile(r"\{(\d+)(?:,(\d*))?\}")
_MOMENT = re.compile(
    r"(?P<second>\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d)(?:\.(?P<fraction>\d{1,9}))?"
    r"(?P<zone>Z|[+-]\d\d:\d\d)?"
)
_ESCAPES = re.compile(r"\x1b\[[0-9;?]{0,16}[ -/]?[@-~]")
"""What colours a terminal, and only costs a reader."""

Keep = Literal["newest", "oldest"]


class PodLog(Model):
    """Lines of a log. `truncated`: more lines were asked for than fit, or than were read.

    With keep=oldest, `next_since_time` is where the rest begins.
    """

    pod: str
    container: str | None
    content: str
    lines: int
    matched_of: int | None = None
    """With grep: of so many lines."""
    read_bytes: int
    truncated: bool = False
    first_at: str | None = None
    last_at: str | None = None
    next_since_time: str | None = None


class Logs:
    """Reads logs as a stream and keeps no more than is shown."""

    def __init__(self, clusters: Clusters) -> None:
        self._clusters = clusters

    def tools(self) -> tuple[Tool, ...]:
        return (
            reads(
                "infra.k8s.getPodLogs", self.get_pod_logs, title="Read a pod's log", untrusted=True
            ),
        )

    async def get_pod_logs(
        self,
        context: Context,
        name: ObjectName,
        cluster: ClusterName = None,
        namespace: Namespace = None,
        container: Annotated[
            str | None, Field(max_length=253, description="Needed where the pod has several.")
        ] = None,
        tail: Annotated[
            int, Field(ge=1, le=100_000, description="How many of the last lines are looked at.")
        ] = 200,
        since_s: Annotated[
            int | None, Field(ge=1, le=31_536_000, description="Not older than so many seconds.")
        ] = None,
        since_time: Annotated[
            str | None,
            Field(
                max_length=40, description="Later than this moment (RFC 3339); `tail` is not used."
            ),
        ] = None,
        previous: Annotated[
            bool, Field(description="Of the container's last run, the one that crashed.")
        ] = False,
        grep: Annotated[
            str | None,
            Field(
                min_length=1,
                max_length=MAX_PATTERN_CHARS,
                description="Only lines with this in them.",
            ),
        ] = None,
        regex: Annotated[
            bool, Field(description="`grep` is a regular expression (Rust's syntax, as RE2).")
        ] = False,
        ignore_case: bool = False,
        timestamps: bool = False,
        keep: Annotated[
            Keep, Field(description="Which lines are kept where not all fit into 40 KB.")
        ] = "newest",
    ) -> PodLog:
        """Read what a container printed: its last lines, at most 40 KB.

        `grep` looks through the lines that `tail`, `sinceS` or `sinceTime` choose, so look through
        more of them with a larger `tail`. To read a long log from its start give
        sinceTime and keep=oldest, and go on with nextSinceTime. Nothing is followed.
        """
        if since_s is not None and since_time is not None:
            raise InvalidArgument("give sinceS or sinceTime, not both")
        after = None if since_time is None else moment(since_time)
        client = await self._clusters.client(cluster)
        where = namespace or client.namespace
        query = {
            "container": container,
            "previous": previous or None,
            "sinceSeconds": since_s,
            "sinceTime": None if after is None else after[0].strftime("%Y-%m-%dT%H:%M:%SZ"),
            "tailLines": None if after is not None else tail,
            "timestamps": True,
            "limitBytes": MAX_READ_BYTES,
        }
        kept = Kept(matcher(grep, regex=regex, ignore_case=ignore_case), keep, timestamps)
        path = PODS.path(where, name, "log")
        await _read_into(kept, client, path, query, after, context.deadline)
        return kept.log(name, container, counted=grep is not None)


@dataclass
class Kept:
    """The lines that are shown of those that come by; holds MAX_SHOWN_BYTES and no more."""

    matches: Callable[[str], bool]
    keep: Keep
    timestamps: bool
    lines: deque[tuple[str, str]] = field(default_factory=deque[tuple[str, str]])
    shown_bytes: int = 0
    seen: int = 0
    read_bytes: int = 0
    cut: bool = False
    full: bool = False

    def take(self, line: str) -> None:
        """A line with its time before it."""
        at, _, told = line.partition(" ")
        self.seen += 1
        told = without_encoded_keys(_ESCAPES.sub("", told))
        if not self.matches(told):
            return
        shown = f"{at} {told}" if self.timestamps else told
        size = len(shown.encode(errors="replace")) + 1
        if self.keep == "oldest" and self.shown_bytes + size > MAX_SHOWN_BYTES:
            self.cut = self.full = True
            return
        self.lines.append((at, shown))
        self.shown_bytes += size
        while self.shown_bytes > MAX_SHOWN_BYTES and len(self.lines) > 1:
            _, gone = self.lines.popleft()
            self.shown_bytes -= len(gone.encode(errors="replace")) + 1
            self.cut = True

    def log(self, pod: str, container: str | None, *, counted: bool) -> PodLog:
        last = self.lines[-1][0] if self.lines else None
        return PodLog(
            pod=pod,
            container=container,
            content="\n".join(shown for _, shown in self.lines),
            lines=len(self.lines),
            matched_of=self.seen if counted else None,
            read_bytes=self.read_bytes,
            truncated=self.cut,
            first_at=self.lines[0][0] if self.lines else None,
            last_at=last,
            next_since_time=last if self.cut and self.keep == "oldest" else None,
        )


def matcher(
    grep: str | None,
    *,
    regex: bool,
    ignore_case: bool,
    clock: Callable[[], float] = perf_counter,
) -> Callable[[str], bool]:
    """What says whether a line is wanted. Raises InvalidArgument for no regular expression.

    Rust's engine takes time in proportion to the line whatever the pattern; Python's own could be
    made to run for ever by a pattern that a stranger's log line fits. Large repetitions make even
    that a long time, in which nobody else is served: they are refused, and the time is measured.
    """
    if grep is None:
        return lambda _line: True
    if not regex:
        wanted = grep.casefold() if ignore_case else grep
        return lambda line: wanted in (line.casefold() if ignore_case else line)
    if prod(int(most or least) for least, most in _COUNTED.findall(grep)) > MAX_REPEATS:
        raise InvalidArgument(
            f"{grep!r} repeats too much", hint=f"Counts multiply to {MAX_REPEATS} at most."
        )
    pattern = f"(?i){grep}" if ignore_case else grep
    try:
        found = SchemaValidator(core_schema.str_schema(pattern=pattern, regex_engine="rust-regex"))
    except SchemaError:
        raise InvalidArgument(
            f"{grep!r} is no regular expression",
            hint="Look-around and back references are not there; without regex it is plain text.",
        ) from None
    return _timed(found.isinstance_python, clock)


def _timed(matches: Callable[[str], bool], clock: Callable[[], float]) -> Callable[[str], bool]:
    spent_s = 0.0

    def timed(line: str) -> bool:
        nonlocal spent_s
        began = clock()
        found = matches(line)
        spent_s += clock() - began
        if spent_s > MAX_SEARCH_S:
            raise InvalidArgument(
                "the pattern takes too long for this log",
                hint="Search for plain text, or look through fewer lines.",
            )
        return found

    return timed


def moment(text: str) -> tuple[datetime, int]:
    """A moment of RFC 3339: its second in UTC, and the nanoseconds after it.

    Python keeps six digits of a second, a kubelet writes nine. Raises InvalidArgument.
    """
    found = _MOMENT.fullmatch(text.strip())
    if found is None:
        raise InvalidArgument(f"{text!r} is no moment", hint="Like 2026-01-31T13:00:00Z.")
    try:
        zone = (found["zone"] or "Z").replace("Z", "+00:00")
        second = datetime.fromisoformat(found["second"] + zone)
    except ValueError:
        raise InvalidArgument(f"{text!r} is no moment") from None
    return second.astimezone(UTC), int((found["fraction"] or "").ljust(9, "0"))


def _is_later(line: str, after: tuple[datetime, int] | None) -> bool:
    """The server goes by whole seconds: what was shown already comes again."""
    if after is None:
        return True
    try:
        return moment(line.partition(" ")[0]) > after
    except InvalidArgument:
        return True


async def _read_into(
    kept: Kept,
    cluster: Cluster,
    path: str,
    query: dict[str, str | int | bool | None],
    after: tuple[datetime, int] | None,
    due: Deadline,
) -> None:
    async with cluster.answer("GET", path, due=due, query=query, accept="*/*") as answer:
        async for line in lines_of(answer.content.iter_any(), kept):
            if _is_later(line, after):
                kept.take(line)
            if kept.full:
                return
    if kept.read_bytes >= MAX_READ_BYTES:
        kept.cut = True


async def lines_of(parts: AsyncIterator[bytes], kept: Kept) -> AsyncIterator[str]:
    """The lines of a stream, each at most MAX_LINE_BYTES; counts what was read."""
    rest = b""
    async for part in parts:
        kept.read_bytes += len(part)
        *whole, rest = (rest + part).split(b"\n")
        for line in whole:
            yield _readable(line)
        # A line without an end must not be gathered without end.
        if len(rest) > MAX_LINE_BYTES:
            rest = rest[: MAX_LINE_BYTES + 1]
        if kept.read_bytes >= MAX_READ_BYTES:
            break
    if rest:
        yield _readable(rest)


def _readable(line: bytes) -> str:
    told = line[:MAX_LINE_BYTES].decode(errors="replace").rstrip("\r")
    return f"{told} [...]" if len(line) > MAX_LINE_BYTES else told
