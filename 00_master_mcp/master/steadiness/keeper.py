"""What keeps one service going: its places, its circuit and its retry budget."""

from collections.abc import Callable

from flotilla.resilience import Resilience
from master.meters import Meters
from master.state.seam import Circuit, Circuits
from master.steadiness.budget import RetryBudget
from master.steadiness.places import Places


class Keeper:
    def __init__(self, service: str, resilience: Resilience, circuit: Circuit) -> None:
        self.resilience = resilience
        self.places = Places(service, resilience.places)
        self.budget = RetryBudget(resilience.retry.budget)
        self.circuit = circuit


class Keepers:
    """One for each service, made when it is first asked for."""

    def __init__(
        self, resilience: Callable[[str], Resilience], circuits: Circuits, meters: Meters
    ) -> None:
        self._resilience = resilience
        self._circuits = circuits
        self._meters = meters
        self._keepers: dict[str, Keeper] = {}

    def of(self, service: str) -> Keeper:
        keeper = self._keepers.get(service)
        if keeper is None:
            resilience = self._resilience(service)
            circuit = self._circuits.of(service, resilience.breaker)
            keeper = self._keepers[service] = Keeper(service, resilience, circuit)
            places = keeper.places
            self._meters.circuit(service, lambda: circuit.view.state)
            self._meters.places(service, lambda: places.in_flight, lambda: places.waiting)
        return keeper

    def forget(self, service: str) -> None:
        """The service has left the fleet; calls still at it give back what they hold."""
        if self._keepers.pop(service, None) is not None:
            self._circuits.forget(service)
            self._meters.forget(service)
