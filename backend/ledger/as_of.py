"""Facts and balances as of a date: by the documents until a day, and by what was known at a moment.

The facts of that moment are put in the place of the tables, by the trail read backwards, and the same queries run over
them as over the tables: `expected.sql` stays the one definition of a balance, and needs to know nothing of this. So the
rules are those of today; what was shown then is kept, too (`Balance.shown_balance_cif`).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from functools import cache
from typing import Any

from django.db.migrations.recorder import MigrationRecorder

from ledger.sql import load, queries
from ledger.trail import TRACKED
from license.clock import INDIA, business_date
from license.formats import day

LICENSES_AT_ONCE = 100
TRAIL = ("ledger", "0011_trail")
"""The migration with which it began."""

_ITEMS, _ALLOTMENTS = "SELECT id FROM license_importitem", "SELECT allotment_id FROM known_allotmentline"
_REWOUND = {
    # the facts that were known, by table: whose rows they are
    "license_license": "SELECT unnest(%(license_ids)s::bigint[])",
    "license_exportitem": "SELECT id FROM license_license",
    "license_importitem": "SELECT id FROM license_license",
    "license_importitem_item_names": _ITEMS,
    "license_itemname": "SELECT itemname_id FROM license_importitem_item_names",
    "license_sionnorm": "SELECT norm_id FROM license_exportitem UNION SELECT sion_norm_id FROM license_itemname",
    "ledger_billofentryline": _ITEMS,
    "ledger_allotmentline": _ITEMS,
    "ledger_allotment": _ALLOTMENTS,
    "ledger_allotment_bills_of_entry": _ALLOTMENTS,
    "ledger_allotmentrelease": _ALLOTMENTS,
    "ledger_billofentry": "SELECT bill_of_entry_id FROM known_billofentryline"
    " UNION SELECT billofentry_id FROM known_allotment_bills_of_entry",
}
_DATED = (
    "license_license", "ledger_billofentryline", "ledger_allotment", "ledger_allotmentline",
    "ledger_allotment_bills_of_entry", "ledger_allotmentrelease",
)  # fmt: skip
"""Of which only what documents until a day say is taken (sql/until_TABLE.sql)."""


class UnknownError(Exception):
    """Nobody can tell what was known then: the trail begins later, or it is still to come."""


@dataclass(frozen=True, slots=True)
class Moment:
    """As of when: the documents until the end of a day, as they were known at a moment. None: all of them; now."""

    until: date | None = None
    known: datetime | None = None

    @classmethod
    def of(cls, until: date | None, known_on: date | None) -> "Moment":
        """The documents until one day, as known at the end of another, in India. Raises UnknownError."""
        if known_on is None:
            return cls(until)
        if known_on > business_date():
            raise UnknownError("What will be known on that day, nobody can tell: choose a day until today.")
        known = datetime.combine(known_on + timedelta(days=1), time.min, INDIA)
        if known <= (began := trail_began()):
            raise UnknownError(
                f"The trail of changes begins on {day(began.astimezone(INDIA).date())}: what was known before, "
                "nobody can tell. Leave this day out to have the documents until a day as they are known now."
            )
        return cls(until, known)

    @property
    def today(self) -> date:
        """The day on which it is asked whether a license has expired."""
        if self.until is not None:
            return self.until
        return (
            business_date() if self.known is None else (self.known - timedelta(microseconds=1)).astimezone(INDIA).date()
        )

    @property
    def parameters(self) -> dict[str, Any]:
        """Of the facts of this moment, and of `expected.sql` over them."""
        return {
            "until": self.until or "infinity",
            "known": self.known or "infinity",
            "today": self.today,
        }


@dataclass(frozen=True, slots=True)
class Balance:
    """What a license had left. Its amounts are in its currency."""

    license_number: str
    exporter: str
    currency: str
    license_date: date
    license_expiry_date: date | None
    credit_cif: Decimal
    debited_cif: Decimal
    allotted_cif: Decimal
    balance_cif: Decimal
    overdrawn_cif: Decimal
    is_null: bool
    is_expired: bool
    shown_balance_cif: Decimal | None
    """What was stored, and so shown, at the moment that is asked for. None: nothing was, or it is not kept any more."""


def trail_began() -> datetime:
    """What was known is known from this moment on."""
    app, name = TRAIL
    began: datetime = MigrationRecorder.Migration.objects.values_list("applied", flat=True).get(app=app, name=name)
    return began


@cache
def facts() -> str:
    """The tables of facts as of a moment, as common table expressions of their names: put before a query, they take the
    places of the tables."""
    owners = {tracked.table: tracked.owner for tracked in TRACKED}
    parts = []
    for table, whose in _REWOUND.items():
        name = (
            table.replace("ledger_", "known_").replace("license_license", "known_license") if table in _DATED else table
        )
        parts.append(load("rewind").format(name=name, table=table, owner=owners[table], owners=f"ARRAY({whose})"))
        if table == "license_license":
            parts.append(load("until_license"))
    return "WITH " + ", ".join([*parts, load("until_documents")])


def balances(moment: Moment, license_ids: Sequence[int] | None = None) -> Iterator[Balance]:
    """Of these licenses, or of all that there were; in the order of their ids. All of them as of one moment, also where
    that is now and others write meanwhile."""
    parameters = moment.parameters
    if moment.known is None:
        # by the clock of the trail, which need not be ours
        [parameters["known"]] = queries.column("clock")
    ids = queries.column("as_of_licenses") if license_ids is None else sorted(license_ids)
    for start in range(0, len(ids), LICENSES_AT_ONCE):
        some = ids[start : start + LICENSES_AT_ONCE]
        yield from (
            Balance(**row) for row in queries.dicts("as_of_balances", given=facts(), license_ids=some, **parameters)
        )
