"""A canary for a network of its own: `python web_canary.py`, in a network namespace.

It answers HTTP on port 80 of every address, and writes a line of JSON for each packet that comes
in by another link than loopback, of whatever protocol, and for each request. Standard library
alone.
"""

import json
import socket
import struct
import sys
import threading
from typing import Any

FOUND = "what-only-the-inside-knows"
_ETH_P_ALL, _IGMP = 3, 2


def _said(what: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


def _watch() -> None:
    heard = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(_ETH_P_ALL))
    _said({"ready": True})
    while True:
        packet, (link, protocol, kind, *_) = heard.recvfrom(65535)
        # 4 is what this side sends; ARP, IGMP and IPv6's own chatter are of the link and of nobody.
        if kind != 4 and link != "lo" and protocol == 0x0800 and packet[9] != _IGMP:
            to = socket.inet_ntoa(struct.unpack_from("!4s", packet, 16)[0])
            _said({"packet": to, "protocol": packet[9]})


def _serve(connection: socket.socket, own: str) -> None:
    with connection:
        connection.settimeout(10)
        head = b""
        while b"\r\n\r\n" not in head:
            more = connection.recv(65536)
            if not more:
                return
            head += more
        _said({"request": head.split(b"\r\n")[0].decode("latin-1"), "at": own})
        body = FOUND.encode()
        if b"/leads?" in head:
            target = head.split(b"?", 1)[1].split(b" ")[0]
            connection.sendall(
                b"HTTP/1.1 302 x\r\ncontent-length: 0\r\nconnection: close\r\nlocation: http://"
                + target + b"/\r\n\r\n"
            )  # fmt: skip
            return
        connection.sendall(
            b"HTTP/1.1 200 OK\r\ncontent-type: text/html\r\nconnection: close\r\n"
            b"access-control-allow-origin: *\r\ncontent-length: %d\r\n\r\n" % len(body) + body
        )


def main() -> None:
    server = socket.create_server(("0.0.0.0", 80), backlog=64)
    threading.Thread(target=_watch, daemon=True).start()
    while True:
        connection, _ = server.accept()
        own = connection.getsockname()[0]
        threading.Thread(target=_serve, args=(connection, own), daemon=True).start()


if __name__ == "__main__":
    main()
