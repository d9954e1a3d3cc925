"""Ledgers → facts: set by set, all or nothing for each license, and twice is once.

What becomes of each line is said in docs/icegate.md, and in the first line of each sql/icegate_*.sql. The writes are
plain SQL: no Django signal tells of them, the triggers do, and a hint after each commit makes the balances follow at
once.
"""

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import date
from enum import StrEnum

from django.db import DataError, IntegrityError, OperationalError, connection, transaction

from ledger.hints import announce
from ledger.icegate.ledger import Ledger
from ledger.keys import Keys
from ledger.sql import load as load_sql
from license.clock import business_date

LICENSES_AT_ONCE, DEBITS_AT_ONCE = 200, 5_000
ATTEMPTS = 5
# a deadlock with an ordinary writer, as two writers always could have; or one who was first with the same row
STARTS_AGAIN = ("40P01", "40001", "23505", "23503")
LOCK_NOT_AVAILABLE = "55P03"


class AnotherLoadError(RuntimeError):
    """Another load of ledgers has been under way for a minute."""


# in this order; most yield (license number, note) for what they changed, or for what a person should know
STEPS = (
    "icegate_pass_over_older",
    "icegate_companies",
    "icegate_ports",
    "icegate_update_licenses",
    "icegate_create_licenses",
    "icegate_find_licenses",
    "icegate_export_items",
    "icegate_check_entitlement",
    "icegate_import_items",
    "icegate_check_items",
    "icegate_find_items",
    "icegate_find_bills",
    "icegate_complete_bills",
    "icegate_create_bills",
    "icegate_find_bills",  # once more: every debit has its bill now
    "icegate_check_ports",
    "icegate_update_lines",
    "icegate_create_lines",
    "icegate_dispute_lines",
    "icegate_customs_balances",
    "icegate_check_debits",
)
OLDER = "icegate_pass_over_older"
CHECKS = ("icegate_check_entitlement", "icegate_check_items", "icegate_check_ports", "icegate_check_debits")
CREATES = "icegate_create_licenses"


class Status(StrEnum):
    """What loading a ledger did."""

    CREATED = "created"
    UPDATED = "updated"
    UNCHANGED = "unchanged"
    OLDER = "older"
    """We hold a newer ledger of the license: nothing was changed."""
    REFUSED = "refused"
    """Nothing was changed; the notes say why. A person has to do something."""


@dataclass(frozen=True, slots=True)
class Change:
    """One fact that a load wrote."""

    kind: str
    """`license`, `export item`, `import item`, `debit`."""
    what: str
    """`new`, `changed`; of a debit also `disputed` (the ledger does not show it any more) and `found again`."""
    serial_number: int | None
    bill: str | None
    """The number of the bill of entry."""
    fields: dict[str, tuple[str | None, str | None]]
    """What each was and is, as PostgreSQL writes it: those that differ, of what is new those that are not empty."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """What became of one ledger, and what a person should know of it."""

    ledger: Ledger
    status: Status
    notes: tuple[str, ...]


Changes = Mapping[str, Sequence[Change]]
"""What was written of each license, by its number, what is new last."""


class Follower:
    """Somebody who follows a load: told of every step, and of every change."""

    def stepped(self, licenses: int) -> None:
        """So many licenses are one of `STEPS` further; the transaction is open."""

    def loaded(self, outcomes: Sequence[Loaded], changes: Changes) -> None:
        """Licenses are done with: in the transaction that writes them, where one does. An error here undoes it."""


def load(
    ledgers: Sequence[Ledger],
    *,
    force: bool = False,
    ledger_date: date | None = None,
    progress: Callable[[int], None] = lambda _: None,
    follower: Follower | None = None,
) -> list[Loaded]:
    """Load ledgers of different licenses; `ledger_date` is the day of print of those that do not say it.

    Guarantees: each license is loaded whole or not at all; a license that fails keeps no other from being loaded; what
    is equal already is not written, so that loading twice leaves not even a change. Unless `force` is set, a ledger
    whose totals do not fit is refused. `progress` is called with the number of licenses that are done with; a
    `follower` hears more. Raises AnotherLoadError. Must not be called inside a transaction.
    """
    return _load_all(ledgers, _Way(force, ledger_date, follower), progress)


def batches(ledgers: Iterable[Ledger]) -> Iterator[list[Ledger]]:
    """As many as are loaded in one transaction: for so long who changes the same licenses may wait. A license that has
    more debits than that is one by itself."""
    batch: list[Ledger] = []
    debits = 0
    for ledger in ledgers:
        debits += len(ledger.debits)
        if batch and (len(batch) == LICENSES_AT_ONCE or debits > DEBITS_AT_ONCE):
            yield batch
            batch, debits = [], len(ledger.debits)
        batch.append(ledger)
    if batch:
        yield batch


@contextmanager
def preview(
    *, force: bool, ledger_date: date | None, follower: Follower
) -> Iterator[Callable[[Sequence[Ledger]], list[Loaded]]]:
    """Gives what does to ledgers as `load` would, one call after the other: in one transaction, of which nothing stays.
    Raises AnotherLoadError. Must not be entered inside a transaction."""
    with transaction.atomic(durable=True):
        try:
            _begin()
            way = _Way(force, ledger_date, follower, is_preview=True)
            yield lambda ledgers: _load_all(ledgers, way)
        finally:
            transaction.set_rollback(True)


@dataclass(frozen=True, slots=True)
class _Way:
    """How ledgers are loaded."""

    force: bool
    ledger_date: date | None
    follower: Follower | None
    is_preview: bool = False


def _load_all(ledgers: Sequence[Ledger], way: _Way, progress: Callable[[int], None] = lambda _: None) -> list[Loaded]:
    outcomes: list[Loaded] = []
    good: list[Ledger] = []
    for given in ledgers:
        ledger = _dated(given, way.ledger_date)
        if given.printed_on is None and way.ledger_date is not None and way.ledger_date < ledger.newest_mention:
            refusal = f"{_printed_before(ledger)}: is --ledger-date right?"
        elif ledger.totals_fit or way.force:
            good.append(ledger if ledger.totals_fit else _noted(ledger, _misfit(ledger)))
            continue
        else:
            refusal = f"{_misfit(ledger)} Use --force to load it"
        outcomes.append(Loaded(ledger, Status.REFUSED, (*ledger.notes, refusal)))
    if way.follower:
        way.follower.loaded(outcomes, {})
    progress(len(outcomes))
    for batch in batches(good):
        outcomes += _load_or_halve(batch, way)
        progress(len(batch))
    order = {ledger.license_number: position for position, ledger in enumerate(ledgers)}
    return sorted(outcomes, key=lambda loaded: order[loaded.ledger.license_number])


def _dated(ledger: Ledger, ledger_date: date | None) -> Ledger:
    """The ledger with the day of its print: its own, or the one that was given. A day to come is none: believed, it
    would make every later ledger an older one."""
    if ledger.printed_on is None:
        return replace(ledger, printed_on=ledger_date)
    if ledger.printed_on > business_date():
        note = f"it says that it was printed on {ledger.printed_on:%d/%m/%Y}, which is still to come: taken as undated"
        return _noted(replace(ledger, printed_on=ledger_date), note)
    return _noted(ledger, _printed_before(ledger)) if ledger.printed_on < ledger.newest_mention else ledger


def _noted(ledger: Ledger, note: str) -> Ledger:
    return replace(ledger, notes=(*ledger.notes, note))


def _printed_before(ledger: Ledger) -> str:
    return f"printed on {ledger.printed_on:%d/%m/%Y}, it mentions something of {ledger.newest_mention:%d/%m/%Y}"


def _misfit(ledger: Ledger) -> str:
    if ledger.totals_difference is None:
        return "there is no Bal.Duty line to check the debits against: is a page missing?"
    return (
        f"CIF-FC {ledger.cif_fc} less debits of {ledger.debited_cif_fc} is not Bal.CIF-FC {ledger.balance_cif_fc}, by "
        f"{ledger.totals_difference:+}: is a page missing?"
    )


def _load_or_halve(ledgers: list[Ledger], way: _Way, attempts: int = ATTEMPTS) -> list[Loaded]:
    """Load them in one transaction, or a preview in one savepoint; where the database refuses that, find the one that
    it refuses."""
    try:
        with transaction.atomic(durable=not way.is_preview):
            outcomes = _load(ledgers, way.follower)
            if way.is_preview:
                connection.check_constraints()  # which else are looked at when a transaction commits
            if way.follower:
                way.follower.loaded(outcomes, _changes())
            return outcomes
    except (DataError, IntegrityError, OperationalError) as error:
        state = getattr(error.__cause__, "sqlstate", None)
        if state in STARTS_AGAIN and attempts > 1:
            return _load_or_halve(ledgers, way, attempts - 1)
        if isinstance(error, OperationalError) and state != LOCK_NOT_AVAILABLE:
            raise
        if len(ledgers) > 1:
            half = len(ledgers) // 2
            return _load_or_halve(ledgers[:half], way) + _load_or_halve(ledgers[half:], way)
        if state == LOCK_NOT_AVAILABLE:
            reason = "somebody else holds it, or a bill of entry on it, in a transaction that does not end; try again"
        else:
            reason = f"the database refuses it: {error}"
        refused = [Loaded(ledgers[0], Status.REFUSED, (*ledgers[0].notes, reason))]
        if way.follower:
            way.follower.loaded(refused, {})
        return refused


def _load(ledgers: list[Ledger], follower: Follower | None) -> list[Loaded]:
    """Load them in the transaction that is open."""
    _begin()
    notes = {ledger.license_number: list(ledger.notes) for ledger in ledgers}
    seen: dict[str, set[str]] = {}
    _stage(ledgers)
    with connection.cursor() as cursor:
        for step in STEPS:
            cursor.execute(load_sql(step), {})
            told = cursor.fetchall() if cursor.description else []
            seen[step] = {number for number, _ in told}
            for number, note in told:
                notes[number] += [note] if note else []
            if follower:
                if step == OLDER:
                    cursor.execute(load_sql("icegate_remember"))
                follower.stepped(len(ledgers))
        cursor.execute("SELECT license_id FROM incoming_license")
        license_ids = {license_id for (license_id,) in cursor.fetchall()}
    changed = set().union(*(seen[step] for step in STEPS if step not in (OLDER, *CHECKS)))
    if changed:
        transaction.on_commit(lambda: announce(Keys(license_id=license_ids)), robust=True)

    def status(number: str) -> Status:
        if number in seen[OLDER]:
            return Status.OLDER
        if number in seen[CREATES]:
            return Status.CREATED
        return Status.UPDATED if number in changed else Status.UNCHANGED

    return [Loaded(ledger, status(ledger.license_number), tuple(notes[ledger.license_number])) for ledger in ledgers]


def _changes() -> Changes:
    """What this transaction has written of the incoming licenses."""
    found: dict[str, list[Change]] = defaultdict(list)
    with connection.cursor() as cursor:
        cursor.execute(load_sql("icegate_changes"))
        for number, kind, serial_number, bill, before, now in cursor:
            was: dict[str, str | None] = json.loads(before) if before else {}
            fields = {name: (was.get(name), value) for name, value in json.loads(now).items() if was.get(name) != value}
            what = "changed" if was else "new"
            if was and "disputed_since" in fields:
                what = "disputed" if was["disputed_since"] is None else "found again"
            found[number].append(Change(kind, what, serial_number, bill, fields))
    return found


def _begin() -> None:
    try:
        with connection.cursor() as cursor:
            cursor.execute(load_sql("icegate_begin"))
    except OperationalError as error:
        if getattr(error.__cause__, "sqlstate", None) != LOCK_NOT_AVAILABLE:
            raise
        raise AnotherLoadError("another load of ledgers has been under way for a minute; try again later") from error


def _stage(ledgers: list[Ledger]) -> None:
    rows: dict[str, list[tuple[object, ...]]] = defaultdict(list)
    for ledger in ledgers:
        number = ledger.license_number
        rows["incoming_license"].append((
            number, ledger.license_date, ledger.registration_number, ledger.registration_date, ledger.iec,
            ledger.scheme_code, ledger.notification_number, ledger.currency, ledger.port_code, ledger.cif_fc,
            ledger.cif_inr, ledger.quantity, ledger.balance_cif_fc, ledger.printed_on,
            ledger.printed_on or ledger.newest_mention,
        ))  # fmt: skip
        rows["incoming_credit"] += [(number, c.serial_number, c.quantity, c.cif_fc, c.cif_inr) for c in ledger.credits]
        rows["incoming_debit"] += [
            (number, d.serial_number, d.number, d.date, d.port_code, d.quantity, d.cif_fc, d.cif_inr, position)
            for position, d in enumerate(ledger.debits, len(rows["incoming_debit"]))
        ]
    columns = {
        "incoming_license": "license_number, license_date, registration_number, registration_date, iec, scheme_code, "
        "notification_number, currency, port_code, cif_fc, cif_inr, quantity, balance_cif_fc, ledger_date, as_of",
        "incoming_credit": "license_number, serial_number, quantity, cif_fc, cif_inr",
        "incoming_debit": "license_number, serial_number, number, date, port_code, quantity, cif_fc, cif_inr, position",
    }
    with connection.cursor() as cursor:
        cursor.execute(load_sql("icegate_stage"))
        for table, names in columns.items():
            with cursor.copy(f"COPY {table} ({names}) FROM STDIN") as copy:
                for row in rows[table]:
                    copy.write_row(row)
            cursor.execute(f"ANALYZE {table}")
