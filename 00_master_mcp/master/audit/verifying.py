"""Walks the whole chain of a hub that goes on writing meanwhile; holds one piece at a time."""

from collections.abc import AsyncGenerator, Generator, Sequence
from dataclasses import replace

from anyio import to_thread
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from flotilla.chain import Checked, Fault, Head, Link, Wanted, checking
from master.audit.heads import HeadFile
from master.audit.reading import Rows

_Walking = Generator[Wanted, Sequence[Link], Checked]


async def verified(
    rows: Rows, key: Ed25519PublicKey, head_file: HeadFile
) -> AsyncGenerator[int | Checked]:
    """The number of the row that it has come to, again and again, and at last what it found."""
    while True:
        # First of all, so that it tells of no row that is newer than what is walked.
        beside, unreadable = await to_thread.run_sync(_read, head_file)
        if unreadable is not None:
            yield Checked(0, 0, unreadable)
            return
        signed = await rows.signed()
        walking = checking(replace(signed, heads=[*signed.heads, *beside]), [key])
        found = await to_thread.run_sync(_step, walking, None)
        while isinstance(found, Wanted):
            yield found.after
            links = await rows.links(found.after, found.many)
            found = await to_thread.run_sync(_step, walking, links)
        fault = found.fault
        if fault is not None and fault.wrong == "removed":
            moved, known = (await rows.signed()).anchor, signed.anchor
            if moved is not None and moved.number > (0 if known is None else known.number):
                continue  # retention went by while we walked
        yield found
        return


def _step(walking: _Walking, links: Sequence[Link] | None) -> Wanted | Checked:
    try:
        return next(walking) if links is None else walking.send(links)
    except StopIteration as end:
        return end.value


def _read(head_file: HeadFile) -> tuple[list[Head], Fault | None]:
    try:
        head = head_file.read()
    except (OSError, ValueError):
        return [], Fault(0, "head_forged", f"{head_file.path} does not hold a head")
    return ([] if head is None else [head]), None
