"""The Celery app. `celery -A lmanagement worker` consumes every queue, recomputes first."""

import logging
import os
import signal
import sys
from types import FrameType
from typing import Any

from celery import Celery, Task
from celery.beat import Service
from celery.signals import beat_init, celeryd_init, task_failure, task_prerun
from django.db import close_old_connections, connections

from ledger.acting import act
from license import schema
from lmanagement.watchdog import Watchdog

logger = logging.getLogger(__name__)

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "lmanagement.settings")

app = Celery("lmanagement")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
app.steps["worker"].add(Watchdog)


@celeryd_init.connect
@beat_init.connect
def _refuse_an_outdated_schema(**_: Any) -> None:
    """A worker, or beat, begins; what asks workers does not come here."""
    try:
        schema.check_at_start()
    except schema.OutdatedError as error:
        logger.critical("%s", error)
        sys.exit(2)


@task_prerun.connect
def _begin(task: Task[Any, Any], **_: Any) -> None:
    """A broken connection is replaced, as Django does for each request: Celery, which keeps them, does not look at
    them. What is written is written by the task."""
    close_old_connections()
    act(via=f"task {task.name}")


@task_failure.connect
def _let_go_of_its_connection(**_: Any) -> None:
    """A session that began while the database was read-only stays so, and answers as a sound one does."""
    connections.close_all()


@beat_init.connect
def _end_when_told(sender: Service, **_: Any) -> None:
    """Let beat end on SIGTERM wherever it is: at the latest after its next tick.

    Celery's own handler raises SystemExit, and where that hits the callback of a weak reference or a `__del__`, such as
    run while a connection is opened, Python drops it: beat would go on for ever.
    """
    for number in (signal.SIGTERM, signal.SIGINT):
        theirs = signal.getsignal(number)
        if callable(theirs):  # it is not in a beat that its worker ends

            def stop(number: int, frame: FrameType | None, theirs: Any = theirs) -> None:
                sender.stop()
                if "scheduler" not in vars(sender):
                    sys.exit(0)  # it has just begun, and has nothing to save: theirs would make one to save it
                theirs(number, frame)

            signal.signal(number, stop)
