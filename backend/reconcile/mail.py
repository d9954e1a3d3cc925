"""Mails the report of a night to those who are configured (docs/configuration.md)."""

import logging
from datetime import timedelta
from smtplib import SMTPException

from django.conf import settings
from django.core.mail import EmailMultiAlternatives
from django.db import transaction
from django.utils import timezone

from reconcile.models import ReconciliationRun, RunTrigger
from reconcile.report import Report, gather, title
from reconcile.report_html import as_html
from reconcile.report_text import as_text

logger = logging.getLogger(__name__)

MOST_LISTED = 200
OLD_AFTER = timedelta(days=1)
"""A report that could not be mailed for so long is left to be looked up."""


def mail_what_is_due() -> None:
    """Mail the newest night's report, unless it has been mailed, nobody wants it, or it is older than a day.

    A mail server that refuses or is away is no failure of the night: it is written down on the run and logged, and
    tried again with the next call. Two callers at once send one mail; one who dies between the mail server's yes and
    the commit has it sent twice.
    """
    if not settings.REPORT_RECIPIENTS:
        return
    nights = ReconciliationRun.objects.filter(trigger=RunTrigger.NIGHT, finished_at__gt=timezone.now() - OLD_AFTER)
    newest = nights.order_by("pk").last()
    if newest is None or newest.mailed_at is not None:
        return
    with transaction.atomic(durable=True):
        free = ReconciliationRun.objects.select_for_update(skip_locked=True, no_key=True)
        if run := free.filter(pk=newest.pk, mailed_at=None).first():
            _mail(run)


def _mail(run: ReconciliationRun) -> None:
    try:
        send_report(run, settings.REPORT_RECIPIENTS)
    except (OSError, SMTPException) as error:
        logger.warning("the report of %s could not be mailed: %s: %s", run, type(error).__name__, error)
        run.mail_error = f"{type(error).__name__}: {error}"
    else:
        run.mailed_at, run.mail_error = timezone.now(), ""
    run.save(update_fields=["mailed_at", "mail_error"])


def send_report(run: ReconciliationRun, recipients: list[str]) -> None:
    """Mail the report of a run: as text, and with the HTML file. Raises OSError, SMTPException."""
    report = gather(run, MOST_LISTED)
    html = as_html(report)
    message = EmailMultiAlternatives(_subject(report), as_text(report), to=recipients)
    message.attach(f"reconciliation-{run.business_date:%Y-%m-%d}.html", html, "text/html")
    message.send()


def _subject(report: Report) -> str:
    return f"{title(report.run)}: {'needs a look' if report.is_worrying else 'all is well'}"
