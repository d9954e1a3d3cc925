"""Mails the report of a night to those who are configured (docs/configuration.md)."""

import logging
from datetime import timedelta
from smtplib import SMTPException
from typing import Any

from django.conf import settings
from django.core.mail import EmailMultiAlternatives
from django.db.models import Q
from django.utils import timezone

from license.about import about
from reconcile.models import ReconciliationRun, RunTrigger
from reconcile.report import gather, subject
from reconcile.report_html import as_html
from reconcile.report_text import as_text

logger = logging.getLogger(__name__)

CANNOT_BE_MAILED = (OSError, SMTPException, ValueError)
"""What Django's mail raises: ValueError for an address or a password that cannot be written."""

MOST_LISTED = 200
OLD_AFTER = timedelta(days=1)
"""A report that could not be mailed for so long is left to be looked up."""
LOST_AFTER = timedelta(minutes=4)
"""One who began to mail so long ago, and has not said how it went, is dead."""


def mail_what_is_due() -> None:
    """Mail the newest night's report, unless it has been mailed, nobody wants it, or it is older than a day.

    A mail that cannot be sent is no failure of the night: it is written down on the run and logged, and tried again
    with the next call. Two callers at once send one mail; where one dies between the mail server's yes and writing that
    down, it is sent twice. Must not be called inside a transaction.
    """
    if not settings.REPORT_RECIPIENTS:
        return
    now = timezone.now()
    nights = ReconciliationRun.objects.filter(trigger=RunTrigger.NIGHT, finished_at__gt=now - OLD_AFTER)
    newest = nights.order_by("pk").last()
    if newest is None:
        return
    due = ReconciliationRun.objects.filter(
        Q(mail_begun_at=None) | Q(mail_begun_at__lt=now - LOST_AFTER), pk=newest.pk, mailed_at=None
    )
    if due.update(mail_begun_at=now):
        with about(run=newest.pk):
            _mail(newest)


def _mail(run: ReconciliationRun) -> None:
    told: dict[str, Any]
    try:
        send_report(run, settings.REPORT_RECIPIENTS)
    except CANNOT_BE_MAILED as error:
        why = f"{type(error).__name__}: {error}"
        logger.warning("the report of %s could not be mailed: %s", run, why)
        told = {"mail_begun_at": None, "mail_error": why}
    else:
        logger.info("the report of %s is mailed", run)
        told = {"mailed_at": timezone.now(), "mail_error": ""}
    ReconciliationRun.objects.filter(pk=run.pk).update(**told)


def send_report(run: ReconciliationRun, recipients: list[str]) -> None:
    """Mail the report of a run: as text, and with the HTML file. Raises one of CANNOT_BE_MAILED."""
    run.mail_error = ""  # of another mail
    report = gather(run, MOST_LISTED)
    message = EmailMultiAlternatives(subject(report), as_text(report), to=recipients)
    message.attach(f"reconciliation-{run.business_date:%Y-%m-%d}.html", as_html(report), "text/html")
    message.send()
