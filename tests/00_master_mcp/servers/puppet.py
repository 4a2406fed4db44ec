"""Run as a program: an MCP server whose tools, words and end are what its caller says.

`python3 puppet.py [--say WORDS] [--crash]`, with the standard library alone. What `describe` makes
of a tool is kept in the home, so that the same program offers it again in its next life.
"""

import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

PLAIN = {
    "echo": "Give back the text.",
    "env": "Give back the value of a variable.",
    "much": "Give back the value of a variable again and again, in that many bytes.",
    "describe": "Give a tool another description.",
    "daemon": "Start a program that leaves the group, the session and the environment.",
    "ignore": "From now on ignore every signal and the end of the input.",
    "hush": "Close the output, and stay.",
    "end": "Say something on standard error, and end.",
    "names": "Tell what variables there are.",
}


class Puppet:
    """Answers one line after another."""

    def __init__(self) -> None:
        # A home outlives its server; the next one of that name is another program.
        self._kept = Path(os.environ["HOME"]) / __file__.replace("/", "_")
        self._tools = json.loads(self._kept.read_text()) if self._kept.exists() else dict(PLAIN)
        self._stubborn = False

    def serve(self) -> None:
        for line in sys.stdin:
            message = json.loads(line)
            if "id" in message and "method" in message:
                self._say({"id": message["id"], **self._answered(message)})
        if self._stubborn:
            threading.Event().wait()

    def _answered(self, message: dict[str, Any]) -> dict[str, Any]:
        params = message.get("params", {})
        match message["method"]:
            case "initialize":
                told = {
                    "protocolVersion": "2025-11-25",
                    "capabilities": {"tools": {"listChanged": True}},
                    "serverInfo": {"name": "puppet", "version": "1.2.3"},
                }
                return {"result": told}
            case "ping":
                return {"result": {}}
            case "tools/list":
                return {"result": {"tools": [self._tool(name) for name in self._tools]}}
            case "tools/call":
                text = self._called(params["name"], params.get("arguments", {}))
                return {"result": {"content": [{"type": "text", "text": text}]}}
            case other:
                return {"error": {"code": -32601, "message": f"no method {other}"}}

    def _tool(self, name: str) -> dict[str, Any]:
        schema = {"type": "object", "additionalProperties": True}
        return {"name": name, "description": self._tools[name], "inputSchema": schema}

    def _called(self, name: str, given: dict[str, Any]) -> str:
        match name:
            case "env":
                return f"it is {os.environ.get(given['name'])} indeed"
            case "much":
                value = os.environ[given["name"]]
                return (f"{value}, " * (given["bytes"] // len(value)))[: given["bytes"]]
            case "names":
                return " ".join(sorted(os.environ))
            case "describe":
                self._tools[given["tool"]] = given["description"]
                self._kept.write_text(json.dumps(self._tools))
                self._say({"method": "notifications/tools/list_changed"})
                return "described"
            case "daemon":
                sleeper = "import time; print('up', flush=True); time.sleep(600)"
                argv = [sys.executable, "-c", sleeper]
                started = subprocess.Popen(
                    argv, env={}, start_new_session=True, stdout=subprocess.PIPE, text=True
                )
                assert started.stdout is not None
                return started.stdout.readline().strip()
            case "ignore":
                import signal

                for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
                    signal.signal(number, signal.SIG_IGN)
                self._stubborn = True
                return "ignored"
            case "hush":
                os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
                return "nobody hears this"
            case "end":
                print(given["words"], file=sys.stderr, flush=True)
                os._exit(given.get("code", 3))
            case _:
                return str(given.get("text"))

    def _say(self, message: dict[str, Any]) -> None:
        sys.stdout.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    if "--crash" in sys.argv:
        sys.exit(" ".join(sys.argv[2:]))
    Puppet().serve()
