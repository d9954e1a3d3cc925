"""Ledgers → facts: set by set, all or nothing for each license, and twice is once.

What becomes of each line is said in docs/icegate.md, and in the first line of each sql/icegate_*.sql. The writes are
plain SQL: no Django signal tells of them, the triggers do, and a hint after each commit makes the balances follow at
once.
"""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import date
from enum import StrEnum

from django.db import DataError, IntegrityError, OperationalError, connection, transaction

from ledger.hints import announce
from ledger.icegate.ledger import Ledger
from ledger.keys import Keys
from ledger.sql import load as load_sql
from license.clock import business_date

LICENSES_AT_ONCE = 200
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
class Loaded:
    """What became of one ledger, and what a person should know of it."""

    ledger: Ledger
    status: Status
    notes: tuple[str, ...]


def load(
    ledgers: Sequence[Ledger],
    *,
    force: bool = False,
    ledger_date: date | None = None,
    progress: Callable[[int], None] = lambda _: None,
) -> list[Loaded]:
    """Load ledgers of different licenses; `ledger_date` is the day of print of those that do not say it.

    Guarantees: each license is loaded whole or not at all; a license that fails keeps no other from being loaded; what
    is equal already is not written, so that loading twice leaves not even a change. Unless `force` is set, a ledger
    whose totals do not fit is refused. `progress` is called with the number of licenses that are done with.
    Raises AnotherLoadError. Must not be called inside a transaction.
    """
    outcomes: list[Loaded] = []
    good: list[Ledger] = []
    for given in ledgers:
        ledger = _dated(given, ledger_date)
        if given.printed_on is None and ledger_date is not None and ledger_date < ledger.newest_mention:
            refusal = f"{_printed_before(ledger)}: is --ledger-date right?"
        elif ledger.totals_fit or force:
            good.append(ledger if ledger.totals_fit else _noted(ledger, _misfit(ledger)))
            continue
        else:
            refusal = f"{_misfit(ledger)} Use --force to load it"
        outcomes.append(Loaded(ledger, Status.REFUSED, (*ledger.notes, refusal)))
    progress(len(outcomes))
    for start in range(0, len(good), LICENSES_AT_ONCE):
        batch = good[start : start + LICENSES_AT_ONCE]
        outcomes += _load_or_halve(batch)
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


def _load_or_halve(ledgers: list[Ledger], attempts: int = ATTEMPTS) -> list[Loaded]:
    """Load them in one transaction; where the database refuses that, find the one that it refuses."""
    try:
        with transaction.atomic(durable=True):
            return _load(ledgers)
    except (DataError, IntegrityError, OperationalError) as error:
        state = getattr(error.__cause__, "sqlstate", None)
        if state in STARTS_AGAIN and attempts > 1:
            return _load_or_halve(ledgers, attempts - 1)
        if isinstance(error, OperationalError) and state != LOCK_NOT_AVAILABLE:
            raise
        if len(ledgers) > 1:
            half = len(ledgers) // 2
            return _load_or_halve(ledgers[:half]) + _load_or_halve(ledgers[half:])
        if state == LOCK_NOT_AVAILABLE:
            reason = "somebody else holds it, or a bill of entry on it, in a transaction that does not end; try again"
        else:
            reason = f"the database refuses it: {error}"
        return [Loaded(ledgers[0], Status.REFUSED, (*ledgers[0].notes, reason))]


def _load(ledgers: list[Ledger]) -> list[Loaded]:
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
            ledger.cif_inr, ledger.quantity, ledger.printed_on, ledger.printed_on or ledger.newest_mention,
        ))  # fmt: skip
        rows["incoming_credit"] += [(number, c.serial_number, c.quantity, c.cif_fc, c.cif_inr) for c in ledger.credits]
        rows["incoming_debit"] += [
            (number, d.serial_number, d.number, d.date, d.port_code, d.quantity, d.cif_fc, d.cif_inr, position)
            for position, d in enumerate(ledger.debits, len(rows["incoming_debit"]))
        ]
    columns = {
        "incoming_license": "license_number, license_date, registration_number, registration_date, iec, scheme_code, "
        "notification_number, currency, port_code, cif_fc, cif_inr, quantity, ledger_date, as_of",
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
