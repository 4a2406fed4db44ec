"""The metrics of one service, in a registry of its own: services may share a process."""

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import choose_encoder

_BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)


class Metrics:
    """Counts and times calls; `service` is the service that answered, `tool` its canonical name."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._requests = Counter(
            "mcp_requests", "Tool calls answered.", ("service", "tool"), registry=self.registry
        )
        self._duration = Histogram(
            "mcp_request_duration_seconds",
            "From a tool call's arrival to its answer.",
            ("service", "tool"),
            buckets=_BUCKETS_S,
            registry=self.registry,
        )
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
        exemplar = {"correlation_id": correlation_id[:100]}
        self._requests.labels(service, tool).inc()
        self._duration.labels(service, tool).observe(seconds, exemplar)
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
