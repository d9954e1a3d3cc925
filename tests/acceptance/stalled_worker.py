"""The app of a worker that, on SIGUSR2, stalls as STALL of its environment says, and whose watchdog is impatient then.

`celery -A tests.acceptance.stalled_worker worker`
"""

import os
import signal
import threading
import time
from types import SimpleNamespace
from typing import Any

from celery.signals import task_revoked, worker_ready

from lmanagement import watchdog
from lmanagement.celery import app

__all__ = ["app"]

watchdog.LOOK_SECONDS = 0.1
is_queued, active_children = watchdog._is_queued, watchdog.active_children
NOBODY = SimpleNamespace(pid=2**30)  # greater than any process id


@worker_ready.connect
def get_ready(sender: Any, **_: Any) -> None:
    """`sender` is the worker's consumer."""

    def stall(*_: object) -> None:
        watchdog.STALL_SECONDS = 1.0
        how, _, besides = os.environ["STALL"].partition(", and ")
        match how:
            case "begins none":
                sender.controller._quick_acquire = lambda *_: None  # as if every process of its pool were at work
            case "takes none":
                sender.task_consumer.cancel()
            case "reads no results":
                for results in sender.pool._pool._fileno_to_outq:
                    sender.hub.remove_reader(results)
            case "does not end":
                sender.pool.on_stop = threading.Event().wait
            case "discards slowly":
                task_revoked.connect(lambda **_: time.sleep(0.05), weak=False)
        hamper_the_watchdog(besides)

    signal.signal(signal.SIGUSR2, stall)
    print("listens", flush=True)


def hamper_the_watchdog(how: str) -> None:
    match how:
        case "one look fails":
            watchdog._is_queued = fail_once
        case "a process is gone":
            watchdog.active_children = lambda: [NOBODY, *active_children()]
        case "nobody knows its processes":
            watchdog.active_children = fail


def fail(*_: object) -> Any:
    raise LookupError("on purpose")


def fail_once(*_: object) -> Any:
    watchdog._is_queued = is_queued
    fail()
