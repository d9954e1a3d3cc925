"""The app of a worker that, once it is ready, stalls as STALL says. SIGUSR2 makes its watchdog impatient.

`celery -A tests.acceptance.stalled_worker worker`
"""

import os
import signal
import threading
from typing import Any

from celery.signals import worker_ready

from lmanagement import watchdog
from lmanagement.celery import app

__all__ = ["app"]

watchdog.LOOK_SECONDS = 0.1


def lose_patience(*_: object) -> None:
    watchdog.STALL_SECONDS = 1.0


signal.signal(signal.SIGUSR2, lose_patience)


@worker_ready.connect
def stall(sender: Any, **_: Any) -> None:
    """`sender` is the worker's consumer."""
    match how := os.environ["STALL"]:
        case "begins none":
            sender.controller.semaphore.value = 0  # as if every process of its pool were at work
        case "takes none":
            sender.task_consumer.cancel()
        case "reads no results":
            sender.hub.call_soon(lambda: [sender.hub.remove_reader(fd) for fd in sender.pool._pool._fileno_to_outq])
        case "does not end":
            sender.pool.on_stop = threading.Event().wait
    print(f"stalls: {how}", flush=True)
