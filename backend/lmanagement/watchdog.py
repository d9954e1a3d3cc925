"""Ends a worker that stays up and does nothing, so that systemd starts another.

When its broker goes away in the wrong moment, Celery 5.7 drops what it has half read from a process of its pool
(kombu's `Hub.reset` forgets it), takes the rest for the head of a message, and waits for ever for a message of that
length; or it meets an error, wants to end, and waits for ever for its pool. It answers pings, so nothing outside sees
it; and it holds its processes to be at work, so its own books do not tell either. Here the processes keep a book of
themselves, in shared memory.
"""

import logging
import mmap
import os
import signal
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from billiard import active_children, current_process
from celery import bootsteps
from celery.concurrency.prefork import TaskPool
from celery.signals import task_postrun, task_prerun, task_revoked, worker_process_init
from celery.worker import state
from kombu.exceptions import OperationalError

logger = logging.getLogger(__name__)

STALL_SECONDS = 60.0
LOOK_SECONDS = 5.0
MOST_PROCESSES = 512


class Book:
    """What the processes of a pool do, by themselves. A process writes into its own place of it, and nobody waits."""

    def __init__(self) -> None:
        # two numbers each: how many tasks it has begun, and whether it is at one
        self._places = memoryview(mmap.mmap(-1, MOST_PROCESSES * 16)).cast("Q")
        self._place: int | None = None
        self._discarded = 0

    @property
    def begun(self) -> int:
        """How many tasks they have begun together, or the worker has discarded."""
        return sum(self._places[::2]) + self._discarded

    @property
    def busy(self) -> int:
        """How many of them are at a task."""
        return sum(self._places[1::2])

    def open(self, **_: object) -> None:
        """A process begins, in the place of the one that it replaces."""
        index: int = current_process().index  # type: ignore[attr-defined]  # the pool sets it
        self._place = 2 * (index % MOST_PROCESSES)
        self._places[self._place + 1] = 0

    def begin(self, **_: object) -> None:
        """It begins a task."""
        if self._place is not None:
            self._places[self._place] += 1
            self._places[self._place + 1] = 1

    def end(self, **_: object) -> None:
        """It is done with it."""
        if self._place is not None:
            self._places[self._place + 1] = 0

    def discard(self, **_: object) -> None:
        """The worker itself discards a message that has expired, or was revoked: no process sees it."""
        self._discarded += 1


book = Book()
worker_process_init.connect(book.open)
task_prerun.connect(book.begin)
task_postrun.connect(book.end)
task_revoked.connect(book.discard)


@dataclass(slots=True)
class Stall:
    """How long a worker has been doing nothing although it should."""

    clock: Callable[[], float] = time.monotonic  # not money: seconds
    _begun: int = -1
    _since: float = 0  # not money: seconds

    def seconds(self, *, begun: int, is_idle_in_vain: bool) -> float:  # not money: seconds
        """For how many seconds, at every look, this was so, and no task was begun or discarded."""
        if begun != self._begun or not is_idle_in_vain:
            self._begun, self._since = begun, self.clock()
        return self.clock() - self._since


class Watchdog(bootsteps.StartStopStep):
    """A thread beside the worker's own loop, which may be what hangs."""

    requires = ("celery.worker.components:Pool",)

    def __init__(self, worker: Any, **options: Any) -> None:
        super().__init__(worker, **options)
        self._is_ending = False

    def include_if(self, worker: Any) -> bool:
        """Of the other pools no process is lost."""
        return issubclass(worker.pool_cls, TaskPool)

    def start(self, worker: Any) -> None:
        threading.Thread(target=self._watch, args=(worker,), name="watchdog", daemon=True).start()

    def close(self, worker: Any) -> None:  # noqa: ARG002 (Celery passes it)
        """The worker was told to end, or met an error and wants to."""
        self._is_ending = True

    def _watch(self, worker: Any) -> None:
        stall = Stall()
        while True:
            time.sleep(LOOK_SECONDS)
            try:
                self._look(worker, stall)
            except Exception:  # of kombu's, or of the broker's: whatever it is, nobody else would look
                logger.exception("the watchdog could not look, and will look again")
                stall = Stall()

    def _look(self, worker: Any, stall: Stall) -> None:
        busy = book.busy
        if self._is_ending:
            is_idle_in_vain = not busy
        else:
            is_idle_in_vain = busy < worker.pool.num_processes and (
                len(state.reserved_requests) > busy or _is_queued(worker.app)
            )
        seconds = stall.seconds(begun=book.begun, is_idle_in_vain=is_idle_in_vain)
        if seconds >= STALL_SECONDS:
            why = "it is to end" if self._is_ending else f"something waits and {busy} of its processes are at work"
            logger.critical("this worker has begun nothing for %.0f seconds, although %s: it is ended", seconds, why)
            _end()


def _is_queued(app: Any) -> bool:
    """Whether a message waits in a queue of this worker. While the broker is away, nothing does."""
    with app.connection_for_read() as connection:
        for queue in list(app.amqp.queues.consume_from.values()):
            try:
                if queue.bind(connection.default_channel).queue_declare(passive=True).message_count:
                    return True
            except connection.channel_errors:
                continue  # the broker forgets a queue that is empty
            except (OperationalError, *connection.connection_errors):
                return False
    return False


def _end() -> None:
    """Leave at once: to be told politely, a worker must be listening. Transactions are rolled back, and claims
    reappear (G3)."""
    try:
        for pid in filter(None, (process.pid for process in active_children())):
            with suppress(ProcessLookupError):  # it is gone meanwhile
                os.kill(pid, signal.SIGKILL)
    finally:
        os._exit(1)
