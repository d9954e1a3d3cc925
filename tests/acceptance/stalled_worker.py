"""The app of a worker that stalls, once it is ready, as the environment's STALL says; its watchdog has little patience.

`celery -A tests.acceptance.stalled_worker worker`
"""

import os
from typing import Any

from celery.signals import worker_ready

from lmanagement import watchdog
from lmanagement.celery import app

__all__ = ["app"]

watchdog.STALL_SECONDS, watchdog.LOOK_SECONDS = 1.0, 0.1


@worker_ready.connect
def stall(sender: Any, **_: Any) -> None:
    """`sender` is the worker's consumer."""
    match how := os.environ["STALL"]:
        case "begins none":
            sender.controller.semaphore.value = 0  # as if every process of its pool were at work
        case "takes none":
            sender.task_consumer.cancel()
    print(f"stalls: {how}", flush=True)
