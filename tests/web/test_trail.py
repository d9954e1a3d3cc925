"""Who changed what, and balances as of a date, as auditors read them."""

import csv
import io
import json
from contextlib import closing
from datetime import timedelta
from decimal import Decimal

import pytest
from django.test import Client
from openpyxl import load_workbook
from pypdf import PdfReader

from ledger.acting import acting
from ledger.as_of import trail_began
from ledger.engine import drain
from ledger.models import Allotment, AllotmentLine, BillOfEntry, BillOfEntryLine
from ledger.trail_words import of_license
from license.clock import INDIA, business_date
from license.models import Company, ExportItem, ImportItem, ItemName, License, Port, SionNorm
from tests.conftest import one, sql
from tests.web.conftest import Kind, LogIn, make, read

NUMBER = "0310000001"
TRAIL = f"/licenses/{NUMBER}/trail/"


@pytest.fixture
def license(database: None) -> License:
    """10,000.00, and another license that has nothing to do with it."""
    with acting("meera", via="POST /entry/"):
        port = Port.objects.create(code="INNSA1")
        make("0310000009", Kind("", debit="77"), port)
        license = make(NUMBER, Kind("", debit="1000"), port)
    drain()
    return license


@pytest.fixture
def auditor(log_in: LogIn) -> Client:
    return log_in("auditor")


def since(entry: int) -> list[tuple[str, str, list[str]]]:
    """What was changed of the license after an entry, the oldest first."""
    found = of_license([License.objects.get(license_number=NUMBER).pk], at_most=100)
    return [
        (change.subject, change.what, [f"{field.name}: {field.told}" for field in change.fields])
        for change in reversed(found)
        if change.pk > entry
    ]


def newest() -> int:
    return one("SELECT coalesce(max(id), 0) FROM ledger_trailentry")


# ── In words ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_each_change_is_told_in_the_words_of_the_trade(license: License) -> None:
    item = license.import_items.get(serial_number=2)
    before = newest()
    norm = SionNorm.objects.create(code="E5")
    name = ItemName.objects.create(name="cashew", sion_norm=norm, restriction_percentage=10)
    item.item_names.add(name)
    ExportItem.objects.filter(license=license).update(norm=norm, cif_fc=Decimal("111302.61"))
    bill = BillOfEntry.objects.create(number="4711", date="2026-03-01", port=Port.objects.get())
    line = BillOfEntryLine.objects.create(bill_of_entry=bill, import_item=item, quantity=5, cif_fc=300)
    line.cif_fc = Decimal("250.50")
    line.save()
    allotment = Allotment.objects.create(company=Company.objects.get(name="Pune Mills"), required_quantity=7)
    AllotmentLine.objects.create(allotment=allotment, import_item=item, quantity=7, cif_fc=70)
    allotment.bills_of_entry.add(bill)
    name.restriction_percentage = Decimal("12.50")
    name.save()
    line.delete()
    export, of = ExportItem.objects.get(license=license).pk, f"item 2 of license {NUMBER}"
    number, earned = f"Allotment {allotment.pk}", f"export item {export} of license {NUMBER}"
    reserved = f"{number} on {of}"
    bill_4711, line_of_it = "BE 4711 of 01 Mar 2026", f"debit of BE 4711 of 01 Mar 2026 on {of}"
    assert since(before) == [
        ("item name cashew", "entered", ["Name: cashew", "SION norm: E5", "Restriction percentage: 10.00"]),
        (f"name cashew of {of}", "entered", []),
        (earned, "changed", ["SION norm: – → E5", "CIF FC: 10,000.00 → 1,11,302.61"]),
        (bill_4711, "entered", ["Number: 4711", "Date: 01 Mar 2026", "Port: INNSA1"]),
        (line_of_it, "entered", ["Quantity: 5", "CIF FC: 300.00"]),
        (line_of_it, "changed", ["CIF FC: 300.00 → 250.50"]),
        (number, "entered", ["Company: Pune Mills 0000000009", "Required quantity: 7"]),
        (reserved, "entered", ["Quantity: 7", "CIF FC: 70.00"]),
        (f"{number} used by {bill_4711}", "entered", []),
        ("item name cashew", "changed", ["Restriction percentage: 10.00 → 12.50"]),
        (line_of_it, "deleted", ["Quantity: 5", "CIF FC: 250.50"]),
    ]


def test_what_has_nothing_to_do_with_the_license_is_not_told(license: License) -> None:
    other = License.objects.get(license_number="0310000009")
    before = newest()
    other.export_items.update(cif_fc=1)
    BillOfEntryLine.objects.filter(import_item__license=other).delete()
    assert since(before) == []


def test_what_is_gone_is_called_as_it_was_seen_last(license: License) -> None:
    bill = BillOfEntry.objects.get(number=NUMBER[-5:])
    before = newest()
    BillOfEntryLine.objects.filter(bill_of_entry=bill).delete()
    bill.delete()
    AllotmentLine.objects.filter(import_item__license=license).delete()
    ImportItem.objects.filter(license=license, serial_number=1).delete()
    subjects = [subject for subject, what, _ in since(before) if what == "deleted"]
    assert f"debit of BE {bill.number} of 01 Feb 2026 on item 1 of license {NUMBER}" in subjects
    assert f"BE {bill.number} of 01 Feb 2026" in subjects


def test_an_item_that_moved_is_told_on_both_licenses(license: License) -> None:
    before = newest()
    item = license.import_items.get(serial_number=2)
    other = License.objects.create(license_number="0310000003", license_date="2026-01-01")
    sql("UPDATE license_importitem SET license_id = %s, serial_number = 9 WHERE id = %s", other.pk, item.pk)
    assert [(subject, what) for subject, what, _ in since(before)] == [
        (f"item 2 of license {NUMBER}", "deleted"),
        # what was booked on it before is this license's trail still
    ]
    [moved] = [change for change in of_license([other.pk], at_most=9) if change.table == "license_importitem"]
    assert (moved.subject, moved.what) == ("item 9 of license 0310000003", "entered")


# ── Pages ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_an_auditor_follows_a_number_to_who_changed_it(license: License, auditor: Client) -> None:
    with acting("asha", via="POST /entry/ledger/billofentry/5/change/"):
        BillOfEntryLine.objects.filter(import_item__license=license).update(cif_fc="1250.00")
    drain()
    page = read(auditor.get(f"/licenses/{NUMBER}/"))
    assert page.links()["Who changed what"] == TRAIL
    first = read(auditor.get(TRAIL)).rows()[0]
    assert first[1:] == ["asha", f"debit of BE 00001 of 01 Feb 2026 on item 1 of license {NUMBER}", "changed",
                         "CIF FC: 1,000.00 → 1,250.00"]  # fmt: skip
    statement = read(auditor.get(f"/trail/{one('SELECT max(id) FROM ledger_trailstatement')}/"))
    said = statement.text("//main")
    for words in ("asha", "POST /entry/ledger/billofentry/5/change/", "UPDATE", "1,000.00 → 1,250.00"):
        assert words in said
    assert 'UPDATE "ledger_billofentryline"' in statement.text("//pre")


def test_the_trail_of_everything_is_asked_for(license: License, auditor: Client) -> None:
    with acting("asha"):
        Port.objects.create(code="INMUN1")
    today = business_date()
    assert len(read(auditor.get("/trail/?user=asha")).rows()) == 1
    assert "ports" in read(auditor.get("/trail/?user=asha&kind=license_port")).rows()[0]
    assert "Nothing was written that fits" in read(auditor.get("/trail/?user=asha&kind=license_license")).text("//main")
    assert len(read(auditor.get(f"/trail/?user=asha&since={today}&until={today}")).rows()) == 1
    for nothing in (f"until={today - timedelta(1)}", f"since={today + timedelta(1)}"):
        assert "Nothing was written that fits" in read(auditor.get(f"/trail/?{nothing}")).text("//main")
    assert "Enter a valid date" in read(auditor.get("/trail/?since=31/02")).text("//main")
    assert len(read(auditor.get("/trail/?user=asha&since=0001-01-01&until=9999-12-31")).rows()) == 1


def test_long_trails_are_shown_page_by_page(license: License, auditor: Client) -> None:
    item = license.import_items.get(serial_number=2)
    for n in range(60):
        ImportItem.objects.filter(pk=item.pk).update(quantity=n + 1)
    first = read(auditor.get(TRAIL))
    older = read(auditor.get(TRAIL + first.links()["Older"]))
    assert len(first.rows()) == 50
    told = [*first.rows(), *older.rows()]
    assert sum(row[3] == "changed" for row in told) == 60
    assert len({row[4] for row in told if row[3] == "changed"}) == 60
    all_of_it = read(auditor.get("/trail/"))
    assert len(all_of_it.rows()) == 50
    assert len(read(auditor.get("/trail/" + all_of_it.links()["Older"])).rows()) > 10
    assert len(read(auditor.get("/trail/?older_than=x")).rows()) == 50
    sql("UPDATE license_importitem SET unit = 'u' || n FROM generate_series(1, 1) AS n")
    bulk = one("SELECT max(id) FROM ledger_trailstatement")
    assert len(read(auditor.get(f"/trail/{bulk}/")).rows()) == one("SELECT count(*) FROM license_importitem")


def test_what_people_wrote_is_text(license: License, auditor: Client) -> None:
    nasty = "<script>alert(1)</script>"
    with acting(nasty, via=nasty):
        ImportItem.objects.filter(license=license).update(description=nasty)
        sql(f"UPDATE license_license SET file_number = 'x' WHERE id = {license.pk} AND '{nasty}' <> ''")
    pk = one("SELECT max(id) FROM ledger_trailstatement")
    for address in (TRAIL, "/trail/", f"/trail/{pk}/"):
        page = auditor.get(address).content.decode()
        assert nasty not in page
        assert "&lt;script&gt;" in page


def rows_of(client: Client, address: str) -> list[dict[str, str]]:
    with closing(client.get(address)) as response:
        assert response.status_code == 200
        return list(csv.DictReader(io.StringIO(response.getvalue().decode("utf-8-sig"))))


def test_a_file_for_an_inspection(license: License, auditor: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("desk.trail.AT_ONCE", 2)
    with acting("=cmd()"):
        BillOfEntryLine.objects.filter(import_item__license=license).update(cif_fc="1250.00")
    rows = rows_of(auditor, f"/licenses/{NUMBER}/trail.csv")
    changes = of_license([license.pk], at_most=1000)
    assert [row["About"] for row in rows] == [change.subject for change in changes]
    assert (rows[0]["Who"], rows[0]["Changes"]) == ("'=cmd()", "CIF FC: 1,000.00 → 1,250.00")
    assert json.loads(rows[0]["Before"])["cif_fc"] == "1000.00"
    everything = rows_of(auditor, "/trail.csv")
    assert len(everything) == one("SELECT count(*) FROM ledger_trailentry")
    assert len(rows_of(auditor, "/trail.csv?user=%3Dcmd()")) == 1
    refused = auditor.get("/trail.csv?since=31/02")
    assert refused.status_code == 400
    assert "Enter a valid date" in refused.content.decode()


def test_a_license_that_is_gone_has_its_trail(license: License, auditor: Client) -> None:
    sql("DELETE FROM ledger_allotmentline; DELETE FROM ledger_billofentryline")
    license.delete()
    page = read(auditor.get(TRAIL))
    assert "The license is gone" in page.text("//main")
    assert "license 0310000001" in page.text("//main")
    assert auditor.get("/licenses/4711/trail/").status_code == 404
    assert auditor.get("/licenses/%00/trail/").status_code == 404


def test_who_enters_a_license_anew_hides_nothing(license: License, auditor: Client) -> None:
    """Nor does who renames it, or gives its number to another; but what has another number now is found by that."""
    sql("DELETE FROM ledger_allotmentline; DELETE FROM ledger_billofentryline")
    license.delete()
    License.objects.create(license_number=NUMBER, license_date="2026-02-01")
    mistyped = License.objects.create(license_number="0310000002", license_date="2026-02-01")
    License.objects.filter(pk=mistyped.pk).update(license_number="0310000003")
    about = [(row[2], row[3]) for row in read(auditor.get(TRAIL)).rows()]
    assert (about[0], about.count((f"license {NUMBER}", "deleted"))) == ((f"license {NUMBER}", "entered"), 1)
    assert (f"item 2 of license {NUMBER}", "deleted") in about
    assert len(rows_of(auditor, f"/licenses/{NUMBER}/trail.csv")) == len(about)
    renamed = read(auditor.get("/licenses/0310000002/trail/"))
    assert renamed.rows()[0][4] == "License number: 0310000002 → 0310000003"
    assert "The license is gone" in renamed.text("//main")
    License.objects.create(license_number="0310000002", license_date="2026-03-01")
    assert len(read(auditor.get("/licenses/0310000002/trail/")).rows()) == 1


# ── As of a date ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_license_as_of_a_date(license: License, auditor: Client) -> None:
    page = read(auditor.get(f"/licenses/{NUMBER}/"))
    assert page.links()["As of a date"] == f"/licenses/{NUMBER}/as-of/"
    before = read(auditor.get(f"/licenses/{NUMBER}/as-of/?until=2026-01-31"))
    assert before.text("//b[@id='balance']") == "10,000.00"
    assert "As of 31 Jan 2026, by the documents until 31 Jan 2026, as known now." in before.text("//main")
    after = read(auditor.get(f"/licenses/{NUMBER}/as-of/?until=2026-02-01"))
    assert after.text("//b[@id='balance']") == "9,000.00"
    known = read(auditor.get(f"/licenses/{NUMBER}/as-of/?known={business_date()}"))
    assert "That is what was shown" in known.text("//main")
    assert "There was no such license" in read(auditor.get(f"/licenses/{NUMBER}/as-of/?until=2025-12-31")).text(
        "//main"
    )
    assert auditor.get("/licenses/4711/as-of/").status_code == 404


def test_the_balance_sheet_as_of_a_date(license: License, auditor: Client) -> None:
    address = read(auditor.get(f"/licenses/{NUMBER}/as-of/?until=2026-01-31")).links()["PDF"]
    with closing(auditor.get(address)) as response:
        text = " ".join(PdfReader(io.BytesIO(response.getvalue())).pages[0].extract_text().split())
    assert "as of 31 Jan 2026, by the documents until 31 Jan 2026, as known now (" in text
    assert "10,000.00" in text
    assert "BE 00001" not in text
    with closing(auditor.get(f"/licenses/{NUMBER}/as-of.xlsx?until=2026-02-01")) as response:
        assert "balance-0310000001-until-2026-02-01" in response.headers["Content-Disposition"]
        book = load_workbook(io.BytesIO(response.getvalue()))
    assert book["Licenses"]["N2"].value == 9000
    assert auditor.get(f"/licenses/{NUMBER}/as-of.pdf?until=2025-01-01").status_code == 404
    assert auditor.get(f"/licenses/{NUMBER}/as-of.pdf?until=x").status_code == 400


def test_what_was_shown_is_told_where_it_was_another(license: License, auditor: Client) -> None:
    ExportItem.objects.filter(license=license).update(cif_fc=20000)  # and nobody drains
    page = read(auditor.get(f"/licenses/{NUMBER}/as-of/")).text("//main")
    assert "Shown was 9,000.00, since" in page


def test_all_licenses_as_of_a_date(license: License, auditor: Client) -> None:
    page = read(auditor.get("/as-of/?until=2026-01-31"))
    assert [(row[0], row[7]) for row in page.rows()] == [("0310000009", "10,000.00"), (NUMBER, "10,000.00")]
    rows = rows_of(auditor, "/as-of.csv?until=2026-02-01")
    assert [(row["License"], row["Balance"], row["Expired"]) for row in rows] == [
        ("0310000009", "9923.00", "no"),
        (NUMBER, "9000.00", "no"),
    ]
    with closing(auditor.get("/as-of.csv?until=2026-02-01")) as response:
        assert "balances-until-2026-02-01" in response.headers["Content-Disposition"]


@pytest.mark.parametrize("address", ["/as-of/", f"/licenses/{NUMBER}/as-of/", "/as-of.csv"])
def test_what_cannot_be_told_is_said(address: str, license: License, auditor: Client) -> None:
    too_early = trail_began().astimezone(INDIA).date() - timedelta(days=1)
    for asked, words in (
        (f"known={too_early}", "The trail of changes begins on"),
        ("until=31/02/2026", "Enter a valid date"),
        ("known=9999-12-31", "choose a day until today"),
    ):
        response = auditor.get(f"{address}?{asked}")
        assert response.status_code == 400
        assert words in response.content.decode()
