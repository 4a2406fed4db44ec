"""What the gate of web browsing costs: latency and throughput as ratios against going directly.

usage: python3 benchmarks/gate.py [--requests 500] [--megabytes 128] [--rounds 3] [--memory 1024]

A server, the gate and the client are three processes on loopback, the client in plain blocking
sockets. Every figure is held against the same requests without the gate, in the same run and in
turns; the best of the rounds counts. Beside it stands what CPU the gate spent. Last, what the
gate's memory does while a large body passes. Quote the ratios, and the CPU before the time:
machines are noisy, and two cores are few for three processes.
"""

import argparse
import asyncio
import os
import socket
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Generator
from contextlib import AsyncExitStack, ExitStack, contextmanager
from pathlib import Path
from typing import cast

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "07_web_browsing_mcp")]

import uvloop  # noqa: E402

from flotilla.certificates import make_certificates  # noqa: E402
from flotilla.tls import CERTIFICATE, KEY, TRUSTED  # noqa: E402
from web_browsing.gate.proxy import Proxy  # noqa: E402
from web_browsing.gate.rules import Rules  # noqa: E402
from web_browsing.gate.visitor import PASS, Allowance, Outgoing, Ruling, Visitor  # noqa: E402

SMALL = b"x" * 2048
PIECE = b"x" * 65536
MEBIBYTE = 1024 * 1024
MAX_BYTES = 1 << 40

Way = Callable[[], socket.socket]
"""Opens a connection on which `GET /<size>` is answered with that many bytes."""


class Origin(asyncio.Protocol):
    """Answers `GET /<size>` with so many bytes."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._left = 0
        self._paused = False

    def data_received(self, data: bytes) -> None:
        path = data.split(b" ", 2)[1]
        self._left = int(path.rpartition(b"/")[2])
        head = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: %d\r\n\r\n"
        first = min(self._left, len(SMALL))
        self._left -= first
        self._transport.write(head % (self._left + first) + SMALL[:first])
        self._go_on()

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        self._go_on()

    def _go_on(self) -> None:
        while self._left and not self._paused:
            piece = PIECE[: self._left]
            self._left -= len(piece)
            self._transport.write(piece)


async def serve_origin(folder: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "server" / CERTIFICATE, folder / "server" / KEY)
    loop = asyncio.get_running_loop()
    plain = await loop.create_server(Origin, "127.0.0.1", 0)
    secure = await loop.create_server(Origin, "127.0.0.1", 0, ssl=context)
    print(*(each.sockets[0].getsockname()[1] for each in (plain, secure)), flush=True)
    await asyncio.Event().wait()


async def allow(outgoing: Outgoing) -> Ruling:
    del outgoing
    return PASS


async def serve_gate(folder: Path, ports: list[int]) -> None:
    rules = Rules.of(ports, [f"127.0.0.1:{port}" for port in ports])
    proxy = Proxy(rules, ca_file=folder / "client" / TRUSTED)
    allowance = Allowance(bytes_in=MAX_BYTES, bytes_each=MAX_BYTES, requests=MAX_BYTES)
    visitors = [
        Visitor("tunnels", allowance=allowance),
        Visitor("looked", judge=allow, allowance=allowance),
    ]
    async with AsyncExitStack() as stack:
        listening = [socket.create_server(("127.0.0.1", 0)) for _ in visitors]
        for visitor, each in zip(visitors, listening, strict=True):
            await stack.enter_async_context(proxy.serving(visitor, each))
        print(*(each.getsockname()[1] for each in listening), flush=True)
        await asyncio.Event().wait()


@contextmanager
def started(role: str, *words: str) -> Generator[tuple[int, list[int]]]:
    """A process in that role: its ID and its ports."""
    process = subprocess.Popen(
        [sys.executable, __file__, "--role", role, *words], stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        yield process.pid, list(map(int, process.stdout.readline().split()))
    finally:
        process.terminate()
        process.wait(10)


def dialled(port: int) -> socket.socket:
    made = socket.create_connection(("127.0.0.1", port))
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return made


def tunnelled(gate: int, port: int) -> socket.socket:
    made = dialled(gate)
    made.sendall(b"CONNECT 127.0.0.1:%d HTTP/1.1\r\nHost: x\r\n\r\n" % port)
    assert made.recv(1000).startswith(b"HTTP/1.1 200"), "the gate is shut"
    return made


def secured(raw: socket.socket) -> socket.socket:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context.wrap_socket(raw)


def fetch(connection: socket.socket, size: int, buffer: bytearray, origin: str = "") -> None:
    connection.sendall(f"GET {origin}/{size} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    head = connection.recv_into(buffer)
    while b"\r\n\r\n" not in buffer[:head]:
        head += connection.recv_into(memoryview(buffer)[head:])
    left = size - (head - buffer.index(b"\r\n\r\n") - 4)
    while left:
        taken = connection.recv_into(buffer)
        assert taken, "the connection broke off"
        left -= taken


def latency_us(way: Way, origin: str, requests: int) -> float:
    with way() as connection:
        buffer = bytearray(MEBIBYTE)
        fetch(connection, len(SMALL), buffer, origin)
        began = time.perf_counter()
        for _ in range(requests):
            fetch(connection, len(SMALL), buffer, origin)
        return (time.perf_counter() - began) / requests * 1e6


def opening_us(way: Way, origin: str, times: int) -> float:
    buffer = bytearray(MEBIBYTE)
    began = time.perf_counter()
    for _ in range(times):
        with way() as connection:
            fetch(connection, 1, buffer, origin)
    return (time.perf_counter() - began) / times * 1e6


def seconds_per_gib(way: Way, origin: str, megabytes: int) -> float:
    with way() as connection:
        buffer = bytearray(MEBIBYTE)
        began = time.perf_counter()
        fetch(connection, megabytes * MEBIBYTE, buffer, origin)
        return (time.perf_counter() - began) * 1024 / megabytes


def cpu_s(pid: int) -> float:
    """To a hundredth of a second."""
    times = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(times[11]) + int(times[12])) / os.sysconf("SC_CLK_TCK")


def resident_mib(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / MEBIBYTE


def compare(asked: argparse.Namespace, folder: Path) -> None:
    with ExitStack() as stack:
        _, (plain, secure) = stack.enter_context(started("origin", str(folder)))
        pid, (gate, looking) = stack.enter_context(
            started("gate", str(folder), str(plain), str(secure))
        )
        whole = f"http://127.0.0.1:{plain}"
        ways: dict[str, tuple[str, str, Way]] = {
            "http directly": ("", "", lambda: dialled(plain)),
            "http, whole URLs": ("http directly", whole, lambda: dialled(gate)),
            "https directly": ("", "", lambda: secured(dialled(secure))),
            "https, tunnel": ("https directly", "", lambda: secured(tunnelled(gate, secure))),
            "https, looked into": (
                "https directly",
                "",
                lambda: secured(tunnelled(looking, secure)),
            ),
        }
        few, requests, megabytes = 50, asked.requests, asked.megabytes
        # What a second of the gate's CPU is in the measure's unit stands beside.
        measures: dict[str, tuple[Callable[[Way, str], float], float]] = {
            "a small answer, µs": (lambda way, at: latency_us(way, at, requests), 1e6 / requests),
            "a new connection, µs": (lambda way, at: opening_us(way, at, few), 1e6 / few),
            "a GiB, s": (lambda way, at: seconds_per_gib(way, at, megabytes), 1024 / megabytes),
        }
        for measure, (of, unit) in measures.items():
            best = dict.fromkeys(ways, float("inf"))
            least = dict.fromkeys(ways, float("inf"))
            for _ in range(asked.rounds):
                for name, (_, origin, way) in ways.items():
                    spent_s = cpu_s(pid)
                    best[name] = min(best[name], of(way, origin))
                    least[name] = min(least[name], (cpu_s(pid) - spent_s) * unit)
            print(f"{measure:22}{'whole':>10}{'CPU of the gate':>18}")
            for name, (floor, _, _) in ways.items():
                ratio = f"{best[name] / best[floor]:.2f} times {floor}" if floor else ""
                print(f"  {name:20}{best[name]:10.1f}{least[name]:18.1f}   {ratio}")
        before = resident_mib(pid)
        seconds_per_gib(ways["https, looked into"][2], "", asked.memory)
        after = resident_mib(pid)
        print(f"memory of the gate: {before:.0f} MiB, after {asked.memory} MiB: {after:.0f} MiB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--requests", type=int, default=500)
    parser.add_argument("--megabytes", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--memory", type=int, default=1024)
    parser.add_argument("--role", nargs="+", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.role and asked.role[0] == "origin":
        uvloop.run(serve_origin(Path(asked.role[1])))
    elif asked.role:
        uvloop.run(serve_gate(Path(asked.role[1]), list(map(int, asked.role[2:]))))
    else:
        with tempfile.TemporaryDirectory() as made:
            folder = Path(made)
            make_certificates(folder, "client", ["server"], names=["127.0.0.1"])
            compare(asked, folder)


if __name__ == "__main__":
    main()
