"""The forecast: each midnight that turns something, and nothing added up that is not the same."""

from datetime import timedelta
from decimal import Decimal

import pytest
from django.test import Client

from ledger.engine import drain
from ledger.models import Allotment, AllotmentLine, AllotmentRelease, BillOfEntry
from license.clock import business_date
from license.formats import day
from license.models import Company, ImportItem, Port
from tests.web.conftest import Kind, make_all, read

pytestmark = pytest.mark.usefixtures("database")
KINDS = {
    "0310000001": Kind("", expires=0),
    "0310000002": Kind("", expires=5, debit="4000"),
    "0310000003": Kind("", expires=5),
    "0310000004": Kind("", expires=5, credit="777", facts={"currency": "EUR"}),
    "0310000005": Kind("", expires=5, debit="9800"),  # null
    "0310000006": Kind("", expires=31),
    "0310000007": Kind("", expires=-1),
    "0310000008": Kind("", expires=None, debit="12500"),  # overdrawn
}


@pytest.fixture(autouse=True)
def licenses(database: None) -> None:
    make_all(KINDS, Port.objects.create(code="INNSA1"))
    drain()


def allot(number: str, cif_fc: str, last_day: int | None) -> Allotment:
    until = None if last_day is None else business_date() + timedelta(last_day)
    allotment = Allotment.objects.create(company=Company.objects.get(iec="0000000009"), last_day=until)
    item = ImportItem.objects.get(license__license_number=number, serial_number=2)
    AllotmentLine.objects.create(allotment=allotment, import_item=item, cif_fc=Decimal(cif_fc))
    return allotment


def turns(client: Client, query: str = "") -> list[list[str]]:
    return read(client.get(f"/forecast/{query}")).rows("//table[@aria-labelledby='turns']/tbody/tr")


def at(days: int) -> str:
    return day(business_date() + timedelta(days))


def test_what_each_midnight_turns(viewer: Client) -> None:
    allot("0310000002", "100", 5)
    allot("0310000003", "50.50", 5)
    allot("0310000003", "3", 2)
    allot("0310000003", "4", -3)  # the night will
    allot("0310000003", "1000", None)
    allot("0310000003", "1000", 31)
    allot("0310000003", "1000", 2).bills_of_entry.add(BillOfEntry.objects.first())
    AllotmentRelease.objects.create(allotment=allot("0310000003", "1000", 2))
    drain()
    assert turns(viewer) == [
        [at(0), "USD", "1", "10,000.00", "1", "4.00"],
        [at(2), "USD", "", "", "1", "3.00"],
        [at(5), "EUR", "1", "777.00", "", ""],
        [at(5), "USD", "2", "13,842.50", "2", "150.50"],
    ]
    assert turns(viewer, "?days=90")[-1] == [at(31), "USD", "1", "10,000.00", "1", "1,000.00"]
    assert turns(viewer, "?q=0310000002") == [[at(5), "USD", "1", "5,900.00", "1", "100.00"]]
    assert turns(viewer, "?days=nonsense&q=0310000007") == []


def test_what_is_left_whatever_becomes_of_the_open_allotments(viewer: Client) -> None:
    allot("0310000002", "100", None)
    allot("0310000008", "2600", None)
    drain()
    left = read(viewer.get("/forecast/")).rows("//table[@aria-labelledby='left']/tbody/tr")
    assert left == [["EUR", "1", "777.00", "777.00"], ["USD", "6", "36,100.00", "36,200.00"]]
    allot("0310000008", "1", None)
    ImportItem.objects.filter(license__license_number="0310000008", serial_number=1).get().bill_of_entry_lines.update(
        cif_fc=8000
    )
    drain()
    left = read(viewer.get("/forecast/?q=0310000008")).rows("//table[@aria-labelledby='left']/tbody/tr")
    assert left == [["USD", "1", "0.00", "2,000.00"]]


def test_a_license_page_says_until_when_an_allotment_reserves(viewer: Client) -> None:
    allot("0310000003", "1", 0)
    allot("0310000003", "1", 3)
    marks = read(viewer.get("/licenses/0310000003/")).texts(
        "//section//span[contains(@class, 'mark')] | //td/span[contains(@class, 'mark')]"
    )
    assert sorted(marks) == ["given up at midnight", f"until {at(3)}"]
