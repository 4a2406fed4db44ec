"""The echo as a spoke of the fleet, on the SDK's server: what a call through the hub really meets.

It takes the hub's signed tokens alone, as every spoke. A spoke's results hold 512 KiB at most, so
that it has no `make`.
"""

from typing import Annotated

from pydantic import Field

from flotilla import Context, Model, Spoke, reads
from flotilla.serving import serve
from wire.echo import MARK


class Said(Model):
    text: str


async def say(text: str) -> Said:
    """Say a text."""
    return Said(text=f"{text} {MARK.decode()}")


async def measure(text: Annotated[str, Field(max_length=4_000_000)]) -> Said:
    """Take a text and say how long it is."""
    return Said(text=f"{len(text)} {MARK.decode()}")


async def step(text: str, context: Context) -> Said:
    """Report progress, then say a text."""
    await context.report(1, 2, None)
    return await say(text)


def manifest(prefix: str) -> Spoke:
    return Spoke(
        name="echo",
        version="1",
        instructions="",
        namespaces=(prefix.rstrip("."),),
        tools=tuple(reads(f"{prefix}{each.__name__}", each) for each in (say, measure, step)),
    )


if __name__ == "__main__":
    serve(manifest("bench.echo."))
