"""Hands hints to the broker without a writer ever waiting for it.

`announce` only puts keys aside; a thread of this process sends them. What comes in while it is sending goes into the
next message together, so a burst of saves is a few messages. A broker that refuses, hangs or has too many messages
costs a log line: the hint is dropped and the outbox keeps the change, for the relay or the sweep to find.
"""

import atexit
import logging
import os
import threading
import time
from collections.abc import Iterable
from queue import SimpleQueue
from typing import Any

from ledger.keys import Keys

logger = logging.getLogger(__name__)

LINGER_SECONDS = 0.002
"""Before a message is made: the writer, whom this thread would slow, is done by then, or has more to say."""
BETWEEN_SECONDS = 0.010
"""From one message of a process to the next, at the least; what is announced meanwhile goes into one. Beside a relay,
which is there before the worker, a message is only work for processors that the writers want."""
PAUSE_AFTER_FAILURE_SECONDS = 1.0
FLUSH_AT_EXIT_SECONDS = 3.0
EXPIRES_SECONDS = 60
"""A worker drops what is older: the sweep has been there by then. It stays in the broker as long as no worker asks."""
MOST_WAITING = 10_000
"""With so many messages in the queue no more are sent: no worker is there, or none gets on."""
COUNT_SECONDS = 1.0
"""The shortest between two counts of them, which cost half as much as a message each. What is too many is counted for
each message."""
MOST_IDS = 1_000
"""A hint that would name more names nothing: it then means 'look at everything', which batches better."""


class _Sender:
    def __init__(self) -> None:
        self._waiting: SimpleQueue[Keys | threading.Event] = SimpleQueue()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def announce(self, keys: Keys) -> None:
        if self._thread is None:
            self._start()
        self._waiting.put(keys)

    def flush(self, timeout_seconds: float) -> bool:
        """Wait until everything announced is sent or dropped. False: time ran out."""
        if self._thread is None:
            return True
        is_through = threading.Event()
        self._waiting.put(is_through)
        return is_through.wait(timeout_seconds)

    def _start(self) -> None:
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="hints", daemon=True)
                self._thread.start()

    def _run(self) -> None:
        earliest = time.monotonic()
        while True:
            taken = [self._waiting.get()]
            if isinstance(taken[0], Keys):
                time.sleep(max(LINGER_SECONDS, earliest - time.monotonic()))
            taken += [self._waiting.get_nowait() for _ in range(self._waiting.qsize())]  # nobody else takes from it
            keys = [each for each in taken if isinstance(each, Keys)]
            is_sent = not keys or send(_merged(keys))
            earliest = time.monotonic() + BETWEEN_SECONDS
            for each in taken:
                if isinstance(each, threading.Event):
                    each.set()
            if not is_sent:
                time.sleep(PAUSE_AFTER_FAILURE_SECONDS)  # what comes in meanwhile goes into one message


def _merged(several: Iterable[Keys]) -> Keys:
    together = Keys()
    for keys in several:
        together.update(keys)
        if not keys or together.count() > MOST_IDS:
            return Keys()  # everything
    return together


def send(keys: Keys) -> bool:
    """Send a hint here and now, which may take seconds if the broker hangs. False: it did not take it, or too many
    wait there already. Raises nothing."""
    from ledger.tasks import recompute

    try:
        with recompute.app.producer_or_acquire() as producer:
            if _is_full(recompute.app.amqp.default_queue, producer):
                logger.warning("no hint is sent, changes wait for the relay: %s messages wait already", MOST_WAITING)
                return False
            message = {"keys": keys.as_message()}
            recompute.apply_async(kwargs=message, retry=False, expires=EXPIRES_SECONDS, producer=producer)
    except Exception as error:  # noqa: BLE001 (kombu's, redis' and the socket's errors have no common base)
        logger.warning(
            "no hint could be sent, changes wait for the relay or the sweep: %s: %s", type(error).__name__, error
        )
        return False
    return True


def _is_full(queue: Any, producer: Any) -> bool:
    if time.monotonic() < _counted[0] + COUNT_SECONDS:
        return False
    if queue.bind(producer.channel).queue_declare().message_count >= MOST_WAITING:
        return True
    _counted[0] = time.monotonic()
    return False


_counted = [-COUNT_SECONDS]
"""When there were less than too many, by the monotonic clock."""

_senders = [_Sender()]
"""The one of this process: a fork has none of its parent's threads, and gets a new one."""


def announce(keys: Keys) -> None:
    """Let a worker know that changes naming these keys are committed. Returns at once; never raises."""
    _senders[0].announce(keys)


def flush(timeout_seconds: float = FLUSH_AT_EXIT_SECONDS) -> bool:
    """Wait until all hints are sent or dropped. False: they are not, and the time is over."""
    return _senders[0].flush(timeout_seconds)


def _start_anew_after_fork() -> None:
    _senders[0] = _Sender()


os.register_at_fork(after_in_child=_start_anew_after_fork)
atexit.register(flush)
