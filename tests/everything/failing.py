"""How a tool of this server says that it failed."""


class ToolFailed(Exception):
    """Reaches the client as a result with `isError` and this text."""
