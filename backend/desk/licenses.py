"""The list of licenses: what it can be asked for, and how it is shown."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from functools import partial
from typing import Any

import django_filters as filters
from django.db import connection
from django.db.models import (
    BooleanField,
    Case,
    Count,
    DurationField,
    ExpressionWrapper,
    F,
    Func,
    Q,
    QuerySet,
    Sum,
    Value,
    When,
)
from django.db.models.expressions import RawSQL
from django.db.models.functions import Now, TruncDate

from desk.lists import companies
from ledger.models import Quarantine
from license.clock import INDIA, business_date
from license.formats import as_license_number
from license.models import License
from reconcile.sql import queries

SOON_DAYS = (30, 60, 90)
FIGURES = ("credit_cif", "debited_cif", "allotted_cif", "balance_cif")
"""Of a balance: what is added up under the list."""


def all_licenses() -> QuerySet[License]:
    """Every license, with its exporter and its balance."""
    return License.objects.select_related("exporter", "balance")


def counts() -> dict[str, int]:
    """How many licenses there are, as `every`, and how many each state finds. What lies in tables of its own is counted
    apart: among the others it would be looked through once for each license."""
    together = {state: which() for state, (_, which) in STATES.items() if state not in APART}
    found: dict[str, int] = License.objects.aggregate(
        every=Count("pk"), **{state: Count("pk", filter=which) for state, which in together.items()}
    )
    return found | {state: License.objects.filter(STATES[state][1]()).count() for state in APART}


def _among(license_ids: list[int]) -> Q:
    """One parameter, however many there are. As a subquery PostgreSQL took them for so many that it looked through them
    once for each license."""
    return Q(pk__in=RawSQL("SELECT unnest(%s::bigint[])", (license_ids,)))


def _expiring(days: int) -> Q:
    """Within so many days, with balance left."""
    today = business_date()
    return Q(license_expiry_date__range=(today, today + timedelta(days=days)), balance__is_null=False)


STATES: dict[str, tuple[str, Callable[[], Q]]] = {
    "active": ("Active", lambda: Q(balance__is_expired=False, balance__is_null=False)),
    **{
        f"expiring-{days}": (f"Expiring within {days} days, balance left", partial(_expiring, days))
        for days in SOON_DAYS
    },
    "expired": ("Expired", lambda: Q(balance__is_expired=True)),
    "null": ("Null: less than 500.00 left", lambda: Q(balance__is_null=True)),
    "overdrawn": ("Overdrawn", lambda: Q(balance__overdrawn_cif__gt=0)),
    "pending": ("Change pending", lambda: _among(queries.column("pending"))),
    "quarantined": ("In quarantine", lambda: Q(pk__in=Quarantine.objects.values("license_id"))),
}
"""By what the address says: what people read, and which licenses that are."""
APART = ("pending", "quarantined")

TODAY = TruncDate(Now(), tzinfo=INDIA)
DAYS_LEFT = ExpressionWrapper(F("license_expiry_date") - TODAY, DurationField())
NEVER = timedelta(days=10_000_000)

SORTS = {
    # whose expiry is nearest, then those that never expire, then the expired, the latest first
    "due": Case(
        When(license_expiry_date__gte=TODAY, then=DAYS_LEFT),
        When(license_expiry_date=None, then=Value(NEVER)),
        default=Value(NEVER) - DAYS_LEFT,
        output_field=DurationField(),
    ).asc(),
    "number": F("license_number").asc(),
    "-number": F("license_number").desc(),
    "expiry": F("license_expiry_date").asc(nulls_last=True),
    "-expiry": F("license_expiry_date").desc(nulls_last=True),
    "exporter": F("exporter__name").asc(nulls_last=True),
    "-exporter": F("exporter__name").desc(nulls_last=True),
    **{name: F(f"balance__{name}_cif").asc(nulls_last=True) for name in ("credit", "debited", "allotted", "balance")},
    **{
        f"-{name}": F(f"balance__{name}_cif").desc(nulls_last=True)
        for name in ("credit", "debited", "allotted", "balance")
    },
}
DEFAULT_SORT = "due"


def in_order(licenses: QuerySet[License], sort: str | None) -> QuerySet[License]:
    """By one of SORTS, or else as the list is at first."""
    return licenses.order_by(SORTS.get(sort or DEFAULT_SORT, SORTS[DEFAULT_SORT]), "license_number")


class LicenseFilter(filters.FilterSet):  # type: ignore[misc]  # it has no types
    """What the address of the list may say. An answer that makes no sense filters nothing, and the form says so."""

    q = filters.CharFilter(method="search", label="Search", help_text="number, exporter or file number")
    state = filters.ChoiceFilter(
        choices=[(state, label) for state, (label, _) in STATES.items()],
        method="in_state",
        label="State",
        empty_label="All",
    )

    class Meta:
        model = License
        fields: list[str] = []

    def search(self, licenses: QuerySet[License], _: str, typed: str) -> QuerySet[License]:
        """A whole number as a spreadsheet mangled it finds its license too."""
        words = typed.strip()
        return licenses.filter(
            Q(_stands_in("license_number", words))
            | Q(_stands_in("file_number", words))
            | Q(license_number=as_license_number(words))
            | Q(exporter__in=companies(words))  # a join would be made for every license
        )

    def in_state(self, licenses: QuerySet[License], _: str, state: str) -> QuerySet[License]:
        return licenses.filter(STATES[state][1]())


def _stands_in(column: str, words: str) -> Func:
    """Whether the words stand in a column of codes, in capitals or not. No index finds what may stand anywhere; byte by
    byte ("C") it is quick in every locale."""
    pattern = Value(f"%{connection.ops.prep_for_like_query(words)}%")
    return Func(
        F(column), pattern, template="(%(expressions)s)", arg_joiner=' COLLATE "C" ILIKE ', output_field=BooleanField()
    )


@dataclass(frozen=True, slots=True)
class Totals:
    """Of the licenses of one currency that a filter found. Amounts of different currencies are never added up."""

    currency: str
    licenses: int
    credit_cif: Decimal
    debited_cif: Decimal
    allotted_cif: Decimal
    balance_cif: Decimal


def totals(licenses: QuerySet[License]) -> list[Totals]:
    """One for each currency, the most common first."""
    sums: dict[str, Any] = {name: Sum(f"balance__{name}", default=Decimal(0)) for name in FIGURES}
    rows: Any = licenses.order_by().values("currency").annotate(licenses=Count("pk"), **sums)
    return [Totals(**row) for row in rows.order_by("-licenses", "currency")]


def with_marks(licenses: list[License]) -> list[tuple[License, list[tuple[str, str]]]]:
    """Each with what a person should know at a glance: kind and words."""
    ids = [license.pk for license in licenses]
    pending = set(queries.column("pending_of_licenses", license_ids=ids))
    quarantined = set(Quarantine.objects.filter(pk__in=ids).values_list("pk", flat=True))
    return [(license, list(marks(license, pending, quarantined))) for license in licenses]


def marks(license: License, pending: set[int], quarantined: set[int]) -> Iterator[tuple[str, str]]:
    """Kind and words of each mark of a license, where these licenses are pending and in quarantine."""
    balance = getattr(license, "balance", None)
    if license.pk in quarantined:
        yield "bad", "in quarantine"
    if balance is None:
        yield "soon", "no balance yet"
    else:
        if balance.overdrawn_cif:
            yield "bad", "overdrawn"
        if balance.is_expired:
            yield "off", "expired"
        if balance.is_null:
            yield "off", "null"
    if license.pk in pending:
        yield "soon", "change pending"
