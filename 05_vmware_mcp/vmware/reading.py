"""What a call sees of a vCenter on its thread: leaf paths through the PropertyCollector, in pages.

Never an object's attributes one by one: each would be a request, and whole objects are large.
"""

from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from flotilla.errors import InvalidArgument
from vmware.faults import GONE, fault_error
from vmware.names import is_plain
from vmware.vsphere import name_of, type_of, vim, vmodl

if TYPE_CHECKING:
    from vmware.wire import Exchange, Session

MAX_OBJECTS = 1000
"""Objects in one answer of the PropertyCollector; it may give fewer, and a token for the rest."""


@dataclass(frozen=True, slots=True)
class Vc:
    """A vCenter as a call sees it on its thread: what to read and what to have done."""

    alias: str
    session: "Session"
    exchange: "Exchange"

    @property
    def content(self) -> Any:
        return self.session.content

    @property
    def vim(self) -> Any:
        return vim

    def ref(self, kind: str, mo_id: str) -> Any:
        """The managed object of that type (`VirtualMachine`) and ID (`vm-12`), unread.

        Raises InvalidArgument for an ID that would become more than one in a request.
        """
        if not is_plain(mo_id):
            raise InvalidArgument(f"{mo_id[:80]!r} is no ID of vSphere's")
        return type_of(kind)(mo_id, self.session.stub)

    def changing(self) -> None:
        """What follows changes something: from here on a lost answer is not known to be a no."""
        self.exchange.changing = True

    def view(self, kind: str) -> Any:
        """The view of all objects of a type, made once in a session."""
        with self.session.lock:
            view = self.session.views.get(kind)
        if view is None:
            made = self.content.viewManager.CreateContainerView(
                self.content.rootFolder, [type_of(kind)], True
            )
            with self.session.lock:
                view = self.session.views.setdefault(kind, made)
        return view

    def first(
        self, kind: str, paths: Iterable[str], step: int
    ) -> Generator[tuple[list["Read"], bool]]:
        """Objects of a type with their leaf paths, `step` at a time, and whether there are more.

        What is not taken is not read: when it is closed, the session has vCenter forget the rest.
        """
        answer = self._retrieve(kind, self._all_of(kind), paths, step)
        token = None
        try:
            while answer is not None:
                token = answer.token
                yield list(_read(answer.objects)), bool(token)
                if not token:
                    return
                used, token = token, None
                answer = self.content.propertyCollector.ContinueRetrievePropertiesEx(used)
        finally:
            if token:
                self.session.leave(token)

    def each(self, kind: str, paths: Iterable[str]) -> Iterator["Read"]:
        """All objects of a type with their leaf paths, page by page as they are taken."""
        answer = self._retrieve(kind, self._all_of(kind), paths, MAX_OBJECTS)
        yield from self._rest(answer)

    def these(self, kind: str, refs: Iterable["Ref"], paths: Iterable[str]) -> list["Read"]:
        """Those objects of a type with their leaf paths; without what has gone meanwhile."""
        spec = vmodl.query.PropertyCollector.ObjectSpec
        objects = [spec(obj=self.ref(own, mo_id)) for own, mo_id in refs]
        if not objects:
            return []
        return list(self._rest(self._retrieve(kind, objects, paths, MAX_OBJECTS)))

    def leaves(self, kind: str, mo_id: str, paths: Iterable[str]) -> dict[str, Any]:
        """The leaf paths of one object that have a value; NotFound when it has gone."""
        found = self.these(kind, [(kind, mo_id)], paths)
        if not found:
            raise fault_error(GONE, f"there is no {kind} {mo_id!r}")
        return found[0].values

    def order(self, kind: str) -> list["Ref"]:
        """All objects of a type by type and ID, without anything of them."""
        objects = [vmodl.query.PropertyCollector.ObjectSpec(obj=self.view(kind))]
        answer = self._retrieve("ContainerView", objects, ["view"], 1)
        if answer is None or not answer.objects or not answer.objects[0].propSet:
            return []
        return [(ref._wsdlName, ref._moId) for ref in answer.objects[0].propSet[0].val]

    def _all_of(self, kind: str) -> list[Any]:
        collector = vmodl.query.PropertyCollector
        through = collector.TraversalSpec(
            name="view", path="view", skip=False, type=vim.view.ContainerView
        )
        return [collector.ObjectSpec(obj=self.view(kind), skip=True, selectSet=[through])]

    def _retrieve(self, kind: str, objects: list[Any], paths: Iterable[str], most: int) -> Any:
        collector = vmodl.query.PropertyCollector
        spec = collector.FilterSpec(
            objectSet=objects,
            propSet=[collector.PropertySpec(type=type_of(kind), pathSet=list(paths), all=False)],
            reportMissingObjectsInResults=True,
        )
        options = collector.RetrieveOptions(maxObjects=min(most, MAX_OBJECTS))
        answer = self.content.propertyCollector.RetrievePropertiesEx([spec], options)
        of_view = any(isinstance(each.obj, vim.view.ContainerView) for each in objects)
        empty = answer is None or not answer.objects
        if of_view and empty and not self._lives():
            raise fault_error("NotAuthenticated", "the session has ended")
        return answer

    def _lives(self) -> bool:
        """Whether the session is still there: a view of one that has ended is empty, or gone."""
        session = self.these("SessionManager", [self._manager()], ["currentSession.key"])
        return bool(session)

    def _manager(self) -> "Ref":
        return "SessionManager", self.content.sessionManager._moId

    def _rest(self, answer: Any) -> Iterator["Read"]:
        while answer is not None:
            yield from _read(answer.objects)
            if not answer.token:
                return
            answer = self.content.propertyCollector.ContinueRetrievePropertiesEx(answer.token)


Ref = tuple[str, str]
"""An object's own type and ID: `("DistributedVirtualPortgroup", "dvportgroup-7")`."""


@dataclass(frozen=True, slots=True)
class Read:
    """An object and the leaf paths of it that have a value."""

    ref: Ref
    values: dict[str, Any]

    @property
    def mo_id(self) -> str:
        return self.ref[1]


def _read(objects: Iterable[Any] | None) -> Iterator[Read]:
    for each in objects or ():
        values = {prop.name: prop.val for prop in each.propSet or ()}
        if not values:
            for lost in each.missingSet or ():
                if lost.fault is not None and name_of(lost.fault) == "NotAuthenticated":
                    raise lost.fault
            # Without a single value it has gone, or may not be seen.
            continue
        yield Read((each.obj._wsdlName, each.obj._moId), values)
