"""`manage.py night_report`"""

import sys
from argparse import ArgumentParser, ArgumentTypeError
from datetime import date
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from license.formats import day
from license.tables import WIDTH_OF_A_FILE
from reconcile.mail import CANNOT_BE_MAILED, send_report
from reconcile.models import ReconciliationRun
from reconcile.report import gather, last_run
from reconcile.report_files import as_csv, as_json
from reconcile.report_html import as_html
from reconcile.report_text import as_text

SHOWN = 50
SHOWN_IN_HTML = 1_000


class Command(BaseCommand):
    """Shows what a reconciliation found, from its records."""

    help = (
        "Shows what a reconciliation found: what drifted and was repaired, and what somebody should look at. "
        "Exit status: 0 shown, 1 there is no such run or it could not be written or mailed."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        which = parser.add_mutually_exclusive_group()
        which.add_argument("--run", type=int, metavar="ID", help="this run; default: the newest that is over")
        which.add_argument("--date", type=_date, metavar="YYYY-MM-DD", help="the newest run of this business date")
        parser.add_argument(
            "--format", choices=("table", "json", "csv", "html"), default="table", help="default: table"
        )
        where = parser.add_mutually_exclusive_group()
        where.add_argument("--output", metavar="FILE", type=Path, help="write to a file; default: standard output")
        where.add_argument("--mail", action="store_true", help="mail it to REPORT_RECIPIENTS instead, once more")

    def handle(
        self,
        *,
        run: int | None,
        date: date | None,
        format: str,  # noqa: A002
        output: Path | None,
        mail: bool,
        **_: Any,
    ) -> None:
        shown = ReconciliationRun.objects.filter(pk=run).first() if run is not None else last_run(date)
        if shown is None:
            raise CommandError(
                f"There is no run {run}."
                if run is not None
                else f"No run of {day(date)} is over."
                if date
                else "No run is over yet."
            )
        if mail:
            self._mail(shown)
            return
        width = None if output is None and sys.stdout.isatty() else WIDTH_OF_A_FILE
        text = as_text(gather(shown, SHOWN), width) if format == "table" else FORMATS[format](shown)
        if output is None:
            self.stdout.write(text, ending="")
            return
        try:
            output.write_text(text, encoding="utf-8", newline="")
        except OSError as error:
            raise CommandError(f"{output} cannot be written: {error.strerror}.") from None

    def _mail(self, run: ReconciliationRun) -> None:
        to = settings.REPORT_RECIPIENTS
        if not to:
            raise CommandError("REPORT_RECIPIENTS names nobody.")
        try:
            send_report(run, to)
        except CANNOT_BE_MAILED as error:
            raise CommandError(f"The report could not be mailed: {type(error).__name__}: {error}") from None
        self.stdout.write(f"The report of run {run.pk} was mailed to {', '.join(to)}.")


def _json(run: ReconciliationRun) -> str:
    return as_json(gather(run))


def _csv(run: ReconciliationRun) -> str:
    return as_csv(gather(run))


def _html(run: ReconciliationRun) -> str:
    return as_html(gather(run, SHOWN_IN_HTML))


FORMATS = {"json": _json, "csv": _csv, "html": _html}


def _date(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise ArgumentTypeError(f"{text!r} is not a date like 2026-11-22") from None
