"""The reconciliation of every license: audited, reported, repaired.

A run and its chunks live in PostgreSQL. Whoever calls `work` takes chunks one after the other, each with a lease, until
none is to be had; any number may work on a run at once, nobody waits for anybody, and what a dead worker held is taken
again when its lease is over. The last one to finish a chunk ends the run.
"""

import logging
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import date
from functools import cache

from django.db import Error, IntegrityError, transaction
from django.db.models import F
from django.utils import timezone

from ledger.engine import drain, recompute
from ledger.keys import Keys
from license.about import about
from reconcile.audit import find_drift
from reconcile.guard import trigger_faults
from reconcile.mail import mail_what_is_due
from reconcile.models import ReconciliationChunk, ReconciliationRun, RunStatus, RunTrigger
from reconcile.report import find
from reconcile.retention import delete_what_is_old
from reconcile.sql import queries

logger = logging.getLogger(__name__)

BATCH_SIZE = 1_000
"""Licenses to a chunk. What a chunk costs besides them, mostly the planning of a long statement, is then little; a
worker is at it for about a tenth of a second, for some where every balance is wrong."""

LEASE_SECONDS = 120
ATTEMPTS = 3


@dataclass(frozen=True, slots=True)
class Chunk:
    """A range of license ids that is ours until the lease is over."""

    pk: int
    first: int
    last: int
    attempts: int


def active_run() -> ReconciliationRun | None:
    """The run that is not over, if there is one."""
    return ReconciliationRun.objects.filter(status=RunStatus.RUNNING).first()


def business_date() -> date:
    """The business date by PostgreSQL's clock, by which flags turn. By another one that is ahead of it, the night would
    begin before that midnight, turn no flag, and count as done."""
    day: date = queries.column("business_date")[0]
    return day


def is_owed(today: date) -> bool:
    """Whether the night of this business date has not begun."""
    return not ReconciliationRun.objects.filter(business_date=today, trigger=RunTrigger.NIGHT).exists()


def start(
    trigger: RunTrigger, *, batch_size: int = BATCH_SIZE, is_without_items: bool = False
) -> ReconciliationRun | None:
    """Begin a run and cut its work into chunks. None: another one is active, or it is a night that has been already;
    the unique keys of PostgreSQL decide, so two beats or two people at the same instant begin one.

    A night gives up the allotments whose last day has passed, and their licenses follow before it looks at any."""
    given_up = Keys()
    try:
        with transaction.atomic(durable=True):
            today = business_date()
            run = ReconciliationRun.objects.create(
                business_date=today,
                trigger=trigger,
                is_without_items=is_without_items,
                trigger_faults=[asdict(fault) for fault in trigger_faults()],
            )
            queries.execute("create_chunks", run_id=run.pk, batch_size=batch_size)
            if trigger == RunTrigger.NIGHT:
                given_up.add("allotment_id", queries.column("give_up_allotments", today=today))
    except IntegrityError:
        return None
    with about(run=run.pk):
        logger.info("%s has begun, by %s", run, trigger)
        if given_up:
            drain(given_up)
    return run


def work(run: ReconciliationRun, progress: Callable[[int], None] = lambda _: None) -> None:
    """Take chunks of a run until none is to be had. `progress` is called with the number of licenses of each."""
    while (licenses := take_chunk(run)) is not None:
        progress(licenses)


def take_chunk(run: ReconciliationRun) -> int | None:
    """Take a chunk and reconcile it: how many licenses it has. None: there is none to be had; then the run is ended,
    unless somebody else is at one still.

    A chunk that fails is taken again, by anybody, three times in all; it stops no other, and the run says so.
    """
    with about(run=run.pk):
        chunk = _lease(run)
        if chunk is None:
            _finish(run)
            return None
        try:
            return _reconcile(run, chunk)
        except Error as error:  # of the database, whatever it is: written down, and tried again
            logger.exception("licenses of ids %s to %s could not be reconciled", chunk.first, chunk.last)
            # unless another one has it by now
            ReconciliationChunk.objects.filter(pk=chunk.pk, finished_at=None, attempts=chunk.attempts).update(
                error=str(error), leased_until=None
            )
            return 0


def _finish(run: ReconciliationRun) -> None:
    """End a run that has no chunk left to work on, with its findings; the first who comes does it. Then tell people,
    and tidy up."""
    with transaction.atomic(durable=True):
        if not queries.execute("finish_run", run_id=run.pk, attempts=ATTEMPTS):
            return
        run.refresh_from_db()
        try:
            with transaction.atomic():
                find(run)
        except Error as error:  # a run without findings is over all the same: the next night must not wait for it
            logger.exception("the findings of %s could not be written down", run)
            run.findings_error = str(error)
            run.save(update_fields=["findings_error"])
    counts = run.licenses_checked, run.licenses_drifted, run.licenses_repaired
    logger.info("%s is %s; licenses checked: %s, drifted: %s, repaired: %s", run, run.status, *counts)
    mail_what_is_due()
    try:
        delete_what_is_old()
    except Error:  # the next night tries again
        logger.exception("what is old could not be deleted")


def _lease(run: ReconciliationRun) -> Chunk | None:
    rows = queries.rows("lease_chunk", run_id=run.pk, lease_seconds=LEASE_SECONDS, attempts=ATTEMPTS)
    return Chunk(*rows[0]) if rows else None


def _reconcile(run: ReconciliationRun, chunk: Chunk) -> int:
    """Audit a chunk, repair it through the engine, audit what was repaired, and write all of that down at once."""
    license_ids = queries.column("licenses_of_chunk", first=chunk.first, last=chunk.last)
    faults = cache(trigger_faults)  # once a chunk, if at all
    before = find_drift(license_ids, faults)
    outcome = recompute(before.license_ids, with_items=not run.is_without_items)
    still = find_drift(before.license_ids, faults) if before.license_ids else before
    if outcome.busy:
        logger.warning("%s licenses were busy; their drift is left to the next run", len(outcome.busy))
    level = logging.INFO if before.license_ids else logging.DEBUG
    told = chunk.first, chunk.last, len(license_ids), len(before.license_ids)
    logger.log(level, "licenses of ids %s to %s: %s checked, %s had drifted", *told)
    with transaction.atomic(durable=True):
        # one that was too slow has lost its lease: another one's record of the chunk stands alone
        is_ours = ReconciliationChunk.objects.filter(
            pk=chunk.pk, finished_at=None, attempts=chunk.attempts, run__status=RunStatus.RUNNING
        ).update(finished_at=timezone.now(), error="")
        if is_ours:
            if before.license_ids:
                queries.execute("write_drift", run_id=run.pk, chunk_id=chunk.pk, drift=before.rows, still=still.rows)
            ReconciliationRun.objects.filter(pk=run.pk).update(
                licenses_checked=F("licenses_checked") + len(license_ids)
            )
    return len(license_ids)
