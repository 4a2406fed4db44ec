"""Run as a program: a parent whose only worker heeds no SIGTERM and never reads its channel."""

import signal
import socket
import time

from master.workers.inlet import UP
from master.workers.parent import Parent


def work(number: int, channel: socket.socket) -> None:
    signal.signal(signal.SIGTERM, lambda *_: None)
    channel.send(UP)
    while True:
        time.sleep(1)


if __name__ == "__main__":
    with socket.socket() as public:
        public.bind(("127.0.0.1", 0))
        Parent(public, 1, work, grace_s=0.1).run()
