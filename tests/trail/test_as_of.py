"""Facts and balances as of a moment and of a day: against copies that were taken then, and against the oracle on facts
from which all later documents were taken out by hand.

AS_OF_EXAMPLES says how many lives of a world are tried.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ledger.as_of import Moment, UnknownError, balances, trail_began
from ledger.engine import drain
from ledger.explain import explain, explain_as_of
from ledger.models import Allotment, AllotmentLine, AllotmentRelease, BillOfEntry, BillOfEntryLine
from license.clock import INDIA, business_date
from license.models import Company, ExportItem, ImportItem, License
from tests import oracle
from tests.conftest import empty_tables, one, sql
from tests.engine import writes
from tests.engine.writes import Write, is_refused

pytestmark = pytest.mark.usefixtures("database")

EXAMPLES = int(os.environ.get("AS_OF_EXAMPLES", "8"))
FIGURES = [field.name for field in fields(oracle.LicenseRow)]
Figures = dict[str, tuple[Any, ...]]
"""By license number."""


@dataclass(frozen=True)
class Seen:
    """What somebody saw at a moment: all of it was committed."""

    known: datetime
    figures: dict[date | None, Figures]


def of_oracle(today: date) -> Figures:
    numbers = dict(sql("SELECT id, license_number FROM license_license"))
    license_rows, _ = oracle.expected(today)
    return {numbers[pk]: tuple(getattr(row, name) for name in FIGURES) for pk, row in license_rows.items()}


def as_of(moment: Moment) -> Figures:
    return {row.license_number: tuple(getattr(row, name) for name in FIGURES) for row in balances(moment)}


@contextmanager
def only_documents_until(day: date) -> Iterator[None]:
    """The tables without what later documents say."""
    with transaction.atomic():
        of_bill = "USING ledger_billofentry AS bill WHERE bill.date > %s AND bill.id ="
        for statement in (
            f"DELETE FROM ledger_billofentryline {of_bill} bill_of_entry_id",
            f"DELETE FROM ledger_allotment_bills_of_entry {of_bill} billofentry_id",
            "DELETE FROM ledger_allotmentrelease WHERE (released_at AT TIME ZONE 'Asia/Kolkata')::date > %s",
        ):
            sql(statement, day)
        Allotment.objects.filter(created_at__date__gt=day).delete()
        License.objects.filter(license_date__gt=day).delete()
        yield
        transaction.set_rollback(True)


def look(days: list[date]) -> Seen:
    figures: dict[date | None, Figures] = {None: of_oracle(business_date())}
    for day in days:
        with only_documents_until(day):
            figures[day] = of_oracle(day)
    return Seen(one("SELECT clock_timestamp()"), figures)


# Documents of three days; what is entered now is of today.
DAYS = [date(2026, 1, 1), date(2026, 2, 1), date(2026, 3, 1)]
DATED = """
    UPDATE license_license SET license_date = ('2025-12-31'::date + id::integer * 20);
    UPDATE ledger_billofentry SET date = '2026-01-30' WHERE id = 1;
    UPDATE ledger_allotment SET created_at = ('2026-01-15'::date + id::integer * 20);
"""


@st.composite
def dating(draw: st.DrawFn) -> Write:
    """Gives a document another day, or none."""
    day = draw(st.sampled_from([*DAYS, None]))
    return draw(
        st.sampled_from([
            Write(redate_bill, {"bill": bill, "day": day}) for bill in writes.BILLS
        ] + [
            Write(redate_allotment, {"allotment": allotment, "day": day or DAYS[0]}) for allotment in writes.ALLOTMENTS
        ])
    )  # fmt: skip


def redate_bill(bill: int, day: date | None) -> None:
    BillOfEntry.objects.filter(pk=bill).update(date=day)


def redate_allotment(allotment: int, day: date) -> None:
    sql("UPDATE ledger_allotment SET created_at = %s WHERE id = %s", day, allotment)


def truncate(table: str) -> None:
    sql(f"TRUNCATE {table} CASCADE")


def put_back(world: writes.Copy) -> None:
    writes.put_back(world)


steps = st.lists(
    writes.writes | writes.writes | writes.writes | dating()
    | st.builds(lambda table: Write(truncate, {"table": table}), st.sampled_from(writes.TRUNCATED)),
    min_size=1,
    max_size=12,
)  # fmt: skip


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
@given(steps=steps, is_put_back=st.booleans())
def test_every_moment_is_told_as_it_was_seen(steps: list[Write], is_put_back: bool) -> None:
    """Whatever was written, moved, deleted, truncated and put back since."""
    empty_tables()
    sql(writes.WORLD)
    sql(DATED)
    world = writes.copy_of_facts()
    seen = [look(DAYS)]
    for write in steps:
        is_refused(write)
        seen.append(look(DAYS))
    if is_put_back:
        is_refused(lambda: put_back(world))
        seen.append(look(DAYS))
    for then in seen:
        for day in (None, *DAYS):
            assert as_of(Moment(day, then.known)) == then.figures[day]
    now = seen[-1]
    for day in DAYS:
        assert as_of(Moment(day)) == now.figures[day]


# ── A year's end ──────────────────────────────────────────────────────────────────────────────────────────────────────

NUMBER = "0310000001"
MARCH_31 = date(2026, 3, 31)


@pytest.fixture
def license(database: None) -> License:
    """10,000.00; in January 1,000.00 debited, in April 2,000.00, by an allotment of March; one of February given up on
    1 April."""
    company = Company.objects.create(iec="0000000001", name="Surat Foods")
    license = License.objects.create(
        license_number=NUMBER, license_date="2025-06-01", license_expiry_date="2026-06-01", exporter=company
    )
    ExportItem.objects.create(license=license, cif_fc=10000)
    item = ImportItem.objects.create(license=license, serial_number=1, quantity=100, description="Cashew")
    january, april = (BillOfEntry.objects.create(number=day[5:7], date=day) for day in ("2026-01-10", "2026-04-02"))
    for bill, cif_fc in ((january, 1000), (april, 2000)):
        BillOfEntryLine.objects.create(bill_of_entry=bill, import_item=item, quantity=1, cif_fc=cif_fc)
    used, given_up = (Allotment.objects.create(company=company) for _ in range(2))
    for allotment, cif_fc in ((used, 2100), (given_up, 300)):
        AllotmentLine.objects.create(allotment=allotment, import_item=item, quantity=1, cif_fc=cif_fc)
    used.bills_of_entry.add(april)
    AllotmentRelease.objects.create(allotment=given_up)
    sql("UPDATE ledger_allotment SET created_at = '2026-03-31 23:59:59+05:30' WHERE id = %s", used.pk)
    sql("UPDATE ledger_allotment SET created_at = '2026-02-01' WHERE id = %s", given_up.pk)
    sql("UPDATE ledger_allotmentrelease SET released_at = '2026-04-01 00:00:05+05:30'")
    drain()
    return license


@pytest.mark.parametrize(
    ("until", "debited", "allotted", "is_expired"),
    [
        (date(2025, 6, 1), 0, 0, False),
        (date(2026, 1, 9), 0, 0, False),
        (date(2026, 1, 10), 1000, 0, False),
        (date(2026, 3, 30), 1000, 300, False),
        (MARCH_31, 1000, 2400, False),
        (date(2026, 4, 1), 1000, 2100, False),
        (date(2026, 4, 2), 3000, 0, False),
        (date(2026, 6, 1), 3000, 0, False),
        (date(2026, 6, 2), 3000, 0, True),
    ],
)
def test_as_the_documents_say(license: License, until: date, debited: int, allotted: int, is_expired: bool) -> None:
    [row] = balances(Moment(until))
    assert (row.debited_cif, row.allotted_cif, row.is_expired) == (debited, allotted, is_expired)
    explained = explain_as_of(NUMBER, Moment(until))
    assert explained.today == until
    assert explained.balance_cif == row.balance_cif == 10000 - debited - allotted
    assert sum(line.cif_fc for line in explained.debits) == debited
    assert sum(line.cif_fc for line in explained.allotments) == allotted
    [item] = explained.items
    assert (item.description, item.debited_value, item.allotted_value) == ("Cashew", debited, allotted)


def test_before_it_was_issued_there_is_no_license(license: License) -> None:
    day_before = Moment(date(2025, 5, 31))
    assert list(balances(day_before)) == []
    with pytest.raises(License.DoesNotExist):
        explain_as_of(NUMBER, day_before)


def test_what_was_known_and_what_was_shown(license: License) -> None:
    """A debit of March that is entered later is none that was known; and it was shown once the engine was there."""
    before = one("SELECT clock_timestamp()")
    item = ImportItem.objects.get()
    late = BillOfEntry.objects.create(number="99", date="2026-03-15")
    BillOfEntryLine.objects.create(bill_of_entry=late, import_item=item, quantity=5, cif_fc=500)
    entered = one("SELECT clock_timestamp()")
    drain()
    drained = one("SELECT clock_timestamp()")

    def row(moment: Moment) -> tuple[Decimal, Decimal | None]:
        [found] = balances(moment)
        return found.balance_cif, found.shown_balance_cif

    assert row(Moment(known=before)) == (7000, 7000)
    assert row(Moment(known=entered)) == (6500, 7000)
    assert row(Moment(known=drained)) == (6500, 6500)
    assert row(Moment(MARCH_31, before))[0] == 10000 - 1000 - 2400
    assert row(Moment(MARCH_31))[0] == 10000 - 1500 - 2400
    assert explain_as_of(NUMBER, Moment(known=before)).stored_balance_cif == 7000


def test_now_is_what_the_page_says(license: License) -> None:
    now, told = explain_as_of(NUMBER, Moment()), explain(NUMBER)
    same = [name for name in told.__dataclass_fields__ if name not in ("license", "computed_at")]
    assert {name: getattr(now, name) for name in same} == {name: getattr(told, name) for name in same}
    assert now.license == told.license
    assert f"{now.license.exporter}" == "Surat Foods 0000000001"


def test_now_is_by_the_clock_of_the_trail(license: License, monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock of ours that is slow takes back nothing that was written."""
    monkeypatch.setattr("django.utils.timezone.now", lambda: datetime.now(UTC) - timedelta(minutes=1))
    [row] = balances(Moment())
    assert (row.balance_cif, row.shown_balance_cif) == (7000, 7000)
    explained = explain_as_of(NUMBER, Moment())
    assert (explained.balance_cif, explained.stored_balance_cif) == (7000, 7000)


def test_a_license_that_is_gone_is_told_by_the_number_that_it_had(license: License) -> None:
    before = one("SELECT clock_timestamp()")
    License.objects.filter(pk=license.pk).update(license_number="0310000002")
    renamed = one("SELECT clock_timestamp()")
    sql("DELETE FROM ledger_allotmentline; DELETE FROM ledger_billofentryline")
    license.delete()
    drain()
    assert explain_as_of(NUMBER, Moment(known=before)).balance_cif == 7000
    assert explain_as_of("0310000002", Moment(known=renamed)).balance_cif == 7000
    assert [row.license_number for row in balances(Moment(known=before))] == [NUMBER]
    assert list(balances(Moment())) == []
    for number, moment in (("0310000002", Moment(known=before)), (NUMBER, Moment(known=renamed)), (NUMBER, Moment())):
        with pytest.raises(License.DoesNotExist):
            explain_as_of(number, moment)


def test_what_was_known_before_the_trail_began_nobody_can_tell(license: License) -> None:
    began = trail_began().astimezone(INDIA).date()
    with pytest.raises(UnknownError, match="begins on"):
        Moment.of(None, began - timedelta(days=1))
    assert Moment.of(MARCH_31, began).known == datetime(began.year, began.month, began.day, tzinfo=INDIA) + timedelta(1)
    assert Moment.of(None, began).today == began
    with pytest.raises(UnknownError, match="until today"):
        Moment.of(None, date.max)
    assert Moment.of(MARCH_31, None) == Moment(MARCH_31)


def test_many_licenses_are_read_some_at_a_time(license: License, monkeypatch: pytest.MonkeyPatch) -> None:
    """As of one moment: what is written meanwhile is not seen."""
    monkeypatch.setattr("ledger.as_of.LICENSES_AT_ONCE", 1)
    other = License.objects.create(license_number="0310000002", license_date="2026-01-01")
    rows = balances(Moment())
    first = next(rows)
    ExportItem.objects.create(license=other, cif_fc=5)
    assert (first.license_number, [(row.license_number, row.credit_cif) for row in rows]) == (
        NUMBER,
        [("0310000002", 0)],
    )
