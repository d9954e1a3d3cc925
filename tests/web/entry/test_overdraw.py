"""A warning before an entry overdraws."""

import pytest
from django.test import Client

from ledger import signals
from ledger.engine import drain
from ledger.keys import Keys
from ledger.models import BillOfEntry, BillOfEntryLine, LicenseChange
from license.models import License
from tests.conftest import assert_balances_follow_facts, one
from tests.web.conftest import read
from tests.web.entry.conftest import (
    BILL,
    NUMBER,
    OTHER,
    allotment_of,
    bill_of,
    change,
    confirmation,
    delete,
    facts,
    item,
    line,
    post,
    saved,
    warnings,
)

BALANCE = f"License {NUMBER}: balance"
SUGAR = f"License {NUMBER}, item 2: value"
POOL = f"License {NUMBER}, items 3, 4: pool (10 % by norm E5)"


def test_a_balance(operator: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    announced: list[Keys] = []
    monkeypatch.setattr(signals, "announce", announced.append)
    before = facts()
    typed = {"number": "4712", "date": "05/03/2026", "lines": [line(item(1), "1,500")]}
    response = post(operator, BILL, **typed)
    assert warnings(response) == [
        f"{BALANCE} USD 1,200.00 left, this entry takes 1,500.00 more: it would be overdrawn by 300.00."
    ]
    assert (facts(), announced) == (before, [])
    assert not LicenseChange.objects.exists()
    assert read(response).tree.xpath("//input[@name='lines-0-cif_fc']/@value") == ["1,500"]
    assert "successfully" not in operator.get("/entry/").content.decode()
    # what is confirmed is these numbers, and no others
    confirmed = {**typed, "overdraw": confirmation(response)}
    bill_of("1", number="9")
    changed = post(operator, BILL, **confirmed)
    assert "overdrawn by 301.00" in warnings(changed)[0]
    assert BillOfEntry.objects.count() == 1
    announced.clear()
    saved(post(operator, BILL, **{**typed, "overdraw": confirmation(changed)}))
    assert [keys.import_item_id for keys in announced] == [{1}]
    drain()
    assert_balances_follow_facts()
    assert one("SELECT overdrawn_cif::text FROM ledger_licensebalance WHERE license_id = 1") == "301.00"


def test_exactly_what_is_left_may_be_taken(operator: Client) -> None:
    saved(post(operator, BILL, number="4712", lines=[line(item(1), "1200", "100")]))


def test_a_quantity_and_a_value_of_its_own_and_a_pool(operator: Client) -> None:
    lines = [line(item(1), "0", "100.5"), line(item(2), "501"), line(item(3), "70"), line(item(4), "50.10")]
    of = f"License {NUMBER}, item"
    assert warnings(post(operator, BILL, number="4712", lines=lines)) == [
        f"{of} 1: quantity 100 left, this entry takes 100.5 more: it would be overdrawn by 0.5.",
        f"{of} 2: value USD 500.00 left, this entry takes 501.00 more: it would be overdrawn by 1.00.",
        f"{POOL} USD 120.00 left, this entry takes 120.10 more: it would be overdrawn by 0.10.",
    ]


def test_two_lines_of_one_license_and_two_licenses(operator: Client) -> None:
    lines = [line(item(1), "800"), line(item(2), "401"), line(item(1, OTHER), "10000.01")]
    assert warnings(post(operator, BILL, number="4712", lines=lines)) == [
        f"{BALANCE} USD 1,200.00 left, this entry takes 1,201.00 more: it would be overdrawn by 1.00.",
        f"License {OTHER}: balance USD 10,000.00 left, this entry takes 10,000.01 more: it would be overdrawn by 0.01.",
    ]


def test_what_is_overdrawn_already(operator: Client) -> None:
    bill = bill_of("1500")
    bill_page = change(bill)
    assert warnings(post(operator, bill_page, **{"lines-0-cif_fc": "1600"})) == [
        f"{BALANCE} overdrawn by USD 300.00 already, this entry takes 100.00 more: it would be overdrawn by 400.00."
    ]
    saved(post(operator, bill_page, **{"lines-0-cif_fc": "1400"}))  # less than before, though overdrawn still
    saved(post(operator, bill_page, company=1))
    saved(post(operator, BILL, number="4712", lines=[line(item(1, OTHER), "5")]))
    saved(post(operator, change(License.objects.first()), file_number="17"))


def test_a_line_that_moves_to_another_item(operator: Client) -> None:
    bill = bill_of("400", item(2))
    assert warnings(post(operator, change(bill), **{"lines-0-import_item": item(3).pk})) == [
        f"{POOL} USD 120.00 left, this entry takes 400.00 more: it would be overdrawn by 280.00."
    ]
    saved(post(operator, change(bill), **{"lines-0-import_item": item(1, OTHER).pk}))


def test_less_credit(operator: Client) -> None:
    bill_of("1000")
    page = change(License.objects.first())
    saved(post(operator, page, **{"export_items-0-cif_fc": "1,000.00"}))
    response = post(operator, page, **{"export_items-0-cif_fc": "900"})
    assert warnings(response) == [
        f"{BALANCE} USD 0.00 left, this entry takes 100.00 more: it would be overdrawn by 100.00."
    ]
    response = post(operator, page, **{"import_items-0-quantity": "0", "overdraw": confirmation(response)})
    saved(response)  # nothing was taken of the quantity
    assert one("SELECT cif_fc::text FROM license_exportitem WHERE id = 1") == "1000.00"
    response = post(operator, page, **{"export_items-0-cif_fc": "900"})
    saved(post(operator, page, **{"export_items-0-cif_fc": "900", "overdraw": confirmation(response)}))


def test_deletion_of_lines(administrator: Client) -> None:
    bill = bill_of("1500")
    BillOfEntryLine.objects.create(bill_of_entry=bill, import_item=item(2), cif_fc=1)
    saved(post(administrator, change(bill), **{"lines-0-DELETE": "on"}))
    assert [line.cif_fc for line in bill.lines.all()] == [1]
    bill_of("1100", number="5")
    page = change(License.objects.first())
    assert warnings(post(administrator, page, **{"export_items-0-DELETE": "on"}))[0] == (
        f"{BALANCE} USD 99.00 left, this entry takes 1,200.00 more: it would be overdrawn by 1,101.00."
    )


def test_deleting_a_bill_whose_allotment_then_reserves_again(administrator: Client) -> None:
    bill = bill_of("100")
    allotment_of("1300").bills_of_entry.add(bill)
    before = facts()
    response = administrator.post(delete(bill), {"post": "yes"})
    assert warnings(response) == [
        f"{BALANCE} USD 1,100.00 left, this entry takes 1,200.00 more: it would be overdrawn by 100.00."
    ]
    assert facts() == before
    saved(administrator.post(delete(bill), {"post": "yes", "overdraw": confirmation(response)}))
    assert not BillOfEntry.objects.exists()


def test_a_new_license_that_is_overdrawn_from_the_start(operator: Client) -> None:
    """There is nothing that could be; and one that is renamed is still the same."""
    bill_of("1500")
    saved(post(operator, change(License.objects.first()), license_number="0310000066"))
