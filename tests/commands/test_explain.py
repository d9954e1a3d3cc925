"""`explain_balance`: the lines, the rule in words, and how fresh the stored balance is."""

from collections.abc import Callable
from datetime import date
from decimal import Decimal

import pytest
from django.core.management import CommandError, call_command
from django.db import transaction

from ledger.engine import drain
from ledger.explain import explain
from ledger.models import Allotment, AllotmentLine, BillOfEntry, BillOfEntryLine
from ledger.sql import queries
from license.formats import as_license_number, indian
from license.models import Company, ExportItem, ImportItem, ItemName, License, Port, SionNorm
from tests.conftest import sql

pytestmark = pytest.mark.usefixtures("database")

NUMBER = "0310000001"


@pytest.fixture(autouse=True)
def license(database: None) -> License:
    """10,000.00 of norm E5; items for each rule; a debit, a released and an open allotment."""
    norm = SionNorm.objects.create(code="E5")
    company = Company.objects.create(iec="0000000001", name="Surat Foods")
    license = License.objects.create(license_number=NUMBER, license_date="2026-01-01", exporter=company)
    ExportItem.objects.create(license=license, cif_fc=10000, norm=norm, source="icegate")
    items = [
        ImportItem.objects.create(license=license, serial_number=serial, quantity=100, cif_fc=cif_fc)
        for serial, cif_fc in enumerate((0, 0, 9000, 50000), 1)
    ]
    items[1].item_names.add(ItemName.objects.create(name="cashew", sion_norm=norm, restriction_percentage=10))
    ImportItem.objects.filter(pk=items[2].pk).update(restriction_percentage="2.50")
    bill = BillOfEntry.objects.create(number="4711", date="2026-02-01", port=Port.objects.create(code="INNSA1"))
    BillOfEntryLine.objects.create(bill_of_entry=bill, import_item=items[1], quantity=40, cif_fc=300)
    released, opened = (Allotment.objects.create(company=company) for _ in range(2))
    AllotmentLine.objects.create(allotment=released, import_item=items[1], quantity=9, cif_fc=999)
    released.bills_of_entry.add(bill)
    AllotmentLine.objects.create(allotment=opened, import_item=items[2], quantity=10, cif_fc=Decimal("260.55"))
    drain()
    return license


def test_each_value_says_which_rule_decided_it() -> None:
    explanation = explain(NUMBER)
    assert [
        (item.serial_number, item.available_value, item.overdrawn_value, item.rule) for item in explanation.items
    ] == [
        (1, Decimal("9439.45"), 0, "no value of its own: the total of the license"),
        (2, Decimal("700.00"), 0, "restricted to 10 % by norm E5: pool 1,000.00, used 300.00"),
        (3, 0, Decimal("10.55"), "restricted to 2.5 % by its condition sheet: pool 250.00, used 260.55"),
        (
            4,
            Decimal("9439.45"),
            0,
            "its own value, 50,000.00 left of it; capped at the license's balance of 9,439.45",
        ),
    ]
    assert [(line.document, line.source, line.cif_fc) for line in explanation.debits] == [
        ("BE 4711 of 01 Feb 2026, INNSA1", "typed in", Decimal(300))
    ]
    assert [(line.serial_number, line.cif_fc) for line in explanation.allotments] == [(3, Decimal("260.55"))]
    assert (explanation.balance_cif, explanation.stored_balance_cif, explanation.pending) == (
        Decimal("9439.45"),
        Decimal("9439.45"),
        0,
    )
    assert not explanation.is_norm_unknown


def test_an_allotment_is_of_the_day_that_it_was_in_india() -> None:
    Allotment.objects.filter(bills_of_entry=None).update(created_at="2026-03-31T20:00:00Z")
    [line] = explain(NUMBER).allotments
    assert (line.day, line.source) == (date(2026, 4, 1), "entered 01 Apr 2026")


def test_the_first_item_that_carries_the_total(license: License) -> None:
    license.import_items.update(cif_fc=0)
    license.import_items.filter(serial_number=1).update(cif_fc=10000)
    assert explain(NUMBER).items[0].rule == "first item, carries the total of the license"


def freshness(capsys: pytest.CaptureFixture[str]) -> str:
    call_command("explain_balance", NUMBER)
    lines = [line.strip() for line in capsys.readouterr().out.splitlines()]
    [line] = [line for line in lines if line.startswith(("stored", "no balance", "quarantined")) or "pending: " in line]
    return line


def change_a_fact() -> None:
    ExportItem.objects.update(cif_fc=20000)


def lose_a_change() -> None:
    change_a_fact()
    sql("DELETE FROM ledger_licensechange")


def delete_the_balance() -> None:
    with transaction.atomic():
        sql("SET LOCAL session_replication_role = replica")
        sql("DELETE FROM ledger_licensebalance")


def overflow() -> None:
    ExportItem.objects.update(cif_fc=Decimal("9999999999999.99"))
    ExportItem.objects.create(license=License.objects.get(), cif_fc=1)
    drain()


@pytest.mark.parametrize(
    ("happens", "says"),
    [
        (lambda: None, "no change pending"),
        (change_a_fact, "1 changes are pending"),
        (lose_a_change, "no change is pending: this is drift"),
        (delete_the_balance, "no balance is stored"),
        (overflow, "it cannot be recomputed (numeric field overflow), stored is an older 9,439.45; tried 1 times"),
    ],
)
def test_it_says_how_fresh_the_balance_is(
    happens: Callable[[], None], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    happens()
    assert says in freshness(capsys)


@pytest.mark.parametrize("license_id", [1, 2])
@pytest.mark.parametrize("named", ["license_id", "import_item_id", "allotment_id", "item_name_id", None])
def test_the_changes_that_mean_a_license_are_counted_as_they_are_resolved(named: str | None, license_id: int) -> None:
    """Beside a license that shares an item name, and has a name, an item and allotments of its own."""
    other = License.objects.create(license_number="0310000002", license_date="2026-01-01")
    item = ImportItem.objects.create(license=other, serial_number=1, quantity=100)
    item.item_names.add(ItemName.objects.get(), ItemName.objects.create(name="sugar"))
    for _ in range(2):
        allotment = Allotment.objects.create(company=Company.objects.get())
        AllotmentLine.objects.create(allotment=allotment, import_item=item, quantity=1, cif_fc=1)
    sql(f"""
        TRUNCATE ledger_licensechange;
        INSERT INTO ledger_licensechange ({named or "license_id"}, source, operation)
            SELECT {"n" if named else "NULL::bigint"}, 'table', 'UPDATE' FROM generate_series(1, 9) AS n;
    """)
    changes = queries.column("newest_changes", at_most=9)
    means = [change for change, meant in queries.rows("resolve_changes", change_ids=changes) if meant == license_id]
    assert explain(License.objects.get(pk=license_id).license_number).pending == len(means) > 0


def test_the_command_shows_it_all(capsys: pytest.CaptureFixture[str]) -> None:
    call_command("explain_balance", "310000001")  # a spreadsheet has eaten the zero
    out = capsys.readouterr().out
    for text in (
        "License 0310000001 of 01 Jan 2026, Surat Foods 0000000001",
        "export item 1, norm E5",
        "ICEGATE ledger",
        "BE 4711 of 01 Feb 2026, INNSA1",
        "Balance: 10,000.00 - 300.00 - 260.55 = 9,439.45",
        "overdrawn value 10.55",
    ):
        assert text in out, text


def test_an_unknown_license_is_a_clear_error() -> None:
    with pytest.raises(CommandError, match=r"No license has the number '0000004711'\."):
        call_command("explain_balance", "4711")


@pytest.mark.parametrize("typed", ["310000001", " 0310000001 ", "310000001.0", "03 1000 0001"])
def test_a_number_is_understood_as_it_is_typed(typed: str) -> None:
    assert as_license_number(typed) == NUMBER


def test_other_digits_are_no_number() -> None:
    assert as_license_number("१२३") == "१२३"


def test_drain_changes_names_what_is_in_quarantine(capsys: pytest.CaptureFixture[str]) -> None:
    overflow()
    with pytest.raises(CommandError, match="Licenses in quarantine: 1"):
        call_command("drain_changes")
    assert capsys.readouterr().err == f"License {NUMBER} is in quarantine: numeric field overflow\n"


@pytest.mark.parametrize(
    ("number", "places", "text"),
    [
        ("0", 2, "0.00"),
        ("999.5", 2, "999.50"),
        ("1000", 2, "1,000.00"),
        ("111302.61", 2, "1,11,302.61"),
        ("-612.35", 2, "-612.35"),
        ("9999999999999.99", 2, "99,99,99,99,99,999.99"),
        ("35651.879", 3, "35,651.879"),
    ],
)
def test_numbers_are_grouped_as_in_india(number: str, places: int, text: str) -> None:
    assert indian(Decimal(number), places) == text
