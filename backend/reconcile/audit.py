"""Do the balances equal their facts? Expected against stored against pending, in one snapshot, read-only.

It shares `expected.sql` with the engine and nothing else. A difference with a pending change is lag; an `is_expired`
that turned at the last midnight is expiry; everything else is drift, each with its cause as far as evidence goes
(docs/drift.md), and, where the trail tells, with who wrote and when.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum
from typing import Any

from django.db import transaction

from ledger.capture import CAPTURED
from reconcile.guard import TriggerFault
from reconcile.sql import queries

LICENSES_AT_ONCE = 1_000
_DEPENDS_ON = json.dumps({fact.model._meta.db_table: fact.depends_on.split() for fact in CAPTURED})


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
    OUTSIDE_TRAIL = "outside the trail"
    """A fact is not what the trail last said of it: somebody has written it with the triggers switched off."""
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
    evidence: dict[str, Any]
    """The statement that can have caused it, or the fact row that no statement has written (docs/drift.md); empty
    where there is none. `evidence.words` says it."""


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


@dataclass(frozen=True, slots=True)
class Drifted:
    """The drift of some licenses."""

    license_ids: Sequence[int] = ()
    rows: str = "[]"
    """What was found of them, for `write_drift.sql`."""


def audit(license_ids: Sequence[int], faults: Sequence[TriggerFault]) -> Audit:
    """Audit these licenses. One that is gone is audited for what is left of it.

    Guarantees no false alarm under any load of writers and engines: facts, balances and outbox are seen in one
    snapshot, in which a license that no change means has the balances of its facts (G2). A cheap first look finds the
    licenses that differ; what it finds is judged by a second, complete one alone.
    """
    with transaction.atomic():
        queries.execute("begin_audit")
        [total] = queries.dicts("outbox_now")
        different = queries.column("look", license_ids=list(license_ids), today=None)
        rows = queries.dicts("list_differences", **_question(different, faults)) if different else []
    return Audit(
        business_date=total["business_date"],
        licenses_checked=len(set(license_ids)),
        pending=total["pending"],
        differences=[
            Difference(**row | {"cause": Cause(row["cause"]), "evidence": json.loads(row["evidence"])}) for row in rows
        ],
    )


def find_drift(license_ids: Sequence[int], faults: Callable[[], Sequence[TriggerFault]]) -> Drifted:
    """The drift of these licenses, found like that of `audit`, but left as PostgreSQL wrote it: it may be much, and
    goes back as it is. Triggers are only looked at where something differs."""
    with transaction.atomic():
        queries.execute("begin_audit")
        different = queries.column("look", license_ids=list(license_ids), today=None)
        if not different:
            return Drifted()
        [row] = queries.dicts("drift_of_licenses", **_question(different, faults()))
        return Drifted(row["license_ids"], row["drift"])


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


def _question(license_ids: Sequence[int], faults: Sequence[TriggerFault]) -> dict[str, Any]:
    return {
        "license_ids": license_ids,
        "today": None,
        "fault_tables": sorted({fault.table for fault in faults if fault.bears_on_balances}),
        "depends_on": _DEPENDS_ON,
    }
