"""Ends a worker that stays up and does nothing, so that systemd starts another.

After its broker was away, a worker of Celery may come back, take as many messages as it may hold, or none, and never
begin one. It answers pings, so nothing outside sees it. Here is what a worker knows of itself: for a whole minute
something waited, in its hands or in its queues, it had a process free, and it began nothing.
"""

import logging
import os
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from billiard import active_children
from celery import bootsteps
from celery.worker import state

logger = logging.getLogger(__name__)

STALL_SECONDS = 60.0
LOOK_SECONDS = 5.0


@dataclass(slots=True)
class Stall:
    """How long a worker has been doing nothing although it could."""

    clock: Callable[[], float] = time.monotonic  # not money: seconds
    _begun: int = -1
    _since: float = 0  # not money: seconds

    def seconds(self, *, begun: int, could_begin: bool) -> float:  # not money: seconds
        """For how many seconds, at every look, the worker `could_begin` a task, and the number of those that it has
        `begun` is the same."""
        if begun != self._begun or not could_begin:
            self._begun, self._since = begun, self.clock()
        return self.clock() - self._since


class Watchdog(bootsteps.StartStopStep):
    """A thread beside the worker's own loop, which may be what hangs."""

    requires = ("celery.worker.components:Pool",)

    def __init__(self, worker: Any, **options: Any) -> None:
        super().__init__(worker, **options)
        self._is_over = threading.Event()

    def start(self, worker: Any) -> None:
        threading.Thread(target=self._watch, args=(worker,), name="watchdog", daemon=True).start()

    def close(self, worker: Any) -> None:  # noqa: ARG002 (Celery passes it)
        """A worker that was told to end begins nothing more, and is not stalled."""
        self._is_over.set()

    def _watch(self, worker: Any) -> None:
        stall = Stall()
        while not self._is_over.wait(LOOK_SECONDS):
            begun, active = state.all_total_count[0], len(state.active_requests)
            waits = active < worker.concurrency and (len(state.reserved_requests) > active or _is_queued(worker.app))
            seconds = stall.seconds(begun=begun, could_begin=waits)
            if seconds >= STALL_SECONDS:
                logger.critical(
                    "this worker has begun nothing for %.0f seconds, although something waits and it is at %s tasks "
                    "of %s; it ends, to be started again",
                    seconds,
                    active,
                    worker.concurrency,
                )
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
            except connection.connection_errors:
                return False
    return False


def _end() -> None:
    """Leave at once: to be told politely, a worker must be listening. Transactions are rolled back, and claims
    reappear (G3)."""
    for pid in filter(None, (process.pid for process in active_children())):
        os.kill(pid, signal.SIGKILL)
    os._exit(1)
