"""The metrics of one service, in a registry of its own: services may share a process."""

from bisect import bisect_left
from collections.abc import Callable, Iterable
from itertools import accumulate
from time import time

from prometheus_client import CollectorRegistry, Counter, Gauge
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from prometheus_client.samples import Exemplar
from typing_extensions import override

_BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)
_BOUNDS = (*(str(float(bound)) for bound in _BUCKETS_S), "+Inf")
_MAX_EXEMPLAR = 100
"""Characters of a correlation ID: OpenMetrics takes 128 with the label's name."""


class _Tally:
    """The calls of one tool: how many in each bucket, their seconds together, the last of each."""

    __slots__ = ("counts", "created_at", "last", "seconds")

    def __init__(self) -> None:
        self.counts = [0] * len(_BOUNDS)
        self.seconds = 0.0
        self.last: list[tuple[str, float, float] | None] = [None] * len(_BOUNDS)
        self.created_at = time()


class _Calls(Collector):
    """`mcp_requests` and `mcp_request_duration_seconds`, both from one tally for each tool.

    A Counter and a Histogram say the same, but take a call seven times as long for it. For one
    thread alone.
    """

    def __init__(self) -> None:
        self._tallies: dict[tuple[str, str], _Tally] = {}

    def add(self, service: str, tool: str, seconds: float, correlation_id: str) -> None:
        tally = self._tallies.get((service, tool))
        if tally is None:
            tally = self._tallies[service, tool] = _Tally()
        bucket = bisect_left(_BUCKETS_S, seconds)
        tally.counts[bucket] += 1
        tally.seconds += seconds
        tally.last[bucket] = (correlation_id, seconds, time())

    @override
    def collect(self) -> Iterable[Metric]:
        requests = Metric("mcp_requests", "Tool calls answered.", "counter")
        duration = Metric(
            "mcp_request_duration_seconds",
            "From a tool call's arrival to its answer.",
            "histogram",
        )
        for (service, tool), tally in self._tallies.items():
            labels = {"service": service, "tool": tool}
            below = list(accumulate(tally.counts))
            requests.add_sample("mcp_requests_total", labels, below[-1])
            requests.add_sample("mcp_requests_created", labels, tally.created_at)
            for bound, count, last in zip(_BOUNDS, below, tally.last, strict=True):
                exemplar = None if last is None else _exemplar(*last)
                name = f"{duration.name}_bucket"
                duration.add_sample(name, {**labels, "le": bound}, count, exemplar=exemplar)
            duration.add_sample(f"{duration.name}_count", labels, below[-1])
            duration.add_sample(f"{duration.name}_sum", labels, tally.seconds)
            duration.add_sample(f"{duration.name}_created", labels, tally.created_at)
        return (requests, duration)


def _exemplar(correlation_id: str, seconds: float, at: float) -> Exemplar:
    return Exemplar({"correlation_id": correlation_id[:_MAX_EXEMPLAR]}, seconds, at)


class Metrics:
    """Counts and times calls; `service` is the service that answered, `tool` its canonical name."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._calls = _Calls()
        self.registry.register(self._calls)
        self._errors = Counter(
            "mcp_errors",
            "Tool calls answered with an error, by its stable code.",
            ("service", "error_type"),
            registry=self.registry,
        )
        self._health = Gauge(
            "mcp_service_health",
            "1 where the service can serve, 0 where it cannot.",
            ("service",),
            registry=self.registry,
        )
        self._running = Gauge(
            "mcp_calls_running", "Tool calls running now.", ("service",), registry=self.registry
        )
        self._sessions = Gauge(
            "mcp_sessions_open",
            "Sessions of handshake clients that are open now.",
            ("service",),
            registry=self.registry,
        )

    def answered(
        self, service: str, tool: str, seconds: float, error_code: str | None, correlation_id: str
    ) -> None:
        """Count one call; the correlation ID becomes the exemplar that leads to its log lines."""
        self._calls.add(service, tool, seconds, correlation_id)
        if error_code is not None:
            self._errors.labels(service, error_code).inc()

    def health(self, service: str, healthy: bool) -> None:
        self._health.labels(service).set(1 if healthy else 0)

    def forget(self, service: str) -> None:
        """Drop the health of a service that is no longer part of the fleet."""
        self._health.remove(service)

    def watch(
        self, service: str, *, running: Callable[[], float], sessions: Callable[[], float]
    ) -> None:
        """Read these two at each scrape."""
        self._running.labels(service).set_function(running)
        self._sessions.labels(service).set_function(sessions)

    def exposition(self, accept: str) -> tuple[bytes, str]:
        """The text of /metrics and its content type, Prometheus or OpenMetrics as accepted."""
        encode, content_type = choose_encoder(accept)
        return encode(self.registry), content_type
