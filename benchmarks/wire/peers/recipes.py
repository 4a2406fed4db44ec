"""How each gateway is installed and set before the echo, with its own defaults wherever it works.

Progress, elicitation and the rest are not switched off anywhere; authentication is on where the
gateway has it on by default.
"""

import json
import os
import shlex
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from wire.book import Books
from wire.callers import CallFailed
from wire.fleet import answers, clean_env
from wire.peers import contextforge
from wire.peers.install import node_peer, program, python_peer, script
from wire.peers.peer import Behind, Door, Peer, Skipped
from wire.processes import MODULE_ENV, ROOT, Program, Programs

UP_S = 60.0
_LITELLM_KEY = "sk-benchmark"


async def direct(
    started: Programs, behind: Behind, folder: Path, port: int
) -> tuple[Program, Door]:
    """The echo itself; the program is an idle one, so that nothing is measured between."""
    del folder, port
    idle = [sys.executable, "-c", "import signal; signal.pause()"]
    return started.start("direct", idle), Door(behind.url)


async def byte_gateway(
    started: Programs, behind: Behind, folder: Path, port: int
) -> tuple[Program, Door]:
    del folder
    if behind.dead_url:
        raise Skipped("it has one upstream")
    running = started.module("byte-gateway", "wire.gateway", str(port), behind.url)
    return running, Door(f"http://127.0.0.1:{port}/mcp")


async def flotilla(
    started: Programs, behind: Behind, folder: Path, port: int
) -> tuple[Program, Door]:
    """Our hub with the echo as an external server, by its pass-through route."""
    config = folder / "config"
    config.mkdir()
    (config / "services.yaml").write_text(
        "defaults: {rate_limit: {per_minute: 10000000}, places: {calls: 1000, share: 1}}\n"
        f"services:\n  master: {{number: 0, port: {port}, namespaces: [master]}}\n"
    )
    servers = _servers({name: {"type": "http", "url": url} for name, url in behind.urls().items()})
    (config / "mcp.json").write_text(json.dumps(servers))
    env = {
        **clean_env(),
        **MODULE_ENV,
        "FLOTILLA_DATA_DIR": str(folder / "data"),
        "FLOTILLA_CONFIG_DIR": str(config),
        "FLOTILLA_MCP_CONFIG": str(config / "mcp.json"),
    }
    argv = [sys.executable, str(ROOT / "00_master_mcp" / "mcp_server.py")]
    running = started.start("flotilla", argv, env)
    base = f"http://127.0.0.1:{port}"
    await running.until(lambda: answers(f"{base}/health"), UP_S)
    token = (folder / "data" / "admin_token").read_text().strip()
    door = Door(f"{base}/servers/echo/mcp", headers={"authorization": f"Bearer {token}"})
    try:
        await door.tools()
    except CallFailed as error:
        if "HTTP 404" in str(error):
            raise Skipped("this hub has no external servers yet") from None
    return running, door


async def fastmcp(
    started: Programs, behind: Behind, folder: Path, port: int
) -> tuple[Program, Door]:
    config = folder / "mcp.json"
    config.write_text(json.dumps(_servers({n: {"url": u} for n, u in behind.urls().items()})))
    argv = [str(program("fastmcp", "fastmcp")), "run", str(config), "--transport", "http"]
    argv += ["--port", str(port), "--no-banner", "--log-level", "WARNING"]
    running = started.start("fastmcp", argv)
    return running, Door(f"http://127.0.0.1:{port}/mcp")


async def mcp_proxy(
    started: Programs, behind: Behind, folder: Path, port: int
) -> tuple[Program, Door]:
    """It takes programs to HTTP, so that the echo runs as its child."""
    del folder
    if behind.dead_url:
        raise Skipped("it starts programs; none of them is away")
    argv = [str(program("mcp-proxy", "mcp-proxy")), "--port", str(port), "--pass-environment"]
    return _over_stdio(started, "mcp-proxy", [*argv, "--", *behind.argv], behind, port)


async def supergateway(
    started: Programs, behind: Behind, folder: Path, port: int
) -> tuple[Program, Door]:
    """Stateful: without that it starts a program for each request."""
    del folder
    if behind.dead_url:
        raise Skipped("it has one upstream")
    argv = [_node(), str(script("supergateway")), "--stdio", shlex.join(behind.argv)]
    argv += ["--outputTransport", "streamableHttp", "--stateful", "--port", str(port)]
    argv += ["--logLevel", "none"]
    return _over_stdio(started, "supergateway", argv, behind, port)


async def mcp_hub(
    started: Programs, behind: Behind, folder: Path, port: int
) -> tuple[Program, Door]:
    """Its clients speak the old HTTP+SSE."""
    config = folder / "servers.json"
    config.write_text(json.dumps(_servers({n: {"url": u} for n, u in behind.urls().items()})))
    argv = [_node(), str(script("mcp-hub")), "--port", str(port), "--config", str(config)]
    # It keeps its state in the home folder.
    env = {"HOME": str(folder), "XDG_STATE_HOME": str(folder), "XDG_DATA_HOME": str(folder)}
    running = started.start("mcp-hub", argv, env)
    return running, Door(f"http://127.0.0.1:{port}/mcp", "sse")


async def litellm(
    started: Programs, behind: Behind, folder: Path, port: int
) -> tuple[Program, Door]:
    servers = {name: {"url": url, "transport": "http"} for name, url in behind.urls().items()}
    key = {"master_key": _LITELLM_KEY}
    config = folder / "config.yaml"
    config.write_text(json.dumps({"mcp_servers": servers, "general_settings": key}))
    argv = [str(program("litellm", "litellm")), "--config", str(config)]
    argv += ["--host", "127.0.0.1", "--port", str(port)]
    # Its price list would be fetched from the internet at each start.
    env = {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "HOME": str(folder)}
    running = started.start("litellm", argv, env)
    headers = {"x-litellm-api-key": f"Bearer {_LITELLM_KEY}"}
    return running, Door(f"http://127.0.0.1:{port}/mcp/", headers=headers)


def _over_stdio(
    started: Programs, name: str, argv: list[str], behind: Behind, port: int
) -> tuple[Program, Door]:
    # The echo is its child there, and none of its cost.
    books = Books(Path(behind.argv[-1]))
    running = started.start(name, argv, behind.env, not_counted=books.living)
    return running, Door(f"http://127.0.0.1:{port}/mcp")


def _servers(entries: Mapping[str, Any]) -> dict[str, Any]:
    return {"mcpServers": dict(entries)}


def _node() -> str:
    found = shutil.which("node", path=os.environ.get("PATH"))
    if found is None:
        raise Skipped("there is no node here")
    return found


def _python(name: str, requirement: str) -> Peer:
    start = {"fastmcp": fastmcp, "mcp-proxy": mcp_proxy, "litellm": litellm}.get(name)
    return Peer(
        name,
        requirement.rpartition("==")[2],
        "stdio" if name == "mcp-proxy" else "HTTP",
        start or contextforge.start,
        lambda: python_peer(name, requirement),
    )


OURS = (
    Peer("direct", "", "HTTP", direct),
    Peer("byte-gateway", "", "HTTP", byte_gateway),
    Peer("flotilla", "", "HTTP", flotilla),
)
PEERS = {
    peer.name: peer
    for peer in (
        _python("fastmcp", "fastmcp==4.1.2"),
        _python("mcp-proxy", "mcp-proxy==0.13.0"),
        _python("contextforge", "mcp-contextforge-gateway==1.0.7"),
        _python("litellm", "litellm[proxy]==1.106.0"),
        Peer("mcp-hub", "4.2.1", "HTTP", mcp_hub, lambda: node_peer("mcp-hub", "mcp-hub@4.2.1")),
        Peer(
            "supergateway",
            "4.0.0",
            "stdio",
            supergateway,
            lambda: node_peer("supergateway", "supergateway@4.0.0"),
        ),
    )
}
