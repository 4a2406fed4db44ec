"""A spoke that keeps its calls for as long as a test wants."""

import anyio

from flotilla import Model, Spoke, reads


class Done(Model):
    ok: bool = True


class Holding:
    """A spoke whose calls last until `go` is set."""

    def __init__(self) -> None:
        self.go = anyio.Event()
        self.held = 0

    async def hold(self) -> Done:
        """Wait."""
        self.held += 1
        await self.go.wait()
        return Done()

    def spoke(self) -> Spoke:
        tools = (reads("test.hold.holdOn", self.hold),)
        return Spoke(
            name="hold",
            version="1",
            instructions="",
            namespaces=("test.hold",),
            tools=tools,
        )
