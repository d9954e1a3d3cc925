"""`manage.py sync_licenses`"""

import logging
import re
from argparse import ArgumentParser, ArgumentTypeError
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone
from kombu.exceptions import OperationalError as BrokerError

from ledger.engine import recompute
from ledger.models import Quarantine
from license.clock import INDIA
from license.formats import as_license_number, day, grouped
from license.models import License
from license.progress import license_bar
from reconcile import night
from reconcile.audit import Audit, Cause, audit, audit_all, together
from reconcile.evidence import why
from reconcile.guard import trigger_faults
from reconcile.models import ReconciliationRun, RunStatus, RunTrigger
from reconcile.report import MOST_FAILURES, failures, gather
from reconcile.report_text import as_text

logger = logging.getLogger(__name__)

HELPERS = 4
HELP_EXPIRES_SECONDS = 60
SHOWN = 20


class Command(BaseCommand):
    """The reconciliation by hand: every balance is compared with its facts, and repaired."""

    help = (
        "Compares every balance with its facts, reports what differs, and repairs it. "
        "Exit status: 0 done, 1 a part of it failed or the license is unknown."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--license", metavar="NUMBER", help="this license alone; default: all")
        parser.add_argument("--no-items", action="store_true", help="report drift of import items, do not repair it")
        parser.add_argument("--dry-run", action="store_true", help="report, change nothing")
        parser.add_argument(
            "--batch-size",
            type=_positive,
            default=night.BATCH_SIZE,
            metavar="N",
            help="licenses at a time; default: 1000",
        )
        parser.add_argument(
            "--scheduled", action="store_true", help="only if the night of this business date has not been"
        )

    def handle(
        self,
        *,
        license: str | None,
        no_items: bool,
        dry_run: bool,
        batch_size: int,
        scheduled: bool,
        **_: Any,
    ) -> None:
        if license is not None:
            self._one(license, dry_run=dry_run, with_items=not no_items)
        elif dry_run:
            self._report(together(audit_all(trigger_faults(), batch_size)))
        elif scheduled and not night.is_owed(night.business_date()) and not night.active_run():
            self.stdout.write(f"The night of {day(night.business_date())} has been.")
        else:
            self._all(batch_size, is_scheduled=scheduled, is_without_items=no_items)

    def _one(self, license_number: str, *, dry_run: bool, with_items: bool) -> None:
        number = as_license_number(license_number)
        license_id = License.objects.filter(license_number=number).values_list("pk", flat=True).first()
        if license_id is None:
            raise CommandError(f"No license has the number '{number}'.")
        self._report(audit([license_id], trigger_faults()))
        if dry_run:
            return
        outcome = recompute([license_id], with_items=with_items)
        if outcome.quarantined:
            held = Quarantine.objects.get(pk=license_id)
            raise CommandError(
                f"License {number} cannot be recomputed and is in quarantine: {held.error.splitlines()[0]}"
            )
        if outcome.busy:
            raise CommandError(f"License {number} is held by somebody else; try again in a moment.")
        self.stdout.write(f"License {number} is recomputed.")

    def _all(self, batch_size: int, *, is_scheduled: bool, is_without_items: bool) -> None:
        is_night = is_scheduled or night.is_owed(night.business_date())
        trigger = RunTrigger.NIGHT if is_night and not is_without_items else RunTrigger.MANUAL
        run = night.start(trigger, batch_size=batch_size, is_without_items=is_without_items)
        if run is None:
            run = night.active_run()
            if run is None:  # it was, and is over by now
                self.stdout.write("Another run has just ended; nothing is left to do.")
                return
            since = f"{timezone.localtime(run.started_at, INDIA):%d %b %Y %H:%M:%S} IST"
            self.stdout.write(f"A run is active since {since}; taking part in it.")
        self._ask_for_help(run)
        self._work(run)
        run.refresh_from_db()
        if run.status == RunStatus.RUNNING:
            self.stdout.write("Others are at its last licenses, and will end it.")
            return
        self.stdout.write(as_text(gather(run, SHOWN)), ending="")
        if run.status == RunStatus.INCOMPLETE:
            failed = failures(run)
            raise CommandError(f"{len(failed)} chunks of the run failed: " + "; ".join(failed[:MOST_FAILURES]))

    def _ask_for_help(self, run: ReconciliationRun) -> None:
        """Let workers take chunks as well. Where there are none, or no broker, this process does it all."""
        from reconcile.tasks import take_chunk

        try:
            for _ in range(min(HELPERS, run.chunks.count() - 1)):
                take_chunk.apply_async((run.pk,), expires=HELP_EXPIRES_SECONDS, retry=False)
        except (BrokerError, OSError) as error:
            logger.warning("no worker could be asked for help, this process does it all: %s", error)

    def _work(self, run: ReconciliationRun) -> None:
        with license_bar() as bar:
            task = bar.add_task("reconciling", total=License.objects.count())
            night.work(run, lambda licenses: bar.advance(task, licenses))

    def _report(self, found: Audit) -> None:
        drift = found.drift
        expired = sum(difference.cause is Cause.EXPIRY for difference in found.differences)
        self.stdout.write(
            f"{found.licenses_checked} licenses checked, {len(drift)} differences, {expired} expiry flags to turn, "
            f"{found.pending} changes pending."
        )
        for d in drift[:SHOWN]:
            item = f" item {d.serial_number}" if d.serial_number else ""
            numbers = f"{grouped(d.stored)}, expected {grouped(d.expected)}"
            self.stdout.write(f"  {d.license_number}{item} {d.field}: {numbers} ({why(d.cause, d.evidence)})")
        if len(drift) > SHOWN:
            self.stdout.write(f"  and {len(drift) - SHOWN} more; manage.py audit_drift lists them")


def _positive(text: str) -> int:
    if not re.fullmatch(r"[1-9][0-9]{0,8}", text, re.ASCII):
        raise ArgumentTypeError(f"{text!r} is not a number of licenses, from 1 to 999999999")
    return int(text)
