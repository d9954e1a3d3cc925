"""Turns changes into balances: `drain` works off the outbox, `recompute` makes given licenses right.

Each batch is one READ COMMITTED transaction of separate statements, in this order (docs/decisions/0003-engine-order.md
says what goes wrong in any other): claim changes, resolve them to licenses, fan out those that mean too many, try the
lock of every license, compute and write what differs, delete the changes whose licenses were all done. A change is
deleted only with the balance it asked for, or with the quarantine row that takes its place (G3, G6); killed anywhere,
a batch leaves everything as it was.
"""

import logging
import random
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

from django.db import DatabaseError, Error, transaction

from ledger.keys import NAMES, Keys
from ledger.sql import queries
from license.about import named
from license.models import License

logger = logging.getLogger(__name__)

Result = TypeVar("Result")
_Asked = Sequence[tuple[int, int]]
"""Changes, each with a license that it means."""

BATCH_CHANGES = 1_000
"""What one transaction claims, besides other changes of the same licenses. More would leave nothing to others."""
BATCH_LICENSES = 500
"""How many licenses one transaction locks: PostgreSQL's lock table is shared and small (6,400 by default)."""

ATTEMPTS = 8
"""How often a batch is tried again after a deadlock, or while others hold its licenses, at growing intervals of up to
a second. What is busy after that stays in the outbox and is found by the next drain."""

POISON = ("22", "23", "54", "P0", "XX001")
"""Beginnings of SQLSTATEs that lie in one license's data (a sum that exceeds its column, a refused row, a page that
cannot be read), not in the server, the connection or the schema."""
LOCK_NOT_AVAILABLE = "55P03"
STARTS_AGAIN = ("40P01", "40001")


@dataclass(slots=True)
class Outcome:
    """What a drain or a recompute did."""

    recomputed: int = 0
    """Licenses whose balances are equal to their facts."""
    written: int = 0
    """Those of them with a balance row that differed, was missing or was left over."""
    written_numbers: list[str] = field(default_factory=list)
    """Which, of one transaction."""
    changes: int = 0
    """Changes worked off."""
    quarantined: set[int] = field(default_factory=set)
    """Licenses whose recompute failed by itself."""
    busy: set[int] = field(default_factory=set)
    """Licenses left as they were, since another engine or somebody's row lock held them. Their changes are kept."""

    def add(self, other: "Outcome") -> None:
        """Count what `other` did too; busy stays as it is, and so does what is of one transaction."""
        self.recomputed += other.recomputed
        self.written += other.written
        self.changes += other.changes
        self.quarantined |= other.quarantined


def recompute(license_ids: Iterable[int], *, with_items: bool = True) -> Outcome:
    """Make the balances of these licenses equal to their facts, whether or not a change is pending.

    A license that no longer exists loses its balances. One that fails by itself is quarantined (G6). Pending changes
    are left alone: to work them off later changes nothing. Without items, the balances of import items stay as they
    are, and so does a quarantine. Must not be called inside a transaction.
    """
    outcome = Outcome()
    ordered = sorted(set(license_ids))
    for start in range(0, len(ordered), BATCH_LICENSES):
        waiting = set(ordered[start : start + BATCH_LICENSES])
        for attempt in range(ATTEMPTS):
            _back_off(attempt)
            waiting -= _again_after_deadlock(partial(_recompute_batch, waiting, outcome, with_items=with_items))
            if not waiting:
                break
        outcome.busy |= waiting
    return outcome


def drain(keys: Keys | None = None, *, is_short: bool = False) -> Outcome:
    """Work off pending changes: those that `keys` name and all else of their transactions, or every one.

    Returns when none is left of what was there when it looked, except what others are at work on. A short one tries
    nothing twice, and returns after a full batch that worked anything off, though there may be more. Safe to run any
    number of times at once, and with nothing to do. Must not be called inside a transaction.
    """
    outcome = Outcome()
    transactions = queries.column("transactions_of_keys", **_ids(keys)) if keys else None
    if transactions == []:
        return outcome
    left: dict[int, set[int]] = {}
    attempt = 0
    while True:
        batch, is_all, is_last = _again_after_deadlock(partial(_drain_batch, transactions, list(left), outcome))
        left |= batch
        if is_short and (is_last or (outcome.changes and not is_all)):
            break
        if not is_last:
            continue
        if not left or attempt == ATTEMPTS - 1:
            break
        attempt += 1
        _back_off(attempt)
        left.clear()
    outcome.busy = set().union(*left.values())
    return outcome


def sweep() -> Outcome:
    """Work off every pending change, and try the quarantined licenses again whose time has come. Must not be called
    inside a transaction."""
    outcome = drain()
    outcome.add(recompute(due_for_retry()))
    return outcome


def due_for_retry() -> list[int]:
    """The quarantined licenses whose next try is due."""
    return queries.column("due_for_retry")


def _recompute_batch(license_ids: set[int], outcome: Outcome, *, with_items: bool) -> set[int]:
    with _transaction(outcome) as done:
        return _write(_try_locks(license_ids), [], done, with_items=with_items)


def _drain_batch(
    transactions: Sequence[str] | None, busy: Sequence[int], outcome: Outcome
) -> tuple[dict[int, set[int]], bool, bool]:
    """Work off a batch of changes: of these transactions, or any (None); not the busy ones. Returns those that stay,
    each with those of its licenses that were busy, whether there was no more to claim, and whether none of what was
    claimed is left for the next batch either."""
    with _transaction(outcome) as done:
        claimed = queries.rows(
            "claim_changes",
            everything=transactions is None,
            transaction_ids=transactions or [],
            busy=busy,
            at_most=BATCH_CHANGES,
        )
        if not claimed:
            return {}, True, True
        licenses_of = {change: {license_id} - {None} for change, license_id, _ in claimed}
        if several := [change for change, _, may_mean_several in claimed if may_mean_several]:
            for change in queries.column("fan_out_changes", change_ids=several, at_most=BATCH_LICENSES):
                del licenses_of[change]
            for change, license_id in queries.rows("resolve_changes", change_ids=several):
                licenses_of[change].add(license_id)
        chosen = _choose(licenses_of)
        locked = _try_locks(set().union(*chosen.values()))
        same = queries.rows("claim_same_licenses", claimed=list(licenses_of), license_ids=locked) if locked else []
        chosen |= {change: {license_id} for change, license_id in same}
        asked = [(change, license_id) for change, licenses in chosen.items() for license_id in licenses]
        written = _write(locked, asked, done)
        left = {change: missing for change, licenses in chosen.items() if (missing := licenses - written)}
        worked_off = [change for change in chosen if change not in left]
        queries.execute("delete_changes", change_ids=worked_off)
        done.changes = len(worked_off)
    is_all = len(claimed) < BATCH_CHANGES
    return left, is_all, is_all and chosen.keys() >= {change for change, *_ in claimed}


def _choose(licenses_of: dict[int, set[int]]) -> dict[int, set[int]]:
    """The oldest changes that together mean no more licenses than a batch may lock, and every other change that means
    none beyond those: a burst of changes of one license is one recompute."""
    wanted: set[int] = set()
    for licenses in licenses_of.values():
        if len(wanted | licenses) > BATCH_LICENSES:
            break
        wanted |= licenses
    return {change: licenses for change, licenses in licenses_of.items() if licenses <= wanted}


def _try_locks(license_ids: set[int]) -> list[int]:
    return [license_id for license_id, got in queries.rows("lock_licenses", license_ids=list(license_ids)) if got]


def _write(locked: list[int], asked: _Asked, done: Outcome, *, with_items: bool = True) -> set[int]:
    """Compute and write the balances of licenses whose locks are held, and remember what asked for it. Returns those
    that need no more doing: written, or quarantined.

    A batch that fails for its data is halved until the bad license is alone; the others go on. Faults that are nobody's
    data (no connection, a full disk, a missing table) are raised, and the transaction leaves all as it was.
    """
    if not locked:
        return set()
    try:
        with transaction.atomic():  # a savepoint: the locks outlive what fails in it
            written = queries.rows(
                "write_balances",
                license_ids=locked,
                today=None,
                with_items=with_items,
                change_ids=[change for change, _ in asked],
                change_license_ids=[license_id for _, license_id in asked],
            )
    except DatabaseError as error:
        if _sqlstate(error) == LOCK_NOT_AVAILABLE:
            return _write(_without_held(locked), asked, done, with_items=with_items)
        if not _sqlstate(error).startswith(POISON):
            raise
        if len(locked) > 1:
            half = len(locked) // 2
            return _write(locked[:half], asked, done, with_items=with_items) | _write(
                locked[half:], asked, done, with_items=with_items
            )
        numbers = _numbers(locked)
        said = named(numbers) or f"of id {locked[0]}", str(error).splitlines()[0]
        logger.error("license %s is quarantined: %s", *said, extra={"license": numbers})  # noqa: TRY400
        logger.debug("what its recompute failed with", exc_info=True)
        queries.execute("quarantine_license", license_id=locked[0], error=str(error))
        done.quarantined.update(locked)
    else:
        done.recomputed += len(locked)
        done.written += len(written)
        done.written_numbers += [number for _, number in written]
    return set(locked)


def _tell(done: Outcome) -> None:
    """A line for each transaction that changed a balance; of the others there is nothing to say."""
    if numbers := done.written_numbers:
        said = "balances have changed of %s (licenses: %s; changes worked off: %s)"
        logger.info(said, named(numbers), done.written, done.changes, extra={"license": numbers})


def _numbers(license_ids: list[int]) -> list[str]:
    """For the log. None of them where they cannot be read, which may be what is wrong."""
    try:
        with transaction.atomic():
            return list(License.objects.filter(pk__in=license_ids).values_list("license_number", flat=True))
    except Error:
        return []


def _without_held(license_ids: list[int]) -> list[int]:
    """Those of these licenses of whose balances nobody else holds a row; none of them, where it is a table of facts or
    of balances that somebody holds. The others are left for later."""
    try:
        with transaction.atomic():
            held = set(queries.column("held_licenses", license_ids=license_ids))
    except DatabaseError as error:
        if _sqlstate(error) != LOCK_NOT_AVAILABLE:
            raise
        held = set()
    if not held:
        logger.warning("%s licenses are left for later: somebody holds a lock on a whole table", len(license_ids))
        return []
    numbers = _numbers(list(held))
    said = "left for later, since somebody holds a lock on their balances: %s (licenses: %s)"
    logger.warning(said, named(numbers), len(held), extra={"license": numbers})
    return [license_id for license_id in license_ids if license_id not in held]


@contextmanager
def _transaction(outcome: Outcome) -> Iterator[Outcome]:
    """A transaction of the engine. What is done in it counts once it has committed."""
    done = Outcome()
    with transaction.atomic(durable=True):
        queries.execute("begin_recompute")
        yield done
    outcome.add(done)
    _tell(done)


def _again_after_deadlock(batch: Callable[[], Result]) -> Result:
    """What `batch` returns. Nothing of ours deadlocks; what somebody does to balances by hand may."""
    for attempt in range(1, ATTEMPTS):
        try:
            return batch()
        except DatabaseError as error:
            if _sqlstate(error) not in STARTS_AGAIN:
                raise
            _back_off(attempt)
    return batch()


def _back_off(attempt: int) -> None:
    """Wait before attempt 1, 2 …: about 20 ms, doubling, a second at most, and never quite as long as the others."""
    if attempt:
        longest_seconds = min(1, 2**attempt / 100)
        time.sleep(random.uniform(longest_seconds / 2, longest_seconds))


def _sqlstate(error: DatabaseError) -> str:
    return getattr(error.__cause__, "sqlstate", None) or ""


def _ids(keys: Keys) -> dict[str, list[int]]:
    return {f"{name}s": sorted(getattr(keys, name)) for name in NAMES}
