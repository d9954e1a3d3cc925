"""The worked examples of docs/rules.md, and the ties and edges between them: facts in, a drain, balances out."""
# ruff: noqa: E501  (tables, to be read as such)

from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from ledger.engine import drain
from ledger.models import Allotment, AllotmentLine, BillOfEntry, BillOfEntryLine
from ledger.sql import load
from license.clock import business_date
from license.models import Company, ExportItem, ImportItem, ItemName, License, SionNorm
from tests.conftest import assert_balances_follow_facts, one, sql

pytestmark = pytest.mark.usefixtures("database")

TODAY = date(2026, 11, 22)


@dataclass(frozen=True)
class Item:
    """An import item. Names are (norm, percentage); lines are values; `released` is on an allotment with a bill."""

    names: tuple[tuple[str | None, str], ...] = ()
    debits: tuple[str, ...] = ()
    credits: tuple[str, ...] = ()
    allotted: tuple[str, ...] = ()
    released: tuple[str, ...] = ()
    cif_fc: str = "0"
    cif_inr: str = "0"
    sheet: str | None = None


@dataclass(frozen=True)
class Scenario:
    """Facts of a license and what follows: its balance, and for each item its available and overdrawn value, the rule
    that gave them, and the pool."""

    exports: tuple[tuple[str | None, str], ...]
    items: tuple[Item, ...]
    balance: str
    values: tuple[str, ...]
    overdrawn: str = "0"
    is_null: bool = False
    first_serial: int = 1
    license: tuple[tuple[str, str], ...] = ()


E5_10 = (("E5", "10"),)
FREE = "first item carries the total"
NONE = "no value of its own"
OWN = "own value"
# fmt: off
SCENARIOS = {
    # ── the table of docs/rules.md ──
    "three allotments not yet on a bill": Scenario((("E5", "111302.61"),), (Item(allotted=("50000", "20000", "7934.12")),),
        "33368.49", (f"33368.49 / 0, {NONE}",)),
    "overdrawn": Scenario((("E5", "1000"),), (Item(debits=("1250",)),),
        "0", (f"0 / 250, {NONE}",), overdrawn="250", is_null=True),
    "two items of one pool": Scenario((("E5", "10000"),), (Item(E5_10, debits=("300",)), Item(E5_10, allotted=("250",))),
        "9450", ("450 / 0, restricted, E5 10", "450 / 0, restricted, E5 10")),
    "the sheet frees B": Scenario((("E5", "10000"),), (Item(E5_10, debits=("300",)), Item(E5_10, allotted=("250",), sheet="0")),
        "9450", ("700 / 0, restricted, E5 10", f"9450 / 0, {NONE}")),
    "an overused pool": Scenario((("E5", "10000"),), (Item(E5_10, debits=("1300",)), Item(E5_10)),
        "8700", ("0 / 300, restricted, E5 10", "0 / 300, restricted, E5 10")),
    "098/2009 frees, the first carries": Scenario((("E5", "10000"),), (Item(E5_10, debits=("300",)), Item(E5_10, allotted=("250",))),
        "9450", (f"9450 / 0, {FREE}", f"9450 / 0, {NONE}"), license=(("notification_number", "098/2009"),)),
    "098/2009 frees, own value": Scenario((("E5", "10000"),), (Item(E5_10, debits=("300",), cif_fc="900"), Item(E5_10, allotted=("250",), cif_fc="800")),
        "9450", (f"600 / 0, {OWN}", f"550 / 0, {OWN}"), license=(("notification_number", "098/2009"),)),
    "exports of another norm only": Scenario((("E1", "10000"),), (Item(E5_10, debits=("300",)), Item(E5_10, allotted=("250",))),
        "9450", (f"9450 / 0, {FREE}", f"9450 / 0, {NONE}")),
    "capped at the balance": Scenario((("E5", "10000"),), (Item(E5_10), Item(debits=("9800",))),
        "200", ("200 / 0, restricted, E5 10", f"200 / 0, {NONE}"), is_null=True),
    "allotted": Scenario((("E5", "1000"),), (Item(allotted=("400",)),), "600", (f"600 / 0, {NONE}",)),
    "then released, debited 390": Scenario((("E5", "1000"),), (Item(released=("400",), debits=("390",)),), "610", (f"610 / 0, {NONE}",)),

    # ── edges ──
    "no export at all": Scenario((), (Item(),), "0", (f"0 / 0, {NONE}",), is_null=True),
    "499.99 is null": Scenario((("E5", "499.99"),), (), "499.99", (), is_null=True),
    "500.00 is not": Scenario((("E5", "500"),), (), "500", ()),
    "credits count nowhere": Scenario((("E5", "1000"),), (Item(credits=("400",), debits=("100",)),), "900", (f"900 / 0, {NONE}",)),
    "a conversion is not restricted": Scenario((("E5", "10000"),), (Item(E5_10, cif_fc="900"), Item(E5_10, cif_fc="0.01")),
        "10000", (f"900 / 0, {OWN}", f"10000 / 0, {NONE}"), license=(("purchase_status", "CO"),)),
    "the sheet restricts a conversion of 098/2009": Scenario((("E1", "10000"),), (Item(sheet="5", debits=("100",)),),
        "9900", ("400 / 0, restricted, None 5",), license=(("purchase_status", "CO"), ("notification_number", "098/2009"))),
    "norm unknown": Scenario(((None, "10000"),), (Item(E5_10),), "10000", (f"10000 / 0, {NONE}",)),
    "one export of the norm is enough": Scenario(((None, "1"), ("E1", "9000"), ("E5", "999")), (Item(E5_10),), "10000", ("1000 / 0, restricted, E5 10",)),
    "a name without a norm, and one without a percentage": Scenario((("E5", "10000"),), (Item(((None, "10"), ("E5", "0"))),),
        "10000", (f"10000 / 0, {NONE}",)),
    "two names of one pool, each item once": Scenario((("E5", "10000"),), (Item((("E5", "10"), ("E5", "10")), debits=("300",)),),
        "9700", ("700 / 0, restricted, E5 10",)),
    "a pool is rounded half up": Scenario((("E5", "12.35"),), (Item(E5_10),), "12.35", ("1.24 / 0, restricted, E5 10",), is_null=True),
    "the sheet pool is used by the sheet's items only": Scenario((("E5", "10000"),),
        (Item(E5_10, debits=("300",)), Item(E5_10, sheet="10", debits=("50",)), Item(sheet="10", allotted=("20",)), Item(sheet="5", debits=("1",))),
        "9629", ("700 / 0, restricted, E5 10", "930 / 0, restricted, None 10", "930 / 0, restricted, None 10", "499 / 0, restricted, None 5")),
    "the first does not carry where another has a value": Scenario((("E5", "1000"),), (Item(cif_fc="300"), Item(cif_fc="0.01")),
        "1000", (f"300 / 0, {OWN}", f"1000 / 0, {NONE}")),
    "nor where another has one in rupees": Scenario((("E5", "1000"),), (Item(cif_fc="300"), Item(cif_inr="1")),
        "1000", (f"300 / 0, {OWN}", f"1000 / 0, {NONE}")),
    "the first carries though it has a value": Scenario((("E5", "1000"),), (Item(cif_fc="300"), Item(debits=("100",))),
        "900", (f"900 / 0, {FREE}", f"900 / 0, {NONE}")),
    "alone, the first is like the others": Scenario((("E5", "1000"),), (Item(cif_fc="300"),), "1000", (f"300 / 0, {OWN}",)),
    "number 2 never carries": Scenario((("E5", "1000"),), (Item(cif_fc="300"), Item()), "1000",
        (f"300 / 0, {OWN}", f"1000 / 0, {NONE}"), first_serial=2),
    "markers": Scenario((("E5", "1000"),), (Item(cif_fc="0.01"), Item(cif_fc="0.10"), Item(cif_fc="0.11")), "1000",
        (f"1000 / 0, {NONE}", f"1000 / 0, {NONE}", f"0.11 / 0, {OWN}")),
    "own value overused": Scenario((("E5", "1000"),), (Item(cif_fc="0.11", debits=("10",), allotted=("5",)),), "985", (f"0 / 14.89, {OWN}",)),
    "a value that is the total shows the overdraw": Scenario((("E5", "100"),), (Item(debits=("130",)), Item(allotted=("20",))), "0",
        (f"0 / 50, {FREE}", f"0 / 50, {NONE}"), overdrawn="50", is_null=True),

    # ── which pool is named ──
    "the smallest pool decides": Scenario((("E1", "4000"), ("E5", "6000")), (Item((("E1", "5"), ("E5", "10"))), Item((("E1", "5"),), debits=("100",)), Item(E5_10, debits=("800",))),
        "9100", ("200 / 0, restricted, E5 10", "400 / 0, restricted, E1 5", "200 / 0, restricted, E5 10")),
    "of equal pools the lowest norm": Scenario((("E5", "1000"), ("E126", "9000")), (Item((("E5", "10"), ("E126", "10"))),),
        "10000", ("1000 / 0, restricted, E126 10",)),
    "letters before their order in a dictionary": Scenario((("e1", "1000"), ("E5", "9000")), (Item((("e1", "10"), ("E5", "10"))),),
        "10000", ("1000 / 0, restricted, E5 10",)),
    "then the lowest percentage": Scenario((("E5", "10000"),), (Item((("E5", "10"), ("E5", "5"))), Item((("E5", "10"),), debits=("500",))),
        "9500", ("500 / 0, restricted, E5 5", "500 / 0, restricted, E5 10")),
}
# fmt: on


def write(scenario: Scenario) -> None:
    company = Company.objects.create(iec="0000000001")
    bills = [BillOfEntry.objects.create(number=str(number)) for number in range(3)]
    license = License.objects.create(license_number="1", license_date=TODAY, **dict(scenario.license))
    codes = {norm for norm, _ in scenario.exports} | {norm for item in scenario.items for norm, _ in item.names}
    norms = {code: SionNorm.objects.create(code=code) for code in sorted(codes - {None}, reverse=True)}
    for code, cif_fc in scenario.exports:
        ExportItem.objects.create(license=license, norm=norms.get(code), cif_fc=Decimal(cif_fc))
    for serial, item in enumerate(scenario.items, scenario.first_serial):
        row = ImportItem.objects.create(
            license=license,
            serial_number=serial,
            quantity=100,
            cif_fc=Decimal(item.cif_fc),
            cif_inr=Decimal(item.cif_inr),
            restriction_percentage=None if item.sheet is None else Decimal(item.sheet),
        )
        for number, (code, percentage) in enumerate(item.names):
            name = ItemName.objects.create(
                name=f"{serial} {number}", sion_norm=norms.get(code), restriction_percentage=Decimal(percentage)
            )
            row.item_names.add(name)
        for bill, value in zip(bills, item.debits, strict=False):
            BillOfEntryLine.objects.create(bill_of_entry=bill, import_item=row, cif_fc=Decimal(value), quantity=1)
        for bill, value in zip(bills, item.credits, strict=False):
            BillOfEntryLine.objects.create(
                bill_of_entry=bill, import_item=row, cif_fc=Decimal(value), transaction_type="C"
            )
        for value in (*item.allotted, *item.released):
            allotment = Allotment.objects.create(company=company)
            AllotmentLine.objects.create(allotment=allotment, import_item=row, cif_fc=Decimal(value), quantity=2)
            if value in item.released:
                allotment.bills_of_entry.add(bills[-1])


@pytest.mark.parametrize("name", SCENARIOS)
def test_worked_example(name: str) -> None:
    scenario = SCENARIOS[name]
    write(scenario)
    drain()
    assert_balances_follow_facts()
    assert sql("SELECT balance_cif, overdrawn_cif, is_null FROM ledger_licensebalance") == [
        (Decimal(scenario.balance), Decimal(scenario.overdrawn), scenario.is_null)
    ]
    said = explained()
    assert [shown(row) for row in said] == list(scenario.values)
    assert [(row["available_value"], row["overdrawn_value"]) for row in said] == sql(
        "SELECT available_value, overdrawn_value FROM ledger_importitembalance ORDER BY import_item_id"
    )


def explained(today: date | None = TODAY) -> list[dict[str, Any]]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT id FROM license_license")
        license_ids = [license_id for (license_id,) in cursor.fetchall()]
        cursor.execute(load("expected"), {"license_ids": license_ids, "today": today})
        names = [column.name for column in cursor.description]
        rows = [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
    return sorted((row for row in rows if row["import_item_id"] is not None), key=lambda row: row["import_item_id"])


def shown(row: dict[str, Any]) -> str:
    words = f"{plain(row['available_value'])} / {plain(row['overdrawn_value'])}, {row['value_rule']}"
    if row["pool_percentage"] is not None:
        words += f", {row['pool_norm']} {plain(row['pool_percentage'])}"
    return words


def plain(number: Decimal) -> str:
    return f"{number.normalize():f}"


def test_an_allotment_before_and_after_its_bill_of_entry() -> None:
    write(Scenario((("E5", "1000"),), (Item(allotted=("400",)),), "", ()))
    drain()
    columns = "allotted_quantity, allotted_value, debited_quantity, debited_value, available_quantity"
    before = sql(f"SELECT {columns} FROM ledger_importitembalance")
    item = ImportItem.objects.get()
    bill = BillOfEntry.objects.get(number="0")
    Allotment.objects.get().bills_of_entry.add(bill)
    BillOfEntryLine.objects.create(bill_of_entry=bill, import_item=item, cif_fc=390, quantity=3)
    drain()
    after = sql(f"SELECT {columns} FROM ledger_importitembalance")
    assert (before, after) == ([(2, 400, 0, 0, 98)], [(0, 0, 3, 390, 97)])
    assert_balances_follow_facts()


def test_an_aro_is_released_by_a_bill_too_and_on_all_its_licenses() -> None:
    write(Scenario((("E5", "1000"),), (Item(allotted=("400",)), Item()), "", ()))
    allotment = Allotment.objects.get()
    allotment.type = "ARO"
    allotment.save()
    other = License.objects.create(license_number="2", license_date=TODAY)
    item = ImportItem.objects.create(license=other, serial_number=1)
    AllotmentLine.objects.create(allotment=allotment, import_item=item, cif_fc=50)
    drain()
    assert sql("SELECT allotted_cif FROM ledger_licensebalance ORDER BY license_id") == [(400,), (50,)]
    allotment.bills_of_entry.add(BillOfEntry.objects.get(number="0"))
    drain()
    assert sql("SELECT allotted_cif FROM ledger_licensebalance ORDER BY license_id") == [(0,), (0,)]
    assert_balances_follow_facts()


def test_quantities() -> None:
    write(Scenario((), (Item(debits=("1", "1"), allotted=("1",)),), "", ()))
    drain()
    columns = "debited_quantity, allotted_quantity, available_quantity, overdrawn_quantity"
    assert sql(f"SELECT {columns} FROM ledger_importitembalance") == [(2, 2, 96, 0)]
    sql("UPDATE license_importitem SET quantity = 3.999")
    drain()
    assert sql(f"SELECT {columns} FROM ledger_importitembalance") == [(2, 2, 0, Decimal("0.001"))]
    assert_balances_follow_facts()


# ── Today is a day in India ───────────────────────────────────────────────────────────────────────────────────────────

# fmt: off
EXPIRIES = [
    # expiry date          today                  expired
    (date(2026, 11, 22),   date(2026, 11, 21),    False),
    (date(2026, 11, 22),   date(2026, 11, 22),    False),
    (date(2026, 11, 22),   date(2026, 11, 23),    True),
    (None,                 date(2099, 1, 1),      False),
]
CLOCKS = [
    # clock                                          today in India
    (datetime(2026, 11, 22, 18, 29, 59, tzinfo=UTC), date(2026, 11, 22)),
    (datetime(2026, 11, 22, 18, 30, 0, tzinfo=UTC),  date(2026, 11, 23)),
    (datetime(2026, 11, 22, 0, 0, 0, tzinfo=UTC),    date(2026, 11, 22)),
    (datetime(2026, 12, 31, 18, 30, 5, tzinfo=UTC),  date(2027, 1, 1)),
]
ZONES = ["UTC", "Asia/Kolkata", "America/Los_Angeles", "Pacific/Kiritimati"]
# fmt: on


@pytest.mark.parametrize(("expiry", "today", "is_expired"), EXPIRIES)
def test_the_expiry_date_itself_is_still_valid(expiry: date | None, today: date, is_expired: bool) -> None:
    license = License.objects.create(license_number="1", license_date=TODAY, license_expiry_date=expiry)
    ImportItem.objects.create(license=license, serial_number=1)
    assert [row["is_expired"] for row in explained(today)] == [is_expired]


@pytest.mark.parametrize(("clock", "today"), CLOCKS)
def test_the_business_date_is_indias(monkeypatch: pytest.MonkeyPatch, clock: datetime, today: date) -> None:
    monkeypatch.setattr(timezone, "now", lambda: clock)
    for zone in ZONES:
        with timezone.override(zone):
            assert business_date() == today


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize(("clock", "today"), CLOCKS)
def test_the_date_that_the_rules_take_is_indias(zone: str, clock: datetime, today: date) -> None:
    """The very expression of expected.sql, at other moments than now."""
    [expression] = [line for line in load("expected").splitlines() if line.strip().endswith("AS today,")]
    given = expression.strip().removesuffix(" AS today,").replace("%(today)s", "NULL")
    assert "statement_timestamp()" in given
    sql(f"SET timezone = '{zone}'")
    assert one(f"SELECT {given.replace('statement_timestamp()', '%s::timestamptz')}", clock) == today


@pytest.mark.parametrize("zone", ZONES)
def test_without_a_date_the_rules_take_todays(zone: str) -> None:
    """Whatever the session's timezone: a license that expired yesterday in India, and one that expires today."""
    sql(f"SET timezone = '{zone}'")
    sql("""
        INSERT INTO license_license (license_number, license_date, license_expiry_date)
        SELECT n, '2026-01-01', (now() AT TIME ZONE 'Asia/Kolkata')::date - n FROM generate_series(0, 1) AS n
    """)
    drain()
    assert sql("SELECT is_expired FROM ledger_licensebalance ORDER BY license_id") == [(False,), (True,)]
