"""Files to take away: what they hold is what the pages show, in cells of the right kind."""

import csv
import io
from collections.abc import Iterator
from contextlib import closing
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import openpyxl
import pypdf
import pytest
from django.db import connection
from django.db.models import QuerySet
from django.http import HttpResponse
from django.test import Client
from django.test.utils import CaptureQueriesContext
from lxml import html

from desk import files
from desk.licenses import Totals, totals
from desk.statement import statement
from desk.workbook import MAX_COLUMNS, MAX_ROWS
from ledger.engine import drain
from ledger.explain import explain
from ledger.models import Allotment, AllotmentLine, BillOfEntry, BillOfEntryLine
from license.clock import business_date
from license.formats import day, indian
from license.models import Company, ExportItem, HSCode, ImportItem, ItemName, License, Port, SionNorm
from tests.web.conftest import KINDS, Kind, Shown, make, read

pytestmark = pytest.mark.usefixtures("desk")

FORMULAS = ["=1+1", "+1+1", "-1+1", "@SUM(A1)", '=HYPERLINK("https://evil.example","x")']
Rows = list[list[Any]]


def content(response: HttpResponse) -> bytes:
    assert response.status_code == 200, response.content
    with closing(response):
        return response.getvalue()


def workbook(response: HttpResponse) -> dict[str, Rows]:
    """Its sheets: name to rows, the heading among them."""
    book = openpyxl.load_workbook(io.BytesIO(content(response)))
    return {sheet.title: [[cell.value for cell in row] for row in sheet.iter_rows()] for sheet in book}


def csv_rows(response: HttpResponse) -> Rows:
    text = content(response).decode("utf-8")
    assert text.startswith("\ufeff")
    return list(csv.reader(io.StringIO(text[1:])))


def pages(response: HttpResponse) -> list[str]:
    """The text of each page of a PDF, in one line."""
    reader = pypdf.PdfReader(io.BytesIO(content(response)))
    return [" ".join(page.extract_text().split()) for page in reader.pages]


def as_decimal(cell: float) -> Decimal:
    """A number as Excel shows it."""
    return Decimal(f"{cell:.15g}")


def find(rows: Rows, number: str) -> dict[str, Any]:
    [row] = [row for row in rows[1:] if row[0] == number]
    return dict(zip(rows[0], row, strict=True))


# ── The list ──────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "query",
    ["", "?state=active", "?state=pending", "?q=kochi", "?q=310000004", "?sort=-balance", "?q=0310&sort=exporter"],
)
def test_a_file_has_what_the_list_shows_in_its_order(query: str, viewer: Client) -> None:
    shown = [row[0] for row in read(viewer.get(f"/licenses/{query}")).rows()]
    assert shown
    assert [row[0] for row in csv_rows(viewer.get(f"/licenses.csv{query}"))[1:]] == shown
    assert [row[0] for row in workbook(viewer.get(f"/licenses.xlsx{query}"))["Licenses"][1:]] == shown


def test_a_file_has_all_pages_of_the_list(viewer: Client) -> None:
    for n in range(100, 160):
        make(f"0310000{n}", Kind("active"), Port.objects.get())
    drain()
    assert len(read(viewer.get("/licenses/?page=2")).rows()) == 22
    assert len(csv_rows(viewer.get("/licenses.csv?page=2"))) == 1 + 72
    assert len(workbook(viewer.get("/licenses.xlsx?page=2"))["Licenses"]) == 1 + 72


def test_cells_are_text_numbers_and_dates(viewer: Client) -> None:
    License.objects.filter(license_number="0310000010").update(port=Port.objects.get())
    row = find(workbook(viewer.get("/licenses.xlsx"))["Licenses"], "0310000010")
    assert isinstance(row["Balance"], float)
    assert {name: as_decimal(row[name]) for name in ("Credit", "Debited", "Allotted", "Balance", "Overdrawn")} == {
        "Credit": Decimal("111302.61"), "Debited": 0, "Allotted": 0, "Balance": Decimal("111302.61"), "Overdrawn": 0,
    }  # fmt: skip
    assert (row["License"], row["IEC"], row["Currency"], row["Port"]) == ("0310000010", "S000000001", "EUR", "INNSA1")
    assert row["Dated"] == datetime(2026, 1, 1)  # noqa: DTZ001  a cell has none
    in_csv = find(csv_rows(viewer.get("/licenses.csv")), "0310000010")
    assert (in_csv["License"], in_csv["Dated"], in_csv["Balance"]) == ("0310000010", "2026-01-01", "111302.61")


def test_no_number_is_rounded(viewer: Client) -> None:
    License.objects.create(license_number="0310000077", license_date="2026-01-01")
    ExportItem.objects.create(license=License.objects.get(license_number="0310000077"), cif_fc="9999999999999.99")
    drain()
    row = find(workbook(viewer.get("/licenses.xlsx"))["Licenses"], "0310000077")
    assert as_decimal(row["Balance"]) == Decimal("9999999999999.99")


def test_totals_by_currency_are_those_of_the_list(viewer: Client) -> None:
    for query in ("", "?state=overdrawn"):
        shown = read(viewer.get(f"/licenses/{query}")).rows("//tfoot/tr")
        sheet = workbook(viewer.get(f"/licenses.xlsx{query}"))["Totals"]
        assert sheet[0] == ["Currency", "Licenses", "Credit", "Debited", "Allotted", "Balance"]
        assert [
            [f"All {licenses}", "", "", currency, *(indian(as_decimal(amount)) for amount in amounts), ""]
            for currency, licenses, *amounts in sheet[1:]
        ] == shown


def test_a_workbook_is_of_one_moment(viewer: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def totals_after_a_write(licenses: QuerySet[License]) -> list[Totals]:
        with closing(connection.copy()) as other, other.cursor() as cursor:
            cursor.execute("INSERT INTO license_license (license_number, license_date) VALUES ('1', '2026-01-01')")
        return totals(licenses)

    monkeypatch.setattr(files, "totals", totals_after_a_write)
    book = workbook(viewer.get("/licenses.xlsx"))
    assert License.objects.count() == len(KINDS) + 1
    assert sum(row[1] for row in book["Totals"][1:]) == len(book["Licenses"][1:]) == len(KINDS)


def test_a_workbook_says_what_it_was_asked_for(viewer: Client) -> None:
    about = dict(workbook(viewer.get("/licenses.xlsx?q=surat&state=expired"))["About"][1:])
    assert (about["Search"], about["State"]) == ("surat", "Expired")
    assert about["As of"].startswith(day(business_date()))
    assert about["As of"].endswith(" IST")


@pytest.mark.parametrize("hostile", FORMULAS)
def test_no_text_is_a_formula(hostile: str, viewer: Client) -> None:
    Company.objects.filter(name="Kochi Spices").update(name=hostile)
    License.objects.filter(license_number="0310000002").update(license_number=hostile[:20], file_number=hostile)
    book = openpyxl.load_workbook(io.BytesIO(content(viewer.get("/licenses.xlsx", {"q": hostile}))))
    cells = [
        cell for sheet in book for row in sheet.iter_rows() for cell in row if cell.value in (hostile, hostile[:20])
    ]
    assert len(cells) == 4  # number, exporter, file number; what was searched for
    assert {(cell.data_type, cell.number_format) for cell in cells} == {("s", "@")}
    row = csv_rows(viewer.get("/licenses.csv", {"q": hostile}))[1]
    assert [cell for cell in row if cell.startswith(("=", "+", "-", "@"))] == []
    assert f"'{hostile}" in row


def test_any_text_can_be_written(viewer: Client) -> None:
    odd = "a\x01\x08\x1f\ufffe\uffff\U0001f600 सूरत\r\nb\t_x0041_"
    Company.objects.filter(name="Kochi Spices").update(name=odd)
    License.objects.filter(license_number="0310000002").update(
        license_date="0001-01-01", license_expiry_date="9999-12-31"
    )
    ExportItem.objects.filter(license__license_number="0310000002").update(description="x" * 40_000)
    ImportItem.objects.filter(license__license_number="0310000002").update(description="मैदा " * 8_000)
    assert "\U0001f600 सूरत" in find(workbook(viewer.get("/licenses.xlsx"))["Licenses"], "0310000002")["Exporter"]
    assert find(csv_rows(viewer.get("/licenses.csv")), "0310000002")["Exporter"] == odd
    book = workbook(viewer.get("/licenses/0310000002/balance-sheet.xlsx"))
    assert book["Licenses"][1][3] == "01 Jan 1"  # as the page says it
    assert len(book["Items"][1][2]) == 32_767
    assert book["Items"][1][2].endswith("…")
    text = " ".join(pages(viewer.get("/licenses/0310000002/balance-sheet.pdf")))
    assert "[U+1F600]" in text
    assert 4_000 <= text.count("x") < 4_100
    assert "… and 36014 characters more" in text  # with ", norm unknown"


def test_a_file_asks_as_little_for_many_as_for_few(viewer: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def asked(address: str) -> int:
        with CaptureQueriesContext(connection) as queries:
            content(viewer.get(address))
        return len([query for query in queries if not query["sql"].startswith(("DECLARE", "FETCH", "CLOSE"))])

    addresses = ("/licenses.csv", "/licenses.xlsx")
    few = [asked(address) for address in addresses]
    for n in range(100, 130):
        make(f"0310000{n}", Kind("active"), Port.objects.get())
    drain()
    monkeypatch.setattr(files, "ROWS_AT_ONCE", 5)
    assert [asked(address) for address in addresses] == few
    assert max(few) <= 12


def test_csv_is_sent_while_it_is_written(viewer: Client) -> None:
    response = viewer.get("/licenses.csv")
    lines: Iterator[bytes] = iter(response)
    assert next(lines).startswith("\ufeffLicense,Exporter".encode())
    assert next(lines).startswith(b"0310000005,")
    response.close()


@pytest.mark.parametrize("file", ["licenses.csv", "licenses.xlsx", "balance-sheets.pdf", "balance-sheets.xlsx"])
@pytest.mark.parametrize("query", [{"state": "everything"}, {"q": "\0"}])
def test_what_makes_no_sense_makes_no_file(query: dict[str, str], file: str, viewer: Client) -> None:
    response = viewer.get(f"/{file}", query)
    assert (response.status_code, response.headers["Content-Type"]) == (400, "text/html; charset=utf-8")
    assert "No file" in response.content.decode()


def test_files_are_saved_under_a_name_with_the_day(viewer: Client) -> None:
    License.objects.filter(license_number="0310000001").update(license_number='a/b "; x=é')
    for address, name in (
        ("/licenses.csv", "licenses"), ("/licenses.xlsx", "licenses"), ("/balance-sheets.pdf", "balances"),
        ("/licenses/a/b%20%22;%20x=%C3%A9/balance-sheet.pdf", "balance-a-b-x"),
    ):  # fmt: skip
        response = viewer.get(address)
        content(response)
        kind = address.rpartition(".")[2]
        assert response.headers["Content-Disposition"] == f'attachment; filename="{name}-{business_date()}.{kind}"'


def test_the_list_leads_to_its_files(viewer: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    address = "/licenses/?q=0310&state=active&sort=-balance"
    links = [a.get("href") for a in read(viewer.get(address)).tree.xpath("//p[@class='download']/a")]
    assert [link.partition("?")[0] for link in links] == [
        "/licenses.xlsx", "/licenses.csv", "/balance-sheets.pdf", "/balance-sheets.xlsx",
    ]  # fmt: skip
    assert {link.partition("?")[2] for link in links} == {"q=0310&state=active&sort=-balance"}
    assert all(content(viewer.get(link)) for link in links)
    monkeypatch.setattr("desk.views.MAX_SHEETS", 3)
    assert "of 3 licenses at most" in read(viewer.get(address)).text("//p[@class='download']")


# ── Balance sheets ────────────────────────────────────────────────────────────────────────────────────────────────────

NUMBER = "DFIA/26/0017"


@pytest.fixture
def license(desk: None) -> License:
    """Three items of which one has no movement; sixty debits of one, an allotment of another, an overdraw."""
    company = Company.objects.create(iec="ZZ00000001", name="École & Söhne <b> सूरत")
    license = License.objects.create(
        license_number=NUMBER, license_date="2026-01-05", exporter=company, notification_number="025/2023"
    )
    ExportItem.objects.create(license=license, cif_fc="1111302.61", description="Biscuits", net_quantity="1500")
    code = HSCode.objects.create(code="11010000")
    flour, oil, _ = (
        ImportItem.objects.create(
            license=license,
            serial_number=n,
            description=name,
            quantity="100000.5",
            unit="KGS",
            cif_fc=own,
            hs_code=code,
        )
        for n, name, own in ((1, "Wheat flour", 0), (2, "RBD palmolein", "500.00"), (3, "Sugar", 0))
    )
    for n in range(60):
        bill = BillOfEntry.objects.create(number=f"90{n:02}", date=date(2026, 2, 1 + n % 28), port=Port.objects.get())
        BillOfEntryLine.objects.create(bill_of_entry=bill, import_item=flour, quantity="12.345", cif_fc="10.01")
    BillOfEntryLine.objects.update_or_create(
        bill_of_entry=bill, import_item=flour, defaults={"disputed_since": "2026-03-31"}
    )
    allotment = Allotment.objects.create(company=company)
    AllotmentLine.objects.create(allotment=allotment, import_item=oil, quantity="7.5", cif_fc="733.33")
    drain()
    return license


def test_a_balance_sheet_says_what_explain_says(license: License, viewer: Client) -> None:
    shown = pages(viewer.get(f"/licenses/{NUMBER}/balance-sheet.pdf"))
    text, explained = " ".join(shown), explain(NUMBER)
    for amount in (explained.balance_cif, explained.credit_cif, explained.debited_cif, explained.allotted_cif):
        assert indian(amount) in shown[0]
    assert "11,09,968.68 Balance, USD" in shown[0]
    for item in explained.items:
        assert item.description in shown[0]
        for quantity in (item.quantity, item.available_quantity, item.debited_quantity):
            assert indian(quantity, 3) in shown[0] or not quantity
        assert f"{indian(item.available_quantity, 3)} {indian(item.available_value)}" in shown[0]
        assert item.rule[1:] in shown[0]
    assert "overdrawn 233.33" in shown[0]
    assert "HS 11010000, KGS" in shown[0]
    assert "École & Söhne <b> सूरत ZZ00000001" in shown[0]
    assert "Norm unknown" in shown[0]
    for line in explained.debits + explained.allotments + explained.credits:
        assert text.count(line.name) >= 1
    assert text.count("12.345 10.01") == 60
    assert text.count("not in customs' ledger of 31 Mar 2026") == 1
    # by item, with what it comes to; nothing for an item without movements
    assert "Item 1: Wheat flour 600.60" in text
    assert "Item 2: RBD palmolein 733.33" in text
    assert "Item 3" not in text


def test_pages_are_numbered_by_license_and_repeat_their_headings(license: License, viewer: Client) -> None:
    alone = pages(viewer.get(f"/licenses/{NUMBER}/balance-sheet.pdf"))
    assert len(alone) == 3
    assert [f"Page {n} of 3" in text for n, text in enumerate(alone, 1)] == [True] * 3
    assert all(f"License {NUMBER}" in text and " IST" in text for text in alone)
    assert all("Date Document Quantity Debited USD Allotted Item 1: Wheat flour" in text for text in alone)
    response = viewer.get("/balance-sheets.pdf", {"sort": "-number"})
    reader = pypdf.PdfReader(io.BytesIO(content(response)))
    assert [entry.title for entry in reader.outline] == sorted([*KINDS, NUMBER], reverse=True)
    ends = [" ".join(page.extract_text().split()) for page in reader.pages]
    assert [text for text in ends if "Page 1 of 1" in text and "License 0310000008" in text]
    assert [n for n, text in enumerate(ends) if f"License {NUMBER}" in text] == [0, 1, 2]
    assert "Page 3 of 3" in ends[2]


def test_a_balance_sheet_as_a_workbook(license: License, viewer: Client) -> None:
    book, explained = workbook(viewer.get(f"/licenses/{NUMBER}/balance-sheet.xlsx")), explain(NUMBER)
    assert list(book) == ["Licenses", "Items", "Statement"]
    row = find(book["Licenses"], NUMBER)
    assert [as_decimal(row[name]) for name in ("Credit", "Debited", "Allotted", "Balance", "Overdrawn")] == [
        explained.credit_cif, explained.debited_cif, explained.allotted_cif, explained.balance_cif, 0,
    ]  # fmt: skip
    assert row["Remarks"] == "Norm unknown: restrictions by name cannot be applied."
    heads = book["Items"][0]
    for shown, item in zip(book["Items"][1:], explained.items, strict=True):
        named = dict(zip(heads, shown, strict=True))
        assert (named["License"], named["Item"], named["Unit"]) == (NUMBER, item.serial_number, "KGS")
        assert [as_decimal(named[f"{what} {kind}"]) for kind in ("quantity", "value")
                for what in ("Debited", "Allotted", "Available", "Overdrawn")] == [
            item.debited_quantity, item.allotted_quantity, item.available_quantity, item.overdrawn_quantity,
            item.debited_value, item.allotted_value, item.available_value, item.overdrawn_value,
        ]  # fmt: skip
        assert named["By which rule"] == item.rule
    assert [(row[2], as_decimal(row[-2])) for row in book["Statement"][1:]] == [
        (line.name, after) for line, _, after in statement(explained)
    ]


def test_balance_sheets_of_all_that_a_filter_finds(viewer: Client) -> None:
    book = workbook(viewer.get("/balance-sheets.xlsx?state=expiring-30&sort=number"))
    assert [row[0] for row in book["Licenses"][1:]] == ["0310000002", "0310000005"]
    assert [row[:2] for row in book["Items"][1:]] == [[n, i] for n in ("0310000002", "0310000005") for i in (1, 2)]


def test_balance_sheets_have_the_facts_of_now(viewer: Client) -> None:
    [row] = workbook(viewer.get("/balance-sheets.xlsx?q=0310000011"))["Licenses"][1:]
    assert as_decimal(row[10]) == 20_000  # the list still shows 10,000: its change is pending
    assert "[In quarantine" not in pages(viewer.get("/licenses/0310000012/balance-sheet.pdf"))[0]


@pytest.mark.parametrize("kind", ["pdf", "xlsx"])
def test_too_many_or_none_is_said(kind: str, viewer: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "MAX_SHEETS", 11)
    for query, words in (("", "more than 11 licenses"), ("?q=nothing", "No license fits the filter")):
        response = viewer.get(f"/balance-sheets.{kind}{query}")
        assert response.status_code == 400
        assert words in response.content.decode()
    assert content(viewer.get(f"/balance-sheets.{kind}?state=active"))


def refusal(response: HttpResponse) -> tuple[str, str]:
    """Why there is no file, with what to do, and where the page leads back to."""
    assert response.status_code == 400
    shown = Shown(html.fromstring(response.content.decode()))
    return shown.text("//*[@role='alert']"), shown.links()["Back"]


def too_much(kind: str, limit: str, or_else: str) -> str:
    return f"One {kind} file holds {limit} at most, and this would have more. {or_else}"


def test_no_license_is_passed_over_in_silence(viewer: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("desk.files.MAX_ROWS", len(KINDS))
    assert content(viewer.get("/licenses.xlsx"))
    monkeypatch.setattr("desk.files.MAX_ROWS", len(KINDS) - 1)
    said = too_much("XLSX", "11 licenses", "Narrow the filter, or take the list as CSV.")
    assert refusal(viewer.get("/licenses.xlsx?sort=number")) == (said, "/licenses/?sort=number")
    assert content(viewer.get("/licenses.csv"))
    assert content(viewer.get("/licenses.xlsx?state=active"))


@pytest.mark.parametrize("limit", ["licenses", "columns"])
def test_no_cell_of_items_is_passed_over_in_silence(
    limit: str, viewer: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    norm = SionNorm.objects.create(code="E5")
    ExportItem.objects.update(norm=norm)
    ItemName.objects.create(name="Sugar", sion_norm=norm).import_items.set(ImportItem.objects.all())
    drain()
    shown = workbook(viewer.get("/items.xlsx?norm=E5"))["Items"]
    name, size = {"licenses": ("MAX_ROWS", len(shown) - 1), "columns": ("MAX_COLUMNS", len(shown[0]))}[limit]
    monkeypatch.setattr(f"desk.items.{name}", size)
    assert workbook(viewer.get("/items.xlsx?norm=E5"))["Items"] == shown
    monkeypatch.setattr(f"desk.items.{name}", size - 1)
    said = too_much("XLSX", f"{size - 1} {limit}", "Choose a notification, or ask for a higher balance.")
    assert refusal(viewer.get("/items.xlsx?norm=E5")) == (said, "/items/?norm=E5")


@pytest.mark.parametrize(
    ("kind", "or_else"),
    [("pdf", "Take it as XLSX, or fewer licenses at a time."), ("xlsx", "Take fewer licenses at a time.")],
)
def test_no_line_of_balance_sheets_is_passed_over_in_silence(
    kind: str, or_else: str, license: License, viewer: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The license has 65 lines: 3 items, a credit, 60 debits, an allotment. Others have 5."""
    for address, back, lines in (
        (f"/licenses/{NUMBER}/balance-sheet.{kind}", f"/licenses/{NUMBER}/?", 65),
        (f"/balance-sheets.{kind}?q=26%2F0017", "/licenses/?q=26%2F0017", 65),
        (f"/balance-sheets.{kind}?state=expired", "/licenses/?state=expired", 5),
        (f"/balance-sheets.{kind}?state=expiring-30", "/licenses/?state=expiring-30", 10),
    ):
        monkeypatch.setitem(files.MAX_LINES, kind, lines)
        assert content(viewer.get(address))
        monkeypatch.setitem(files.MAX_LINES, kind, lines - 1)
        said = too_much(kind.upper(), f"{lines - 1} lines", or_else)
        assert refusal(viewer.get(address)) == (said, back)


def test_no_limit_is_beyond_what_excel_holds() -> None:
    assert max(MAX_ROWS, files.MAX_LINES["xlsx"]) < 1_048_576
    assert MAX_COLUMNS <= 16_384


def test_the_page_of_a_license_leads_to_its_sheets(license: License, viewer: Client) -> None:
    links = read(viewer.get(f"/licenses/{NUMBER}/")).links("//p[@class='download']/a")
    assert links == {kind: f"/licenses/{NUMBER}/balance-sheet.{kind.lower()}" for kind in ("PDF", "XLSX")}


@pytest.mark.parametrize("number", ["0000000000", "%00", "a/b"])
def test_what_is_not_there_has_no_sheet(number: str, viewer: Client) -> None:
    for kind in ("pdf", "xlsx"):
        assert viewer.get(f"/licenses/{number}/balance-sheet.{kind}").status_code == 404


def test_a_license_without_anything(viewer: Client) -> None:
    License.objects.create(license_number="0310000088", license_date="2026-01-01")
    [text] = pages(viewer.get("/licenses/0310000088/balance-sheet.pdf"))
    for words in ("Nothing has been credited yet", "no import items", "Nothing has been debited or allotted yet"):
        assert words in text
    assert find(csv_rows(viewer.get("/licenses.csv")), "0310000088")["State"] == "no balance yet, change pending"
