"""How long what is written down about balances and nights is kept (docs/configuration.md)."""

from datetime import timedelta

from django.conf import settings
from django.utils import timezone

from ledger import history, tally, uploads
from reconcile.models import Drift, Finding
from reconcile.sql import queries


def delete_what_is_old() -> None:
    """Delete history, drift and uploads older than HISTORY_DAYS, findings and chunks of runs older than REPORT_DAYS,
    and the files of uploads after some days. Runs with their counts stay, and so does what every balance was
    HISTORY_DAYS ago. What nobody follows is counted and given its position before, so that whoever begins to waits
    for a day's at most. Must not be called inside a transaction."""
    now = timezone.now()
    tally.add_up()
    history.prune(now - timedelta(days=settings.HISTORY_DAYS))
    Drift.objects.filter(run__finished_at__lt=now - timedelta(days=settings.HISTORY_DAYS)).delete()
    before = now - timedelta(days=settings.REPORT_DAYS)
    Finding.objects.filter(run__finished_at__lt=before).delete()
    queries.execute("delete_old_chunks", before=before)
    uploads.delete_what_is_old(now, timedelta(days=settings.HISTORY_DAYS))
