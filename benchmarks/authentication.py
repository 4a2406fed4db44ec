"""What it costs to know who calls: µs of CPU for a token of the table, and for a JWT.

usage: python3 benchmarks/authentication.py [--calls 20000] [--rounds 7]

Quote the ratios: each is against reading the header and looking its SHA-256 up in a dict, the least
that any door could do, in the same run. `first sight` is what a JWT costs once: its signature.
"""

import argparse
import asyncio
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "00_master_mcp")]

from starlette.types import Message, Scope  # noqa: E402

from flotilla.serving.gates import bearer_token  # noqa: E402
from master.database.opened import open_database, place_of  # noqa: E402
from master.principals import Principals, TokenBook, clients_only  # noqa: E402
from master.principals.claims import Audiences  # noqa: E402
from master.principals.first import digest_of, fresh_token  # noqa: E402
from master.principals.keys import Keys  # noqa: E402
from master.principals.people import OpenIdPeople  # noqa: E402
from master.principals.seen import Seen  # noqa: E402
from master.principals.settings import OpenIdSettings  # noqa: E402
from master.principals.tokens import Kept, Token, Tokens, new_id  # noqa: E402
from tests.backends.openid_provider import OpenIdProvider  # noqa: E402

HERE = "http://localhost:8000/mcp"
Ask = Callable[[Scope], Awaitable[object]]


def scope_of(token: str) -> Scope:
    marks = [(b"host", b"localhost:8000"), (b"content-type", b"application/json")]
    return {
        "type": "http",
        "path": "/mcp",
        "headers": [(b"authorization", b"Bearer " + token.encode()), *marks],
    }


async def received() -> Message:
    return {"type": "http.request", "body": b"{}"}


async def cost_us(ask: Ask, tokens: list[str], rounds: int) -> float:
    """The least of many rounds, for one token of those."""
    least = float("inf")
    for _ in range(rounds):
        began = time.process_time()
        for token in tokens:
            await ask(scope_of(token))
        least = min(least, (time.process_time() - began) / len(tokens))
    return least * 1e6


async def main(calls: int, rounds: int, folder: Path) -> None:
    database = open_database(place_of(None, folder))
    async with OpenIdProvider().running() as provider, database.opened():
        settings = OpenIdSettings(issuer=provider.issuer, role_map=["ops=operator"])
        keys = Keys(provider.issuer, None)
        people = OpenIdPeople(settings, Audiences(frozenset({HERE}), {}), keys, Seen(database))
        tokens = Tokens(database)
        principals = Principals(TokenBook({}), tokens, people)
        async with principals.running():
            static, now = fresh_token(), principals.now()
            token = Token(id=new_id(), principal="ada", roles=("viewer",), created_at=now)
            await tokens.add(Kept(token, digest_of(static).hex()))
            await principals.changed()
            admits = clients_only(principals, ("/api", "/mcp/servers"))
            known = {digest_of(static)}

            async def least(scope: Scope) -> object:
                return digest_of(bearer_token(scope) or "") in known

            async def whole(scope: Scope) -> object:
                return await (await admits(scope, received)).receive()  # pyright: ignore[reportAttributeAccessIssue]

            jwts = [provider.token(sub="ada", aud=HERE, roles=["ops"]) for _ in range(200)]
            await whole(scope_of(provider.token(sub="ada", aud=HERE, roles=["ops"])))
            first_us = await cost_us(whole, jwts, 1)
            base_us = await cost_us(least, [static] * calls, rounds)
            shown = [
                ("the header and a dict", base_us),
                ("a token of the table", await cost_us(whole, [static] * calls, rounds)),
                ("a JWT that is known", await cost_us(whole, [jwts[0]] * calls, rounds)),
                ("first sight of a JWT", first_us),
            ]
    for name, cost in shown:
        print(f"{name:<24}{cost:8.2f} µs   {cost / base_us:6.2f}x")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--calls", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=7)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as made:
        asyncio.run(main(chosen.calls, chosen.rounds, Path(made)))
