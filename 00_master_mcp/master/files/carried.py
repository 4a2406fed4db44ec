"""A result whose files are looked at on its way, whether it is whole or comes in pieces."""

from asyncio import sleep
from collections.abc import AsyncIterator
from time import perf_counter

from flotilla import meta
from master.files.blocks import HOLD_BYTES, SHAPES, Blocks
from master.files.rule import Rule
from master.result import Result, marked_text
from master.streaming.splitter import WINDOW_BYTES, Begin, Chunk, End, Leave, Member, Piece

_BUSY_S = 0.001


async def carried(result: Result, rule: Rule) -> Result:
    """The result without the files that the rule refuses, marked with how many that were.

    TooLarge or NotAllowed for a resource: nothing can stand in its place.
    """
    texts, withheld = dict(result.texts), 0
    for name, shape in SHAPES.items():
        text = texts.get(name)
        if text is None or len(text) <= rule.free_chars:
            continue
        raw = text.encode(errors="surrogatepass")
        blocks = Blocks(shape, rule, hold_bytes=len(raw))
        passed = await _through(blocks, raw)
        if blocks.withheld:
            withheld += blocks.withheld
            texts[name] = passed.decode(errors="surrogatepass")
    if not withheld:
        return result
    return Result({**texts, "_meta": _marked(texts.get("_meta"), withheld)}, result.poured)


async def carried_pieces(pieces: AsyncIterator[Piece], rule: Rule) -> AsyncIterator[Piece]:
    """The same for an answer in pieces; its `_meta` comes last.

    A file that is too large to be held before it is known whether it may go on ends the answer,
    when it may not, by the same errors.
    """
    blocks: Blocks | None = None
    marks: Member | None = None
    withheld = 0
    async for piece in pieces:
        match piece:
            case Chunk(data) if blocks is not None:
                piece = Chunk(await _through(blocks, data))
            case Member("result", "_meta"):
                marks = piece
                continue
            case Member("result", name, text) if name in SHAPES and len(text) > rule.free_chars:
                whole = Blocks(SHAPES[name], rule, hold_bytes=len(text))
                piece = Member("result", name, await _through(whole, text))
                withheld += whole.withheld
            case Begin("result", name) if name in SHAPES:
                blocks = Blocks(SHAPES[name], rule, _hold_bytes(rule))
            case End() if blocks is not None:
                withheld += blocks.withheld
                blocks = None
            case Leave() if withheld or marks is not None:
                text = None if marks is None else marks.text.decode()
                marked = _marked(text, withheld) if withheld else text or "{}"
                yield Member("result", "_meta", marked.encode())
            case _:
                pass
        yield piece


def _hold_bytes(rule: Rule) -> int:
    """Nothing is held where what could be held cannot break the rule."""
    return 0 if not rule.types and rule.most_bytes > HOLD_BYTES else HOLD_BYTES


async def _through(blocks: Blocks, text: bytes) -> bytes:
    """What the blocks let pass; what is costly to read gives way to other work."""
    if len(text) <= WINDOW_BYTES:
        return await _fed(blocks, text)
    windows = range(0, len(text), WINDOW_BYTES)
    return b"".join([await _fed(blocks, text[at : at + WINDOW_BYTES]) for at in windows])


async def _fed(blocks: Blocks, text: bytes) -> bytes:
    began_s = perf_counter()
    passed = blocks.feed(text)
    if perf_counter() - began_s > _BUSY_S:
        await sleep(0)
    return passed


def _marked(text: str | None, withheld: int) -> str:
    return marked_text(text, **{meta.WITHHELD: withheld})
