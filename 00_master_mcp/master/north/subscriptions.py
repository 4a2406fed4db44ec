"""Which client wants to hear of changes to which resource, and so what servers are asked for."""

from collections import defaultdict
from collections.abc import Awaitable, Callable, Hashable

from master import rpc

Tell = Callable[[rpc.Texts], None]
"""Sends the params of a `notifications/resources/updated` to one client."""
Watch = Callable[[str, frozenset[str]], None]
Watched = Callable[[str], Awaitable[None]]

MAX_PER_CLIENT = 1000


class Subscriptions:
    """`watch` is told of a service whenever the set of its resources that anyone wants changes.

    `watched` returns once the service knows of it.
    """

    def __init__(self, watch: Watch, watched: Watched) -> None:
        self._watch = watch
        self.watched = watched
        self._wanted: dict[str, dict[str, dict[Hashable, tuple[str, Tell]]]] = defaultdict(dict)
        self._of_client: dict[Hashable, set[tuple[str, str]]] = defaultdict(set)

    def add(self, client: Hashable, service: str, uri: str, shown: str, tell: Tell) -> None:
        """`shown` is the URI as the client calls it, `uri` as the service does."""
        own = self._of_client[client]
        if (service, uri) not in own and len(own) >= MAX_PER_CLIENT:
            why = f"{MAX_PER_CLIENT} resources are subscribed to; give some up"
            raise rpc.RpcError(rpc.INVALID_PARAMS, why)
        own.add((service, uri))
        listeners = self._wanted[service].setdefault(uri, {})
        listeners[client] = (shown, tell)
        if len(listeners) == 1:
            self._watched(service)

    def remove(self, client: Hashable, service: str, uri: str) -> None:
        self._of_client[client].discard((service, uri))
        listeners = self._wanted[service].get(uri, {})
        if listeners.pop(client, None) is not None and not listeners:
            del self._wanted[service][uri]
            self._watched(service)

    def drop(self, client: Hashable) -> None:
        """The client is gone, and with it all that it wanted."""
        for service, uri in list(self._of_client.get(client, ())):
            self.remove(client, service, uri)
        self._of_client.pop(client, None)

    def updated(self, service: str, uri: str, params: rpc.Texts) -> None:
        """A service says that a resource has changed: tell who wanted it, by the name they use."""
        for shown, tell in list(self._wanted[service].get(uri, {}).values()):
            tell({**params, "uri": rpc.text_of(shown)})

    def _watched(self, service: str) -> None:
        self._watch(service, frozenset(self._wanted[service]))
