"""The page of a license, which follows its facts while somebody looks at it."""

from decimal import Decimal

import pytest
from django.test import Client

from desk.statement import statement
from ledger.engine import drain
from ledger.explain import explain
from ledger.models import Allotment, AllotmentLine, BillOfEntry, BillOfEntryLine
from license.clock import INDIA, business_date
from license.formats import day, indian
from license.models import Company, ExportItem, ImportItem, ItemName, License, Port, SionNorm
from tests.conftest import sql
from tests.web.conftest import Shown, read

pytestmark = pytest.mark.usefixtures("database")

NUMBER = "0310000001"
PAGE = f"/licenses/{NUMBER}/"


@pytest.fixture(autouse=True)
def license(database: None) -> License:
    """1,11,302.61 of norm E5; three debits out of order, a credit of a bill, a released and an open allotment."""
    norm = SionNorm.objects.create(code="E5")
    company = Company.objects.create(iec="0000000001", name="Surat Foods")
    license = License.objects.create(
        license_number=NUMBER, license_date="2026-01-01", license_expiry_date="2099-12-31", exporter=company
    )
    ExportItem.objects.create(license=license, cif_fc="100000", norm=norm, description="Biscuits", net_quantity="1500")
    ExportItem.objects.create(license=license, cif_fc="11302.61", norm=norm)
    items = [ImportItem.objects.create(license=license, serial_number=n, quantity=1000) for n in (1, 2, 3)]
    items[1].item_names.add(ItemName.objects.create(name="cashew", sion_norm=norm, restriction_percentage=10))
    port = Port.objects.create(code="INNSA1")
    for number, date, item, cif_fc, kind in (
        ("4713", "2026-03-05", 1, "300.50", "D"),
        ("4711", "2026-02-01", 0, "20000", "D"),
        ("4712", None, 0, "0.11", "D"),
        ("4714", "2026-03-06", 0, "5000", "C"),
    ):
        bill = BillOfEntry.objects.create(number=number, date=date, port=port)
        BillOfEntryLine.objects.create(
            bill_of_entry=bill, import_item=items[item], quantity="100.500", cif_fc=cif_fc, transaction_type=kind
        )
    released, opened = (Allotment.objects.create(company=company) for _ in range(2))
    AllotmentLine.objects.create(allotment=released, import_item=items[1], quantity=9, cif_fc=999)
    released.bills_of_entry.add(BillOfEntry.objects.get(number="4713"))
    AllotmentLine.objects.create(allotment=opened, import_item=items[2], quantity=10, cif_fc="260.55")
    drain()
    return license


def figures(shown: Shown) -> dict[str, str]:
    return {label.split(" ", 1)[1]: label.split(" ", 1)[0] for label in shown.texts("//ul[@class='tiles figures']/li")}


def items(shown: Shown) -> list[list[str]]:
    return shown.rows("//table[.//th='Description']/tbody/tr")


def lines(shown: Shown) -> list[list[str]]:
    return shown.rows("//table[.//th='Document']/tbody/tr")


def poll(client: Client, shown: Shown) -> object:
    """What the page asks by itself, having shown this."""
    [address] = shown.tree.xpath("descendant-or-self::*[@id='live']/@hx-get")
    return client.get(address, headers={"HX-Request": "true"})


def test_the_numbers_are_those_that_explain_gives(viewer: Client) -> None:
    shown, explained = read(viewer.get(PAGE)), explain(NUMBER)
    assert figures(shown) == {
        "Credit": indian(explained.credit_cif),
        "Debited": indian(explained.debited_cif),
        "Allotted": indian(explained.allotted_cif),
        "Balance, USD": indian(explained.balance_cif),
    }
    assert figures(shown)["Credit"] == "1,11,302.61"
    assert [(row[0], row[4], row[5], row[6]) for row in items(shown)] == [
        (str(item.serial_number), f"{item.available_quantity.normalize():f}", indian(item.available_value), item.rule)
        for item in explained.items
    ]
    assert items(shown)[1][5:] == ["10,829.76", "restricted to 10 % by norm E5: pool 11,130.26, used 300.50"]


def test_the_statement_ends_with_the_balance(viewer: Client) -> None:
    opened = day(Allotment.objects.get(pk=2).created_at.astimezone(INDIA))
    assert lines(read(viewer.get(PAGE))) == [
        ["01 Jan 2026", "Biscuits, norm E5", "", "1,500", "1,00,000.00", "", "", "1,00,000.00"],
        ["01 Jan 2026", "Export, norm E5", "", "", "11,302.61", "", "", "1,11,302.61"],
        ["–", "BE 4712, INNSA1", "1", "100.5", "", "0.11", "", "1,11,302.50"],
        ["01 Feb 2026", "BE 4711, INNSA1", "1", "100.5", "", "20,000.00", "", "91,302.50"],
        ["05 Mar 2026", "BE 4713, INNSA1", "2", "100.5", "", "300.50", "", "91,002.00"],
        [opened, "Allotment 2 to Surat Foods", "3", "10", "", "", "260.55", "90,741.45"],
    ]
    explained = explain(NUMBER)
    raw = explained.credit_cif - explained.debited_cif - explained.allotted_cif
    assert statement(explained)[-1][-1] == raw == Decimal("90741.45")


def test_the_statement_of_an_overdrawn_license_goes_below_zero(viewer: Client) -> None:
    BillOfEntryLine.objects.filter(cif_fc=20000).update(cif_fc="200000.75")
    drain()
    shown = read(viewer.get(PAGE))
    assert lines(shown)[-1][-1] == "-89,259.30"
    assert (figures(shown)["Balance, USD"], figures(shown)["Overdrawn"]) == ("0.00", "89,259.30")


def test_documents_lead_to_their_pages_and_those_back(viewer: Client) -> None:
    links = read(viewer.get(PAGE)).links("//table//a")
    assert len(links) == 4
    for words, address in links.items():
        page = read(viewer.get(address))
        assert page.text("//h1").split()[-1] == words.split()[1].rstrip(",")
        assert page.links("//table//a") == {NUMBER: PAGE}
    bill = read(viewer.get(links["BE 4713, INNSA1"]))
    assert bill.links("//dl//a") == {"Allotment 1": "/allotments/1/"}
    assert bill.rows() == [[NUMBER, "2", "–", "100.5", "300.50", "USD"]]
    assert read(viewer.get("/allotments/1/")).links("//dl//a") == {"BE 4713 of 05 Mar 2026": links["BE 4713, INNSA1"]}
    assert "credit, counts nowhere" in read(viewer.get("/bills-of-entry/4/")).rows()[0][0]


# ── It follows its facts ──────────────────────────────────────────────────────────────────────────────────────────────


def test_while_nothing_changes_nothing_is_sent(viewer: Client) -> None:
    shown = read(viewer.get(PAGE))
    for _ in range(2):
        response = poll(viewer, shown)
        assert (response.status_code, response.content) == (204, b"")


def test_a_change_is_shown_as_pending_and_again_when_it_is_worked_off(viewer: Client) -> None:
    before = read(viewer.get(PAGE))
    assert "no change pending" in before.text("//p[contains(@class, 'asof')]")
    with_bill = BillOfEntry.objects.create(number="4720", date=business_date())
    BillOfEntryLine.objects.create(
        bill_of_entry=with_bill, import_item=ImportItem.objects.get(serial_number=1), quantity=1, cif_fc="741.45"
    )
    pending = read(poll(viewer, before))
    assert not pending.tree.xpath("//h1")  # the part that lives, not the page
    assert pending.tree.get("id") == "live"
    assert "1 change pending" in pending.text("//p[contains(@class, 'asof')]")
    assert figures(pending)["Balance, USD"] == "90,000.00"  # by its facts, already
    assert poll(viewer, pending).status_code == 204
    drain()
    after = read(poll(viewer, pending))
    assert "no change pending" in after.text("//p[contains(@class, 'asof')]")
    assert figures(after)["Balance, USD"] == "90,000.00"
    assert "BE 4720" in [line[1] for line in lines(after)]
    assert poll(viewer, after).status_code == 204


def test_a_change_of_another_license_is_none_of_this_one(viewer: Client) -> None:
    shown = read(viewer.get(PAGE))
    other = License.objects.create(license_number="0310000002", license_date="2026-01-01")
    assert poll(viewer, shown).status_code == 204
    ExportItem.objects.create(license=other, cif_fc=1)
    drain()
    assert poll(viewer, shown).status_code == 204


def test_what_a_rule_takes_from_another_item_is_shown_too(viewer: Client) -> None:
    shown = read(viewer.get(PAGE))
    ItemName.objects.update(restriction_percentage=50)
    drain()
    assert items(read(poll(viewer, shown)))[1][6].startswith("restricted to 50 % by norm E5")


def test_quarantine_is_told_while_it_lasts_and_with_each_try(viewer: Client) -> None:
    shown = read(viewer.get(PAGE))
    enormous = ExportItem.objects.create(license=License.objects.get(), cif_fc="9999999999999.99")
    drain()
    held = read(poll(viewer, shown))
    assert "in quarantine, the balance cannot be stored: numeric field overflow" in held.text("//p[@class='asof']")
    assert poll(viewer, held).status_code == 204
    ExportItem.objects.filter(description="Biscuits").update(cif_fc=100001)
    drain()  # in vain; that the change was pending may have been missed
    again = read(poll(viewer, held))
    enormous.delete()
    drain()
    assert "no change pending" in read(poll(viewer, again)).text("//p[@class='asof']")


def test_drift_is_not_hidden(viewer: Client) -> None:
    ExportItem.objects.filter(description="Biscuits").update(cif_fc=100001)
    sql("DELETE FROM ledger_licensechange")
    assert "90,741.45 is stored" in read(viewer.get(PAGE)).text("//p[@class='asof']")


def test_a_day_that_ends_is_a_change(viewer: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = read(viewer.get(PAGE))
    monkeypatch.setattr("desk.views.business_date", lambda: "tomorrow")
    assert poll(viewer, shown).status_code == 200


def test_a_license_that_goes_is_gone(viewer: Client) -> None:
    shown = read(viewer.get(PAGE))
    License.objects.all().delete()
    assert poll(viewer, shown).status_code == 404


@pytest.mark.parametrize(("days", "words"), [(-1, "Expired."), (0, "Expires at midnight."), (1, None), (None, None)])
def test_what_turns_at_midnight(days: int | None, words: str | None, viewer: Client) -> None:
    from datetime import timedelta

    License.objects.update(license_expiry_date=None if days is None else business_date() + timedelta(days))
    drain()
    text = read(viewer.get(PAGE)).text("//p[@class='asof']")
    assert [said for said in ("Expired.", "Expires at midnight.") if said in text] == ([words] if words else [])


def test_a_license_without_anything(viewer: Client) -> None:
    License.objects.create(license_number="0310000002", license_date="2026-01-01")
    shown = read(viewer.get("/licenses/0310000002/"))
    assert shown.texts("//p[@class='empty']") == [
        "This license has no import items.",
        "Nothing has been credited, debited or allotted yet.",
    ]


def test_what_people_typed_is_text(viewer: Client) -> None:
    hostile = "<script>alert('1')</script>{{ 7 }}\"><img src=x onerror=alert(1)>"
    ImportItem.objects.filter(serial_number=1).update(description=hostile)
    ExportItem.objects.filter(description="Biscuits").update(description=hostile)
    Company.objects.update(name=hostile)
    BillOfEntry.objects.filter(number="4711").update(number="<b>4711</b>")
    drain()
    response = viewer.get(PAGE)
    assert b"<script>alert" not in response.content
    assert b"<img" not in response.content
    shown = read(response)
    assert items(shown)[0][1] == hostile
    assert lines(shown)[0][1] == f"{hostile}, norm E5"
    assert "BE <b>4711</b>, INNSA1" in [line[1] for line in lines(shown)]
    for address in shown.links("//table//a").values():
        assert b"<img" not in viewer.get(address).content
