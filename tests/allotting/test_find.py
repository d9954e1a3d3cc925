"""Finding: what is found by what, in which order, and what it comes to."""

from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection

from ledger.engine import drain
from ledger.find import Wanted, find, find_all, totals
from ledger.models import AllotmentLine
from ledger.sql import load
from license.models import Company, ExportItem, HSCode, ImportItem, ItemName, License, SionNorm
from tests.conftest import sql
from tests.engine.sessions import make_licenses

pytestmark = pytest.mark.usefixtures("database")


@pytest.fixture(autouse=True)
def desk(database: None) -> None:
    """Four licenses of 1,000.00 with an item of 10: 1 (E1 and E5) never expires, 2 (E5, EUR) in March, 3 and 4 (no
    norm) in February. License 3 has two more items, of 5 KGS and of 0.999."""
    make_licenses(4)
    e1, e5 = (SionNorm.objects.create(code=code) for code in ("E1", "E5"))
    ExportItem.objects.filter(license=1).update(norm=e5)
    ExportItem.objects.create(license_id=1, norm=e1, cif_fc=0)
    ExportItem.objects.filter(license=2).update(norm=e5)
    surat = Company.objects.create(pk=2, iec="SURAT00001", name="Surat Foods")
    License.objects.filter(pk=2).update(license_expiry_date="2027-03-31", currency="EUR", exporter=surat)
    License.objects.filter(pk__in=(3, 4)).update(license_expiry_date="2027-02-28", exporter_id=1)
    sugar, milk = ItemName.objects.create(name="Sugar & syrup"), ItemName.objects.create(name="Milk powder")
    heading = HSCode.objects.create(code="1701 99 90")
    for item, description, unit, names in (
        (1, "White refined SUGAR, S-30", "KGS", [sugar]),
        (2, "Skimmed milk", "KGS", [milk, sugar]),
        (3, "Cane sugars / raw", "MTS", []),
        (4, "", "KGS", [milk]),
    ):
        ImportItem.objects.filter(pk=item).update(
            description=description, unit=unit, hs_code=heading if item == 3 else None
        )
        ImportItem.objects.get(pk=item).item_names.set(names)
    ImportItem.objects.create(pk=5, license_id=3, serial_number=2, quantity=5, unit="KGS", description="raw cane")
    ImportItem.objects.create(pk=6, license_id=3, serial_number=3, quantity="0.999", unit="KGS", description="raw cane")
    drain()


def found(**wanted: Any) -> list[int]:
    return [each.import_item_id for each in find(Wanted(**wanted), count=10)]


@pytest.mark.parametrize(
    ("wanted", "items"),
    [
        ({}, [3, 5, 4, 2, 1]),  # whose license expires first first; less than 1 of its unit is no offer
        ({"text": "sugar"}, [3, 2, 1]),
        ({"text": " SUGAR  whi"}, [1]),
        ({"text": "raw cane"}, [3, 5]),
        ({"text": "ugar"}, [2, 1]),  # names are few: any part of one
        ({"text": "milk"}, [4, 2]),
        ({"text": "s-30"}, [1]),
        ({"text": "1701"}, [3]),
        ({"text": "1701.99"}, [3]),
        ({"text": "17 02"}, []),
        ({"text": "sugar | milk & ! :* 'x"}, []),
        ({"text": "%"}, [3, 5, 4, 2, 1]),  # no word
        ({"text": "_ilk"}, [4, 2]),
        ({"norm_id": 2}, [2, 1]),
        ({"norm_id": 1}, [1]),
        ({"unit": "MTS"}, [3]),
        ({"currency": "EUR"}, [2]),
        ({"valid_on": date(2027, 2, 28)}, [3, 5, 4, 2, 1]),
        ({"valid_on": date(2027, 3, 1)}, [2, 1]),
        ({"text": "sugar", "norm_id": 2, "valid_on": date(2027, 4, 1)}, [1]),
    ],
)  # fmt: skip
def test_what_is_found(wanted: dict[str, Any], items: list[int]) -> None:
    assert found(**wanted) == items
    assert totals(Wanted(**wanted)).items == len(items)


def test_page_by_page() -> None:
    assert [each.import_item_id for each in find(Wanted(), count=2, start=2)] == [4, 2]


def test_all_of_them_are_read_while_they_are_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("license.queries.ROWS_AT_ONCE", 2)
    assert list(find_all(Wanted())) == find(Wanted(), count=10)
    first = find_all(Wanted())
    assert next(first).import_item_id == 3
    first.close()
    monkeypatch.setitem(connection.settings_dict, "DISABLE_SERVER_SIDE_CURSORS", True)
    assert list(find_all(Wanted())) == find(Wanted(), count=10)


def test_a_row_says_whose_it_is() -> None:
    [row] = find(Wanted(text="skimmed"), count=10)
    assert (row.license_number, row.exporter, row.currency, row.norms) == ("2", "Surat Foods", "EUR", ["E5"])
    assert (row.names, row.available_quantity, row.available_value) == (["Milk powder", "Sugar & syrup"], 10, 1000)
    [row] = find(Wanted(unit="MTS"), count=10)
    assert (row.exporter, row.hs_code, row.license_expiry_date) == ("0000000001", "1701 99 90", date(2027, 2, 28))


def test_what_has_nothing_left_is_not_found() -> None:
    AllotmentLine.objects.create(allotment_id=1, import_item_id=4, quantity=10)
    AllotmentLine.objects.create(allotment_id=1, import_item_id=3, cif_fc=1000)
    drain()
    assert found() == [2, 1]  # no quantity; no value, of another item of the license too


def test_totals_never_add_up_the_values_of_a_license_beyond_its_balance() -> None:
    ImportItem.objects.filter(pk=5).update(cif_fc=300)
    ImportItem.objects.filter(pk=3).update(cif_fc=600, unit="KGS")
    drain()
    of_all = totals(Wanted())
    assert (of_all.quantities, of_all.values) == ({"KGS": Decimal(45)}, {"USD": Decimal(2900), "EUR": Decimal(1000)})
    assert (of_all.items, of_all.licenses) == (5, 4)
    AllotmentLine.objects.create(allotment_id=1, import_item_id=6, cif_fc=500)
    drain()
    assert totals(Wanted()).values["USD"] == Decimal(2500)
    assert totals(Wanted(text="cane")).values == {"USD": Decimal(500)}


def test_totals_by_norm_and_name() -> None:
    rows = [
        (each.norms, each.name, each.unit, each.currency, each.licenses, int(each.quantity), int(each.value))
        for each in totals(Wanted()).names
    ]
    assert rows == [
        ("", "", "KGS", "USD", 1, 5, 1000),
        ("", "", "MTS", "USD", 1, 10, 1000),
        ("", "Milk powder", "KGS", "USD", 1, 10, 1000),
        ("E1, E5", "Sugar & syrup", "KGS", "USD", 1, 10, 1000),
        ("E5", "Milk powder", "KGS", "EUR", 1, 10, 1000),
        ("E5", "Sugar & syrup", "KGS", "EUR", 1, 10, 1000),
    ]


def test_words_are_found_by_index() -> None:
    sql("SET enable_seqscan = off")
    try:
        asked = {"page_size": 10, "page_start": 0, **Wanted(text="sugar").parameters()}
        with connection.cursor() as cursor:
            cursor.execute("EXPLAIN " + load("find_items"), asked)
            plan = " ".join(line for (line,) in cursor.fetchall())
    finally:
        sql("RESET enable_seqscan")
    assert "license_importitem_words" in plan
