"""Celery tasks of the night. Messages only say that there is work; runs and chunks are in PostgreSQL."""

from io import StringIO

from celery import shared_task
from django.core.management import call_command

from reconcile import night
from reconcile.mail import mail_what_is_due
from reconcile.models import ReconciliationRun, RunStatus


@shared_task(name="reconcile.tasks.take_chunk", ignore_result=True)
def take_chunk(run_id: int) -> None:
    """Take one chunk, and come back for the next: between two, a recompute finds the worker free."""
    run = ReconciliationRun.objects.filter(pk=run_id, status=RunStatus.RUNNING).first()
    if run is not None and night.take_chunk(run) is not None:
        take_chunk.delay(run_id)


@shared_task(name="reconcile.tasks.check_night", ignore_result=True)
def check_night() -> None:
    """Go on with a run that was cut off, or begin the night that is owed (G7); mail a report that could not be."""
    if run := night.active_run():
        night.work(run)
    else:
        call_command("sync_licenses", scheduled=True, stdout=StringIO())  # the worker's log is not for reports
    mail_what_is_due()
