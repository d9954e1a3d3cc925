"""What may be deleted, and what is said of the rest."""

from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from desk.entry import base
from ledger.models import BillOfEntryLine
from license.models import Company, ExportItem, ItemName, License, MatchRule, SionNorm, Source
from tests.conftest import sql
from tests.web.conftest import read
from tests.web.entry.conftest import (
    NUMBER,
    OTHER,
    allotment_of,
    bill_of,
    change,
    delete,
    errors,
    facts,
    item,
    post,
    saved,
)

LISTED = "//ul[@id='deleted-objects']"


def test_deleting_what_is_in_use_is_refused_with_what_uses_it(administrator: Client) -> None:
    License.objects.update(exporter=1)
    page = read(administrator.get(delete(Company.objects.get())))
    assert page.links(f"{LISTED}//a")[NUMBER] == change(License.objects.first())
    assert administrator.post(delete(Company.objects.get()), {"post": "yes"}).status_code == 200
    assert Company.objects.exists()
    License.objects.update(exporter=None)
    saved(administrator.post(delete(Company.objects.get()), {"post": "yes"}))
    assert not Company.objects.exists()


def test_what_customs_has_debited_is_not_deleted_with_what_it_hangs_on(administrator: Client) -> None:
    bill = bill_of("100")
    BillOfEntryLine.objects.update(source=Source.ICEGATE)
    ExportItem.objects.filter(license=1).update(source=Source.ICEGATE)
    before = facts()
    license = change(License.objects.first())
    assert errors(post(administrator, license, **{"import_items-0-DELETE": "on"})) == [
        "Item 1 stays: BE 4711 of 01 Feb 2026 draws on it. Delete the lines that draw on it first."
    ]
    assert "stays" in errors(post(administrator, license, **{"export_items-0-DELETE": "on"}))[0]
    page = read(administrator.post(delete(bill), {"post": "yes"}))
    assert page.texts(f"{LISTED}//li/ul/li") == [f"BE 4711 of 01 Feb 2026: Debit of 100.00, {NUMBER} / 1"]
    assert "Lines from customs' ledger: 1" in page.text(LISTED)
    assert facts() == before
    allotment_of("1", item(2))
    assert "Allotment 1 draws on it" in errors(post(administrator, license, **{"import_items-1-DELETE": "on"}))[0]
    saved(post(administrator, license, **{"import_items-3-DELETE": "on"}))
    saved(administrator.post(delete(bill_of("1", number="5")), {"post": "yes"}))


def test_what_goes_with_a_row_is_named_as_people_call_it(administrator: Client) -> None:
    bill = bill_of("212400")
    allotment_of("5", item_name="Sugar").bills_of_entry.add(bill)
    name = ItemName.objects.get()
    MatchRule.objects.create(item_name=name, words="cashew")
    line = f"BE 4711 of 01 Feb 2026: Debit of 2,12,400.00, {NUMBER} / 1"
    reserved = f"5.00 of Allotment 1, {NUMBER} / 1"
    allotment = "Allotment 1 to Pune Mills 0000000009, Sugar"
    items = [f"{NUMBER} / {serial}" for serial in (3, 4)]
    for of, kinds, named in (
        (bill, ["Bill of entry lines: 1", "Links to allotments: 1"], [line, allotment]),
        (allotment_of("6"), ["Allotment lines: 1"], [f"6.00 of Allotment 2, {NUMBER} / 1"]),
        (name, ["Match rules: 1", "Links to import items: 2"], ["words 'cashew'", *items]),
        (
            SionNorm.objects.get(),
            ["Item names: 1", "Export items: 2"],
            ["Cashew", f"{NUMBER}: Biscuits", f"{OTHER}: Biscuits"],
        ),
    ):
        page = read(administrator.get(delete(of)))
        assert [kind for kind in kinds if kind not in page.text(LISTED)] == [], of
        assert sorted(page.texts(f"{LISTED}/li/ul/li")) == sorted(named), of
    license = read(administrator.get(delete(License.objects.first()))).text(LISTED)
    shown = ("Export items: 1", "Import items: 4", f"{NUMBER} / 2 · Sugar", line, reserved, "Links to item names: 2")
    assert [words for words in shown if words not in license] == []


def test_of_many_that_go_or_keep_it_the_first_are_named(administrator: Client) -> None:
    name, norm = ItemName.objects.get(), SionNorm.objects.get()

    def asked(of: Any) -> tuple[list[str], int]:
        with CaptureQueriesContext(connection) as queries:
            page = read(administrator.get(delete(of)))
        return page.texts(f"{LISTED}/li/ul/li"), len(queries)

    asked(name)
    _, few = asked(name)
    sql("INSERT INTO license_importitem (license_id, serial_number) SELECT 1, generate_series(5, 1304)")
    sql(
        "INSERT INTO license_importitem_item_names (importitem_id, itemname_id)"
        " SELECT id, 1 FROM license_importitem WHERE serial_number > 4"
    )
    sql("INSERT INTO license_exportitem (license_id, norm_id) SELECT 1, 1 FROM generate_series(1, 99)")
    listed, many = asked(name)
    assert (len(listed), listed[-1]) == (101, "and 1,202 more")
    assert many <= few + 1  # to count them
    assert [rest for rest in asked(norm)[0] if rest.startswith("and ")] == ["and 1 more"]
    saved(administrator.post(delete(name), {"post": "yes"}))
    assert sql("SELECT FROM license_importitem_item_names") == []


def test_what_is_in_use_by_the_time_it_is_deleted(administrator: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    License.objects.filter(pk=1).update(exporter=1)
    with monkeypatch.context() as earlier:
        earlier.setattr(base, "dependents", lambda *_: ([], []))  # what was there when it looked
        answer = administrator.post(delete(Company.objects.get()), {"post": "yes"})
    page = read(administrator.get(answer.url))
    assert page.text("//ul[@class='messagelist']") == "Nothing is deleted: it is in use by now."
    assert page.texts(f"{LISTED}/li/ul/li") == [NUMBER]
