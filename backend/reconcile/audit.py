"""Do the balances equal their facts? Expected against stored against pending, in one snapshot, read-only.

It shares `expected.sql` with the engine and nothing else. A difference with a pending change is lag; an `is_expired`
that turned at the last midnight is expiry; everything else is drift, each with its cause as far as evidence goes
(docs/drift.md).
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from enum import StrEnum
from typing import Any

from django.db import transaction

from reconcile.guard import TriggerFault
from reconcile.sql import queries

LICENSES_AT_ONCE = 1_000

# which fact tables a sum is made of: where one differs, a trigger that is off on its tables explains it
DEBITS = frozenset({"license_importitem", "ledger_billofentryline"})
RESERVATIONS = frozenset({"license_importitem", "ledger_allotmentline", "ledger_allotment_bills_of_entry"})
TABLES_OF_SUM = {
    "credit_cif": frozenset({"license_exportitem"}),
    "debited_cif": DEBITS,
    "debited_quantity": DEBITS,
    "debited_value": DEBITS,
    "allotted_cif": RESERVATIONS,
    "allotted_quantity": RESERVATIONS,
    "allotted_value": RESERVATIONS,
    "is_expired": frozenset({"license_license"}),
}


class Cause(StrEnum):
    """Why a balance differs. docs/drift.md says what evidence each rests on, and what cannot be known."""

    LAG = "lag"
    """A change of the license is pending: the engine is on its way. Not drift."""
    EXPIRY = "expiry"
    """`is_expired` turned at the last midnight, and nobody has looked since. Not drift."""
    MISSED_EXPIRY = "missed expiry"
    """`is_expired` turned at an earlier midnight: a night did not happen."""
    QUARANTINED = "quarantined"
    """The license's recompute fails; its error stands in the quarantine."""
    OLDER_RULES = "older rules"
    """The balance was written by an older version of the rules."""
    EDITED = "edited directly"
    """The row is not what the engine wrote: somebody changed, inserted or deleted it."""
    TRIGGER = "trigger"
    """A trigger of a table that the field is computed from is missing, disabled or replaced."""
    CHANGE_LOST = "change lost"
    """A fact was written after the balance, or deleted, and no change of it is pending."""
    UNKNOWN = "unknown"
    """None of the above can be shown."""


NO_DRIFT = (Cause.LAG, Cause.EXPIRY)


@dataclass(frozen=True, slots=True)
class Difference:
    """One field of one balance that is not what the facts say. `field` is `row` where a whole row is missing (stored
    `missing`) or left over (expected `missing`). Numbers are text, as PostgreSQL writes them."""

    license_id: int
    license_number: str
    """Empty where the license is gone."""
    import_item_id: int | None
    """None: of the license's own balance."""
    serial_number: int | None
    """Of the import item; None for the license's own balance, or where the item is gone."""
    field: str
    stored: str
    expected: str
    cause: Cause


@dataclass(slots=True)
class Audit:
    """What an audit found."""

    business_date: date | None = None
    licenses_checked: int = 0
    pending: int = 0
    """Changes in the outbox, whichever licenses they mean, when it was last looked at."""
    differences: list[Difference] = field(default_factory=list)

    @property
    def drift(self) -> list[Difference]:
        """The differences that should not be."""
        return [difference for difference in self.differences if difference.cause not in NO_DRIFT]


def audit(license_ids: Sequence[int], faults: Sequence[TriggerFault]) -> Audit:
    """Audit these licenses in one statement. A license that is gone is audited for what is left of it.

    Guarantees no false alarm under any load of writers and engines: facts, balances and outbox are seen in one
    snapshot, in which a license that no change means has the balances of its facts (G2).
    """
    with transaction.atomic():
        queries.execute("begin_audit")
        rows = queries.dicts("audit", license_ids=list(license_ids), today=None)
    total = rows[0]
    rows = [row for row in rows if row["field"] is not None]
    sums_of: dict[int, frozenset[str]] = defaultdict(frozenset)
    for row in rows:
        sums_of[row["license_id"]] |= TABLES_OF_SUM.get(row["field"], frozenset())
    return Audit(
        business_date=total["business_date"],
        licenses_checked=total["licenses_checked"],
        pending=total["pending"],
        differences=[_difference(row, sums_of[row["license_id"]], faults) for row in rows],
    )


def audit_all(faults: Sequence[TriggerFault], at_once: int = LICENSES_AT_ONCE) -> Iterator[Audit]:
    """Audit every license, and every balance whose license is gone: a number of licenses and one snapshot at a time."""
    after = 0
    while license_ids := queries.column("next_licenses", after=after, at_most=at_once):
        yield audit(license_ids, faults)
        after = license_ids[-1]


def together(audits: Iterable[Audit]) -> Audit:
    """Several audits as one; business date and pending changes are the last one's."""
    whole = Audit()
    for part in audits:
        whole.business_date, whole.pending = part.business_date, part.pending
        whole.licenses_checked += part.licenses_checked
        whole.differences += part.differences
    return whole


def _difference(row: dict[str, Any], tables_of_sums: frozenset[str], faults: Sequence[TriggerFault]) -> Difference:
    # what follows from sums (a balance, an available value) differs for the reasons that its license's sums do
    tables = TABLES_OF_SUM.get(row["field"], tables_of_sums)
    is_trigger_off = any(not tables or fault.table in tables for fault in faults)
    return Difference(
        license_id=row["license_id"],
        license_number=row["license_number"] or "",
        import_item_id=row["import_item_id"],
        serial_number=row["serial_number"],
        field=row["field"],
        stored=row["stored"],
        expected=row["expected"],
        cause=_cause(row, is_trigger_off=is_trigger_off),
    )


def _cause(row: dict[str, Any], *, is_trigger_off: bool) -> Cause:
    """The first of these that the evidence shows; the order is that of docs/drift.md."""
    checks = (
        (Cause.LAG, row["is_pending"]),
        (Cause.QUARANTINED, row["is_quarantined"]),
        (Cause.OLDER_RULES, row["is_older_rule"]),
        (Cause.EDITED, _is_edited(row)),
        (_expiry(row), row["field"] == "is_expired" and _has_turned_since(row)),
        (Cause.TRIGGER, is_trigger_off),
        (Cause.CHANGE_LOST, row["has_newer_fact"] or row["is_orphan"]),
    )
    return next((cause for cause, is_shown in checks if is_shown), Cause.UNKNOWN)


def _is_edited(row: dict[str, Any]) -> bool:
    if row["is_missing"]:
        # The engine writes a license's rows together: one is never there without the others.
        is_rest_there = row["computed_on"] is not None if row["serial_number"] else row["has_item_rows"]
        return bool(is_rest_there and not row["has_newer_fact"])
    return not row["is_sealed"]


def _has_turned_since(row: dict[str, Any]) -> bool:
    """Whether the flag was right when it was computed, and a midnight has turned it."""
    expiry: date | None = row["license_expiry_date"]
    return row["expected"] == "true" and expiry is not None and row["computed_on"] <= expiry


def _expiry(row: dict[str, Any]) -> Cause:
    is_of_last_midnight = row["license_expiry_date"] == row["business_date"] - timedelta(days=1)
    return Cause.EXPIRY if is_of_last_midnight else Cause.MISSED_EXPIRY
