"""The app of a worker that, on SIGUSR2, stalls as STALL of its environment says, and whose watchdog is impatient then.

`celery -A tests.acceptance.stalled_worker worker`
"""

import os
import signal
import threading
import time
from typing import Any

from celery.signals import task_revoked, worker_ready

from lmanagement import watchdog
from lmanagement.celery import app

__all__ = ["app"]

watchdog.LOOK_SECONDS = 0.1


@worker_ready.connect
def get_ready(sender: Any, **_: Any) -> None:
    """`sender` is the worker's consumer."""

    def stall(*_: object) -> None:
        watchdog.STALL_SECONDS = 1.0
        match os.environ["STALL"]:
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

    signal.signal(signal.SIGUSR2, stall)
    print("listens", flush=True)
