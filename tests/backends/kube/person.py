"""Somebody at the client who is asked before a change, and says yes or no."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import mcp_types as types


@dataclass
class Person:
    """`asked` is what they were shown; `before` is called first, to look at the world as it is."""

    decision: str = "allow_once"
    asked: list[str] = field(default_factory=list[str])
    before: Callable[[], None] = lambda: None

    async def __call__(self, _context: Any, params: Any) -> types.ElicitResult:
        self.asked.append(params.message)
        self.before()
        return types.ElicitResult(action="accept", content={"decision": self.decision})
