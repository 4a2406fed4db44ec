"""The parent of the hub's workers: accepts on the one port, shares out, restarts, ends.

It accepts and passes each connection to the next worker that is up, over a Unix socket. Workers
that share one listening socket leave it to chance who takes how many, and one that wakes first
takes all that wait; sockets of their own (SO_REUSEPORT) are even in number, but what waits on the
socket of a worker that has died or hangs waits with it. Here each gets its turn, one that leaves
something untaken comes last, and what a dead one had not taken goes to another: the parent lets go
of a connection only when its worker says that it has it.

Workers are forked from what is imported already, so that one that starts again has nothing to
import, and shares a third of its memory. So this is plain code without threads or a loop, which a
fork would break.
"""

import gc
import os
import selectors
import signal
import socket
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from time import monotonic
from typing import NoReturn

import structlog

from flotilla.backoff import delay_s
from flotilla.serving.run import EXIT_FAILED, EXIT_MISCONFIGURED, STEADY_S
from master.workers.inlet import DOWN, GIVEN, TAKEN, UP

log = structlog.get_logger(__name__)

BACKLOG = 2048
MAX_GIVEN = 16
"""Connections that a worker may leave untaken before it gets no more."""
HUNG_S = 30.0
"""A worker that leaves a connection untaken for so long is killed, and begins anew."""
ACCEPTED_AT_ONCE = 64
LAST_WORD_S = 5.0
"""What a worker gets beyond the grace of its calls to close its connections and files."""
NO_ROOM_S = 0.1
RESTART_CAP_S = 5.0
_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD)

Work = Callable[[int, socket.socket], None]
"""Is the worker of that number, in a process of its own; reads connections from the channel."""


class _Worker:
    """One worker through all its lives; `process` is None between them."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.process: int | None = None
        self.channel: socket.socket | None = None
        self.up = False
        self.given: deque[tuple[float, socket.socket]] = deque()
        """What it was given and has not taken yet, and when."""
        self.started_at = 0.0
        self.start_at: float | None = None
        """When its next life begins."""
        self.failures = 0
        self.was_up = False


class Parent:
    """`run` keeps `count` workers going on the `public` socket until a signal ends it."""

    def __init__(self, public: socket.socket, count: int, work: Work, grace_s: float) -> None:
        self._public = public
        self._work = work
        self._grace_s = grace_s
        self._workers = [_Worker(number) for number in range(count)]
        self._next = 0
        self._unplaced: deque[socket.socket] = deque()
        self._accepting = False
        self._asked_to_end = False
        self._kill_at: float | None = None
        self._code = 0
        self._selector = selectors.DefaultSelector()
        self._leash, self._held = os.pipe()
        """Workers read the one end; the other is the parent's alone, and closed when it is gone."""
        self._woken, self._wake = socket.socketpair()

    def run(self) -> int:
        """The exit code: 0, or 2 when the first worker says that it is misconfigured."""
        for each in (self._public, self._woken, self._wake):
            each.setblocking(False)
        self._selector.register(self._woken, selectors.EVENT_READ, self._drain_wakes)
        signal.set_wakeup_fd(self._wake.fileno(), warn_on_full_buffer=False)
        for number in _SIGNALS:
            signal.signal(number, self._on_signal)
        # The others start when the first is up: a mistake is told once, new keys are made once.
        self._workers[0].start_at = monotonic()
        # What is there now stays where it is, and so shared with the workers.
        gc.freeze()
        while not self._over():
            self._turn()
        log.info("workers_ended")
        return self._code

    def _over(self) -> bool:
        stopping = self._kill_at is not None
        return stopping and all(each.process is None for each in self._workers)

    def _turn(self) -> None:
        for key, _ in self._selector.select(self._pause_s()):
            key.data()
        for worker in self._workers:
            self._reap(worker)
        if self._asked_to_end and self._kill_at is None:
            self._stop()
        now = monotonic()
        if self._kill_at is None:
            for worker in self._workers:
                if worker.start_at is not None and worker.start_at <= now:
                    self._start(worker)
            self._end_the_hung(now)
        elif now >= self._kill_at:
            self._signal(signal.SIGKILL)
            self._kill_at = now + 1.0
        self._place_all()

    def _pause_s(self) -> float | None:
        """Until something is to be done whatever happens."""
        moments = [each.start_at for each in self._workers if each.start_at is not None]
        moments += [each.given[0][0] + HUNG_S for each in self._workers if each.given]
        if self._kill_at is not None:
            moments = [self._kill_at]
        return max(0.0, min(moments) - monotonic()) if moments else None

    def _on_signal(self, number: int, _: object) -> None:
        # Acted on in the next turn: here a worker may just have been reaped and be known no more.
        self._asked_to_end |= number != signal.SIGCHLD

    def _stop(self) -> None:
        self._kill_at = monotonic() + self._grace_s + LAST_WORD_S
        self._signal(signal.SIGTERM)

    def _signal(self, number: int) -> None:
        for worker in self._workers:
            if worker.process is not None:
                os.kill(worker.process, number)  # not reaped yet, so the number is still its own

    def _drain_wakes(self) -> None:
        try:
            self._woken.recv(4096)
        except BlockingIOError:
            return

    # --- connections ------------------------------------------------------------------------------

    def _accept(self) -> None:
        for _ in range(ACCEPTED_AT_ONCE):
            try:
                connection, _ = self._public.accept()
            except BlockingIOError:
                return
            except ConnectionError:  # its client has gone already
                continue
            except OSError as error:
                log.error("cannot_accept", reason=error.strerror)
                time.sleep(NO_ROOM_S)  # no descriptors are left: asking at once finds none either
                return
            with suppress(OSError):  # its client has gone already, which its worker sees too
                # Else the second small part of an answer waits 40 ms for an acknowledgement.
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._unplaced.append(connection)

    def _place_all(self) -> None:
        """Give away what waits, then listen to the port if anybody could take more."""
        while self._unplaced and (worker := self._taker()) is not None:
            self._give(worker, self._unplaced.popleft())
        accepting = self._taker() is not None and not self._unplaced
        if accepting and not self._accepting:
            self._public.listen(BACKLOG)
            self._selector.register(self._public, selectors.EVENT_READ, self._accept)
        elif self._accepting and not accepting:
            self._selector.unregister(self._public)
        self._accepting = accepting

    def _taker(self) -> _Worker | None:
        """Of those that have the least untaken, the next in turn; None where nobody takes any."""
        count = len(self._workers)
        in_turn = (self._workers[(self._next + step) % count] for step in range(count))
        takers = (each for each in in_turn if each.up and len(each.given) < MAX_GIVEN)
        return min(takers, key=lambda each: len(each.given), default=None)

    def _give(self, worker: _Worker, connection: socket.socket) -> None:
        assert worker.channel is not None, "a worker that is up has a channel"
        self._next = worker.number + 1
        try:
            socket.send_fds(worker.channel, [GIVEN], [connection.fileno()])
        except OSError:  # it has just ended, which is seen next
            worker.up = False
            self._unplaced.append(connection)
            return
        worker.given.append((monotonic(), connection))

    def _hear(self, worker: _Worker) -> None:
        assert worker.channel is not None, "it is what was read"
        try:
            words = worker.channel.recv(4096)
        except BlockingIOError:
            return
        except ConnectionError:
            words = b""
        if not words:
            self._take_back(worker)
        for word in (bytes([each]) for each in words):
            if word == TAKEN:
                worker.given.popleft()[1].close()
            elif word == DOWN:
                worker.up = False
            elif word == UP:
                worker.up = worker.was_up = True
                log.info("worker_up", worker=worker.number, pid=worker.process)
                if worker is self._workers[0]:
                    self._start_the_others()

    def _take_back(self, worker: _Worker) -> None:
        """The channel has ended: what the worker has not taken goes to others."""
        worker.up = False
        if worker.channel is not None:
            self._selector.unregister(worker.channel)
            worker.channel.close()
            worker.channel = None
        self._unplaced.extendleft(connection for _, connection in reversed(worker.given))
        worker.given.clear()

    # --- processes --------------------------------------------------------------------------------

    def _start_the_others(self) -> None:
        for worker in self._workers[1:]:
            if worker.started_at == 0.0:
                worker.start_at = monotonic()

    def _end_the_hung(self, now: float) -> None:
        for worker in self._workers:
            if worker.given and worker.given[0][0] + HUNG_S <= now and worker.process is not None:
                log.error("worker_hangs", worker=worker.number, pid=worker.process)
                os.kill(worker.process, signal.SIGKILL)
                worker.given[0] = (now, worker.given[0][1])

    def _start(self, worker: _Worker) -> None:
        worker.start_at = None
        worker.started_at = monotonic()
        ours, theirs = socket.socketpair()
        # A signal between the fork and the worker's own handlers would be lost.
        signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
        try:
            process = os.fork()
            if process == 0:
                self._be(worker.number, theirs, ours)
        except OSError as error:
            ours.close()
            worker.failures += 1
            worker.start_at = monotonic() + delay_s(worker.failures, cap_s=RESTART_CAP_S)
            log.error("worker_cannot_start", worker=worker.number, reason=error.strerror)
            return
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
            theirs.close()
        ours.setblocking(False)
        worker.process, worker.channel = process, ours
        self._selector.register(ours, selectors.EVENT_READ, lambda: self._hear(worker))

    def _be(self, number: int, channel: socket.socket, parents: socket.socket) -> NoReturn:
        """The forked process: let go of what is the parent's, work, and end."""
        code = EXIT_FAILED
        try:
            signal.set_wakeup_fd(-1)
            for each in _SIGNALS:
                signal.signal(each, signal.SIG_DFL)
            # Ctrl-C reaches every process of a terminal; the parent passes on what is meant.
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
            self._selector.close()
            os.close(self._held)
            others = (each.channel for each in self._workers if each.channel is not None)
            waiting = (each for worker in self._workers for _, each in worker.given)
            for each in (self._public, self._woken, self._wake, parents, *others, *waiting):
                each.close()
            for each in self._unplaced:
                each.close()
            threading.Thread(target=self._follow, daemon=True).start()
            self._work(number, channel)
            code = 0
        except SystemExit as ended:
            code = ended.code if isinstance(ended.code, int) else EXIT_FAILED
        except BaseException:  # the top-level handler of this process: it ends here
            log.exception("worker_failed", worker=number)
        finally:
            os._exit(code)  # the parent's frames above are not ours to unwind

    def _follow(self) -> None:
        """In a worker: end it when the parent has gone, however that went and whatever it does."""
        os.read(self._leash, 1)  # nobody ever writes: it returns when the parent's end is closed
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(self._grace_s + LAST_WORD_S)
        os.kill(os.getpid(), signal.SIGKILL)

    def _reap(self, worker: _Worker) -> None:
        if worker.process is None:
            return
        process, status = os.waitpid(worker.process, os.WNOHANG)
        if process == 0:
            return
        worker.process = None
        if worker.channel is not None:
            self._hear(worker)  # its last words: what it has taken is its own, and gone with it
        code = os.waitstatus_to_exitcode(status)
        self._take_back(worker)
        if self._kill_at is not None:
            return
        if code == EXIT_MISCONFIGURED and not worker.was_up:
            self._code = code
            self._stop()
            return
        lived_s = monotonic() - worker.started_at
        worker.failures = 1 if lived_s > STEADY_S else worker.failures + 1
        pause_s = delay_s(worker.failures, cap_s=RESTART_CAP_S)
        worker.start_at = monotonic() + pause_s
        how = f"signal {-code}" if code < 0 else f"exit code {code}"
        log.error("worker_ended", worker=worker.number, how=how, restart_in_s=round(pause_s, 2))
