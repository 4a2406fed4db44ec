"""A service's tools, called without a server."""

from collections.abc import Iterable, Mapping
from typing import Any

from flotilla import Context, Tool
from flotilla.redaction import Redactor
from flotilla.toolbox import Toolbox


class CalledTools:
    """Runs and lists tools as a service's toolbox does.

    Schemas take most of the time of a small test: only those of tools that it calls are made.
    """

    def __init__(self, tools: Iterable[Tool], redactor: Redactor | None = None) -> None:
        self._tools = tuple(tools)
        self._redactor = redactor or Redactor()
        self._boxes: dict[str, Toolbox] = {}

    async def call(
        self, name: str, arguments: Mapping[str, Any], context: Context
    ) -> dict[str, Any]:
        """What the toolbox returns for the tool of that canonical name."""
        return await self._box(name).call(name, arguments, context)

    def listed(self, name: str) -> dict[str, Any]:
        """That one tool as `tools/list` shows it."""
        (found,) = self._box(name).listing()
        return found

    def _box(self, name: str) -> Toolbox:
        if name not in self._boxes:
            wanted = (tool for tool in self._tools if tool.name == name)
            self._boxes[name] = Toolbox(wanted, self._redactor)
        return self._boxes[name]
