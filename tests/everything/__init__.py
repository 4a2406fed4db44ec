"""A server with every feature of the protocol, in both eras: what our tests put behind the hub.

It names its tools, prompts and resources as the conformance suite asks, and adds what our own
tests want to see: what arrived, how a call ended, large results, questions in turn.

    python -m everything --transport streamable-http --port 9000 --era both   (cwd: tests/)
"""

from .eras import Era
from .serving import Serving, application, serving
from .world import World, build

__all__ = ["Era", "Serving", "World", "application", "build", "serving"]
