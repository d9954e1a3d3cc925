"""Hands hints to the broker without a writer ever waiting for it.

`announce` only puts keys aside; a thread of this process sends them. What comes in while it is sending goes into the
next message together, so a burst of saves is a few messages. A broker that refuses or hangs costs a log line: the hint
is dropped and the outbox keeps the change, for the relay or the sweep to find.
"""

import atexit
import logging
import os
import threading
import time

from ledger.keys import Keys

logger = logging.getLogger(__name__)

PAUSE_AFTER_FAILURE_SECONDS = 1.0
FLUSH_AT_EXIT_SECONDS = 3.0
EXPIRES_SECONDS = 60
MOST_IDS = 1_000
"""A hint that would name more names nothing: it then means 'look at everything', which batches better."""


class _Sender:
    def __init__(self) -> None:
        self._lock = threading.Condition()
        self._waiting: Keys | None = None
        self._is_sending = False
        self._thread: threading.Thread | None = None

    def announce(self, keys: Keys) -> None:
        with self._lock:
            self._waiting = _merged(self._waiting, keys)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="hints", daemon=True)
                self._thread.start()
            self._lock.notify_all()

    def flush(self, timeout_seconds: float) -> bool:
        """Wait until everything announced is sent or dropped. False: time ran out."""
        with self._lock:
            return self._lock.wait_for(lambda: self._waiting is None and not self._is_sending, timeout_seconds)

    def _run(self) -> None:
        while True:
            with self._lock:
                self._lock.wait_for(lambda: self._waiting is not None)
                keys, self._waiting, self._is_sending = self._waiting, None, True
            is_sent = send(keys or Keys())
            with self._lock:
                self._is_sending = False
                self._lock.notify_all()
            if not is_sent:
                time.sleep(PAUSE_AFTER_FAILURE_SECONDS)  # what comes in meanwhile goes into one message


def _merged(waiting: Keys | None, keys: Keys) -> Keys:
    if waiting is None:
        merged = Keys()
    elif waiting and keys:
        merged = waiting
    else:
        return Keys()  # one of them means everything
    merged.update(keys)
    return merged if merged.count() <= MOST_IDS else Keys()


def send(keys: Keys) -> bool:
    """Send a hint here and now, which may take seconds if the broker hangs. False: it did not take it. Raises nothing.

    One that no worker takes soon is worth nothing: the sweep has been there by then, and messages must not pile up."""
    from ledger.tasks import recompute

    try:
        recompute.apply_async(kwargs={"keys": keys.as_message()}, retry=False, expires=EXPIRES_SECONDS)
    except Exception as error:  # noqa: BLE001 (kombu's, redis' and the socket's errors have no common base)
        logger.warning(
            "no hint could be sent, changes wait for the relay or the sweep: %s: %s", type(error).__name__, error
        )
        return False
    return True


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
