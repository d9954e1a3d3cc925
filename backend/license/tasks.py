"""The nightly task, under the name that users know. What it does is in `reconcile`, which this app does not import: it
calls the command by its name."""

import logging
from io import StringIO
from typing import NotRequired, TypedDict

from celery import shared_task
from django.core.management import CommandError, call_command
from django.db import DatabaseError
from django.utils import timezone

logger = logging.getLogger(__name__)


class SyncResult(TypedDict):
    """What `sync_all_licenses` returns."""

    status: str
    """`success` or `error`."""
    output: str
    """What the command printed."""
    timestamp: str
    """When it was over: ISO 8601, with its offset from UTC."""
    error: NotRequired[str]
    """Why it failed; not there on success."""


@shared_task(name="license.tasks.sync_all_licenses")
def sync_all_licenses(scheduled: bool = False) -> SyncResult:
    """Reconcile every license, as `manage.py sync_licenses` does; `scheduled`: only if the night of this business date
    has not been.

    `success` also where licenses are in quarantine (the output counts them) and where a run was active already (this
    call then took part in it). `error`: a part of the work failed for good, or nothing could be done. It needs no
    worker: the caller does whatever no worker takes.
    """
    output = StringIO()
    error = None
    try:
        call_command("sync_licenses", scheduled=scheduled, stdout=output, stderr=output)
    except (CommandError, DatabaseError) as failure:
        error = str(failure)
        logger.error("the reconciliation failed: %s", error)  # noqa: TRY400 (what failed is logged where it did)
    result: SyncResult = {
        "status": "success" if error is None else "error",
        "output": output.getvalue(),
        "timestamp": timezone.now().isoformat(),
    }
    if error is not None:
        result["error"] = error
    return result
