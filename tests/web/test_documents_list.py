"""The lists of allotments and of bills of entry: searched, filtered, sorted, added up."""

import re
from datetime import datetime
from itertools import product

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from desk import documents
from ledger.models import Allotment, AllotmentLine, BillOfEntry, BillOfEntryLine
from license.models import Company, ImportItem, License, Port
from tests.conftest import sql
from tests.web.conftest import Shown, read

ALLOTMENTS, BILLS = "/allotments/", "/bills-of-entry/"
FIRST, SECOND, EURO = "0310000001", "0310000002", "0310000003"


@pytest.fixture(autouse=True)
def world(database: None) -> None:
    """Three licenses, one in EUR; four allotments, two of them released; five bills."""
    surat = Company.objects.create(iec="0000000001", name="Surat Foods")
    kochi = Company.objects.create(iec="0000000002", name="Kochi Spices")
    nameless = Company.objects.create(iec="0000000003")
    items = {}
    for number, currency in ((FIRST, "USD"), (SECOND, "USD"), (EURO, "EUR")):
        license = License.objects.create(license_number=number, license_date="2026-01-01", currency=currency)
        items[number] = ImportItem.objects.create(license=license, serial_number=1, quantity=1000)
    for company, goods, entered, expected, lines in (
        (surat, "Cashew", "2026-01-31T18:29:59Z", "2026-09-01", {FIRST: "100.10", SECOND: "200.20"}),
        (kochi, "Pepper", "2026-01-31T18:30:00Z", None, {SECOND: "1000"}),
        (nameless, "", "2026-03-01T00:00:00Z", "2026-08-01", {EURO: "5", FIRST: "111302.61"}),
        (kochi, "Clove", "2026-02-01T00:00:00Z", None, {}),
    ):
        allotment = Allotment.objects.create(company=company, item_name=goods, estimated_arrival_date=expected)
        Allotment.objects.filter(pk=allotment.pk).update(created_at=entered)
        for number, cif_fc in lines.items():
            AllotmentLine.objects.create(allotment=allotment, import_item=items[number], cif_fc=cif_fc)
    Allotment.objects.filter(pk=4).update(type="ARO")
    port = Port.objects.create(code="INNSA1")
    for number, when, where, who, lines in (
        ("0004711", "2026-02-01", port, surat, {FIRST: ("300.50", "D"), SECOND: ("1", "D")}),
        ("4712", "2026-03-05", None, None, {EURO: ("20000", "D")}),
        ("4713", None, port, kochi, {FIRST: ("5", "C")}),
        ("4714", "2025-12-31", None, nameless, {}),
    ):
        bill = BillOfEntry.objects.create(number=number, date=when, port=where, company=who)
        for license, (cif_fc, kind) in lines.items():
            BillOfEntryLine.objects.create(
                bill_of_entry=bill, import_item=items[license], cif_fc=cif_fc, transaction_type=kind
            )
    Allotment.objects.get(pk=2).bills_of_entry.add(1, 2)
    Allotment.objects.get(pk=3).bills_of_entry.add(1)


def ask(client: Client, page: str, **query: object) -> Shown:
    return read(client.get(page, query))


def first_cells(shown: Shown) -> list[str]:
    return [row[0].removeprefix("Allotment ").removeprefix("ARO ") for row in shown.rows()]


def test_the_lists_show_what_the_facts_say(viewer: Client) -> None:
    assert ask(viewer, ALLOTMENTS).rows() == [
        ["ARO 4", "Kochi Spices", "Clove", "–", "0", "–", "–", "01 Feb 2026", "–", "bought at home", "–", "–", ""],
        ["Allotment 3", "IEC 0000000003", "–", "–", "0", "–", "–", "01 Mar 2026", "01 Aug 2026", "BE 0004711",
         "03100000030310000001", "5.001,11,302.61", "EURUSD"],
        ["Allotment 2", "Kochi Spices", "Pepper", "–", "0", "–", "–", "01 Feb 2026", "–", "BE 0004711, BE 4712", SECOND,
         "1,000.00", "USD"],
        ["Allotment 1", "Surat Foods", "Cashew", "–", "0", "–", "–", "31 Jan 2026", "01 Sep 2026", "not yet",
         f"{FIRST} and 1 more", "300.30", "USD"],
    ]  # fmt: skip
    assert ask(viewer, BILLS).rows() == [
        ["4712", "05 Mar 2026", "–", "–", "Allotment 2", EURO, "20,000.00", "EUR"],
        ["0004711", "01 Feb 2026", "INNSA1", "Surat Foods", "Allotment 2, Allotment 3", f"{FIRST} and 1 more", "301.50",
         "USD"],
        ["4714", "31 Dec 2025", "–", "IEC 0000000003", "–", "–", "–", ""],
        ["4713", "–", "INNSA1", "Kochi Spices", "–", "–", "–", ""],  # its line counts nowhere
    ]  # fmt: skip


def test_what_is_shown_leads_there(viewer: Client) -> None:
    for page in (ALLOTMENTS, BILLS):
        links = ask(viewer, page).links("//tbody//a")
        assert {FIRST, EURO, "Allotment 2", "0004711" if page == BILLS else "BE 0004711"} <= set(links)
        for words, address in links.items():
            assert read(viewer.get(address)).text("//h1").split()[-1] == words.split()[-1], words


def test_finding_allotments(viewer: Client) -> None:
    for query, found in (
        ({"q": "kochi"}, ["4", "2"]),
        ({"q": "0000000001"}, ["1"]),
        ({"q": "PEPP"}, ["2"]),
        ({"q": "3"}, ["3"]),
        ({"q": " Allotment 3 "}, ["3"]),
        ({"q": "9" * 5000}, []),
        ({"q": "99999999999999999"}, []),
        ({"q": "%"}, []),
        ({"q": "'; --"}, []),
        ({"license": FIRST}, ["3", "1"]),
        ({"license": "310000002.0"}, ["2", "1"]),
        ({"license": "031000000"}, []),
        ({"state": "open"}, ["4", "1"]),
        ({"state": "released"}, ["3", "2"]),
        ({"type": "ARO"}, ["4"]),
        ({"state": "open", "license": SECOND, "q": "surat"}, ["1"]),
    ):
        assert first_cells(ask(viewer, ALLOTMENTS, **query)) == found, query


def test_how_far_allotments_are_allotted(viewer: Client) -> None:
    for pk, required, price in ((1, "50", "12.5"), (2, "50", None), (3, "0", None), (4, "1000", None)):
        Allotment.objects.filter(pk=pk).update(required_quantity=required, unit_price=price)
    ImportItem.objects.filter(license__license_number=FIRST).update(unit="KGS")
    ImportItem.objects.filter(license__license_number=SECOND).update(unit="NOS")

    def of(number: str, **query: str) -> list[str]:
        [row] = [row for row in ask(viewer, ALLOTMENTS, **query).rows() if row[0].endswith(f" {number}")]
        return row[3:7]

    def wanted() -> list[str]:
        return first_cells(ask(viewer, ALLOTMENTS, state="wanted"))

    assert [of(number) for number in "1234"] == [
        ["50", "0", "50", "12.5"], ["50 NOS", "0 NOS", "50 NOS", "–"], ["–", "0", "–", "–"],
        ["1,000", "0", "1,000", "–"],
    ]  # fmt: skip
    assert wanted() == ["4", "1"]  # 2 is released
    AllotmentLine.objects.filter(allotment=1, import_item=1).update(quantity="20.5")
    assert (of("1"), wanted()) == (["50", "20.5", "29.5", "12.5"], ["4", "1"])
    AllotmentLine.objects.filter(allotment=1, import_item=2).delete()
    assert of("1", state="wanted") == ["50 KGS", "20.5 KGS", "29.5 KGS", "12.5"]
    AllotmentLine.objects.filter(allotment=1).update(quantity="50")
    assert (of("1"), wanted()) == (["50 KGS", "50 KGS", "0 KGS", "12.5"], ["4"])
    AllotmentLine.objects.filter(allotment=1).update(quantity="51")
    assert (of("1"), wanted()) == (["50 KGS", "51 KGS", "-1 KGS", "12.5"], ["4"])


def test_finding_bills_of_entry(viewer: Client) -> None:
    for query, found in (
        ({"q": "4711"}, ["0004711"]),
        ({"q": "04711"}, ["0004711"]),
        ({"q": "004712"}, ["4712"]),
        ({"q": "471"}, ["4712", "0004711", "4714", "4713"]),
        ({"q": "innsa"}, ["0004711", "4713"]),
        ({"q": "Kochi"}, ["4713"]),
        ({"q": "0000000003"}, ["4714"]),
        ({"license": FIRST}, ["0004711", "4713"]),
        ({"license": "310000003"}, ["4712"]),
        ({"since": "2026-02-01"}, ["4712", "0004711"]),
        ({"until": "2026-02-01"}, ["0004711", "4714"]),
        ({"since": "2026-02-01", "until": "2026-02-01"}, ["0004711"]),
        ({"since": "2026-03-01", "until": "2026-02-01"}, []),
    ):
        assert first_cells(ask(viewer, BILLS, **query)) == found, query


def key(cell: str) -> object:
    """By which a person would sort a cell; None for a dash."""
    if re.fullmatch(r"[0-9]{2} [A-Z][a-z]{2} [0-9]{4}", cell):
        return datetime.strptime(cell, "%d %b %Y")  # noqa: DTZ007
    return None if cell == "–" else cell.lower()


def test_sort(viewer: Client) -> None:
    Company.objects.filter(name="").update(name="Agra Mills")
    Allotment.objects.filter(item_name="").update(item_name="Anise")
    columns = (
        (ALLOTMENTS, "company", 1), (ALLOTMENTS, "goods", 2), (ALLOTMENTS, "entered", 7), (ALLOTMENTS, "expected", 8),
        (BILLS, "number", 0), (BILLS, "date", 1), (BILLS, "port", 2), (BILLS, "company", 3),
    )  # fmt: skip
    for (page, sort, column), prefix in product(columns, ("", "-")):
        shown = ask(viewer, page, sort=prefix + sort)
        keys = [key(row[column]) for row in shown.rows()]
        known = [k for k in keys if k is not None]
        assert known == sorted(known, reverse=bool(prefix)), (page, sort)
        assert keys == known + [None] * (len(keys) - len(known))
        assert len(known) > 1
        assert shown.tree.xpath("//th[@aria-sort]/@aria-sort") == ["descending" if prefix else "ascending"]


def test_amounts_of_different_currencies_are_never_added(viewer: Client) -> None:
    assert ask(viewer, ALLOTMENTS).rows("//tfoot/tr") == [
        ["All 4", *[""] * 9, "1 license", "5.00", "EUR"],
        ["", *[""] * 9, "2 licenses", "1,12,602.91", "USD"],
    ]
    assert ask(viewer, BILLS, license=FIRST).rows("//tfoot/tr") == [
        ["All 2", "", "", "", "", "2 licenses", "301.50", "USD"]
    ]


def test_of_too_many_no_totals_are_shown_but_said_when_they_are(
    viewer: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(documents, "MOST_ADDED_UP", 3)
    shown = ask(viewer, ALLOTMENTS)
    assert shown.rows("//tfoot/tr") == []
    assert shown.text("//caption") == "4 allotments. Totals are shown when 3 or fewer are found."
    assert ask(viewer, ALLOTMENTS, state="open").rows("//tfoot/tr") == [
        ["All 2", *[""] * 9, "2 licenses", "300.30", "USD"]
    ]


@pytest.mark.parametrize(("page", "table"), [(ALLOTMENTS, "allotment"), (BILLS, "billofentry")])
def test_page_by_page(page: str, table: str, viewer: Client) -> None:
    rest = {"allotment": "(company_id) SELECT 1", "billofentry": "(number, date) SELECT g, date '2026-05-01'"}[table]
    sql(f"INSERT INTO ledger_{table} {rest} FROM generate_series(1, 66) AS g")
    first = ask(viewer, page, q="", sort="number")
    assert (len(first.rows()), first.text("//caption").split(". ")[0][-11:]) == (50, "page 1 of 2")
    following = first.links("//nav[@class='pages']//a")["Next"]
    assert following == "?q=&sort=number&page=2"
    second = read(viewer.get(page + following))
    assert len(set(first_cells(first) + first_cells(second))) == 70
    assert len(read(viewer.get(page, {"page": "x", "sort": "\0"})).rows()) == 50


def test_what_cannot_be_asked_is_said(viewer: Client) -> None:
    for page, query in (
        (ALLOTMENTS, {"state": "everything"}), (ALLOTMENTS, {"q": "\0"}), (ALLOTMENTS, {"type": "XX"}),
        (BILLS, {"since": "yesterday"}), (BILLS, {"license": "\0"}), (BILLS, {"until": "2026-02-30"}),
    ):  # fmt: skip
        shown = ask(viewer, page, **query)
        assert len(shown.rows()) == 4
        assert shown.text("//p[@role='alert']"), query


@pytest.mark.parametrize("page", [ALLOTMENTS, BILLS])
def test_nothing_found_and_nothing_there(page: str, viewer: Client) -> None:
    shown = ask(viewer, page, q="nothing like that")
    assert shown.links("//p[@class='empty']/a") == {"Show all": page}
    sql("TRUNCATE ledger_allotment, ledger_billofentry CASCADE")
    assert "has been entered yet" in ask(viewer, page).text("//p[@class='empty']")


def test_a_search_for_documents_is_none_for_licenses(viewer: Client) -> None:
    assert ask(viewer, ALLOTMENTS, q="kochi").tree.xpath("//header//input[@name='q']/@value") == [""]


def test_what_people_typed_is_text(viewer: Client) -> None:
    hostile = "<script>alert('1')</script>&amp;\"><img src=x>"
    Company.objects.update(name=hostile)
    Allotment.objects.update(item_name=hostile)
    for page in (ALLOTMENTS, BILLS):
        response = viewer.get(page, {"q": hostile, "license": hostile})
        assert b"<img" not in response.content
        assert b"<img" not in viewer.get(page).content
    assert ask(viewer, ALLOTMENTS).rows()[0][1] == hostile


@pytest.mark.parametrize("page", [ALLOTMENTS, BILLS])
def test_a_list_asks_as_many_queries_for_few_as_for_many(page: str, viewer: Client) -> None:
    def asked(**query: str) -> int:
        with CaptureQueriesContext(connection) as queries:
            viewer.get(page, query)
        return len(queries)

    asked()
    few = asked(license=EURO)
    assert asked() == few == (10 if page == ALLOTMENTS else 9)


def test_the_lists_are_in_the_navigation_of_those_who_may(viewer: Client) -> None:
    there = ask(viewer, ALLOTMENTS).texts("//header//nav/a")
    assert there == ["Home", "Licenses", "Find", "Items", "Forecast", "Allotments", "Bills of entry"]
    assert ask(viewer, BILLS).texts("//header//*[@aria-current]") == ["Bills of entry"]
