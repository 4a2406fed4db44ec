"""What the hub counts of how it keeps going, in the words of `getServiceHealth` and the log."""

from collections import Counter as Tally
from collections.abc import Callable
from typing import Literal, get_args

from prometheus_client import CollectorRegistry, Counter, Gauge

from master.state.seam import CircuitState

Turned = Literal["rate_limit", "places", "circuit", "overload"]
"""Why a call was turned away before its service was asked."""
CacheOutcome = Literal["hit", "joined", "miss"]


class Meters:
    """All have the label `service`: the one that the call was for."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._told: dict[str, Tally[Turned]] = {}
        self._turned = Counter(
            "mcp_calls_turned_away",
            "Calls answered without asking their service, by the reason.",
            ("service", "reason"),
            registry=registry,
        )
        self._retries = Counter(
            "mcp_retries", "Further tries of failed calls.", ("service",), registry=registry
        )
        self._withheld = Counter(
            "mcp_retries_withheld",
            "Failed calls that were not tried again because the retry budget was spent.",
            ("service",),
            registry=registry,
        )
        self._cache = Counter(
            "mcp_cache_lookups",
            "Calls that a cached result could answer, by whether one did.",
            ("service", "outcome"),
            registry=registry,
        )
        self._circuit = Gauge(
            "mcp_circuit_state",
            "1 for the state in which the circuit of a service is.",
            ("service", "state"),
            registry=registry,
        )
        self._in_flight = Gauge(
            "mcp_calls_in_flight", "Calls at a service now.", ("service",), registry=registry
        )
        self._waiting = Gauge(
            "mcp_calls_waiting",
            "Calls that wait for a place at a service now.",
            ("service",),
            registry=registry,
        )
        self._shared = Gauge(
            "mcp_shared_state_up",
            "1 while the hub reaches the store that it shares with others.",
            registry=registry,
        )

    def turned_away(self, service: str, reason: Turned) -> None:
        self._turned.labels(service, reason).inc()
        self._told.setdefault(service, Tally())[reason] += 1

    def turned_away_from(self, service: str) -> dict[Turned, int]:
        """How many calls for the service were turned away since the start, by the reasons."""
        return dict(self._told.get(service, {}))

    def retried(self, service: str) -> None:
        self._retries.labels(service).inc()

    def retry_withheld(self, service: str) -> None:
        self._withheld.labels(service).inc()

    def looked_up(self, service: str, outcome: CacheOutcome) -> None:
        self._cache.labels(service, outcome).inc()

    def circuit(self, service: str, state: Callable[[], CircuitState]) -> None:
        """Read at each scrape."""
        for each in get_args(CircuitState):
            self._circuit.labels(service, each).set_function(_is(state, each))

    def places(
        self, service: str, in_flight: Callable[[], int], waiting: Callable[[], int]
    ) -> None:
        """Read at each scrape."""
        self._in_flight.labels(service).set_function(in_flight)
        self._waiting.labels(service).set_function(waiting)

    def shared_state(self, is_up: Callable[[], bool]) -> None:
        """Read at each scrape."""
        self._shared.set_function(is_up)

    def forget(self, service: str) -> None:
        """The service has left the fleet: its gauges go, its counters stay."""
        for each in get_args(CircuitState):
            self._circuit.remove(service, each)
        self._in_flight.remove(service)
        self._waiting.remove(service)


def _is(state: Callable[[], CircuitState], wanted: CircuitState) -> Callable[[], float]:
    return lambda: 1.0 if state() == wanted else 0.0
