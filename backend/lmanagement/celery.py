"""The Celery app. `celery -A lmanagement worker` consumes every queue, recomputes first."""

import logging
import os
import sys
from typing import Any

from celery import Celery, Task
from celery.apps.beat import Beat
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


class _Service(Service):
    """Beat ends on SIGTERM wherever it is: at the latest after its next tick, and while it begins, too.

    Celery's handler has the schedule saved by `sync`, and raises SystemExit. Where that hits the callback of a weak
    reference or a `__del__`, such as run while a connection is opened, Python drops it, and beat would go on for ever.
    And a schedule that is only being made would be made once more in order to be saved.
    """

    def sync(self) -> None:
        self.stop()
        if "scheduler" in vars(self):
            super().sync()


Beat.Service = _Service
