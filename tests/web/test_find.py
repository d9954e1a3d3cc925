"""Find: who has so much of an input, until when; and what was found as a file."""

from contextlib import closing
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from desk import find
from ledger.engine import drain
from license.clock import business_date
from license.formats import day
from license.models import Company, ExportItem, HSCode, ImportItem, ItemName, License, SionNorm
from tests.conftest import sql
from tests.web.conftest import LogIn, Shown, read
from tests.web.test_files import as_decimal, csv_rows, workbook

pytestmark = pytest.mark.usefixtures("database")


def expires(days: int) -> str:
    return day(business_date() + timedelta(days))


@pytest.fixture(autouse=True)
def desk(database: None) -> None:
    """Cashew on four licenses of 10,000.00: 1 (E5, 30 days), 2 (10 days; KGS and NOS), 3 (EUR, never expires, no unit),
    4 (expired). License 2 has palm oil besides."""
    e5 = SionNorm.objects.create(code="E5")
    nuts = ItemName.objects.create(name="Nuts (E5)")
    code = HSCode.objects.create(code="08013220")
    surat = Company.objects.create(iec="0000000001", name="Surat Foods")
    kochi = Company.objects.create(iec="0000000002")
    for number, days, exporter, norm, currency, items in (
        ("0310000001", 30, surat, e5, "USD", [("Cashew kernels, whole", "300", "KGS")]),
        ("0310000002", 10, kochi, None, "USD",
         [("Cashew nuts", "1000.5", "KGS"), ("Cashew shells", "50", "NOS"), ("RBD palmolein", "7", "KGS")]),
        ("0310000003", None, None, None, "EUR", [("Cashew", "20", "")]),
        ("0310000004", -1, None, None, "USD", [("Old cashew", "500", "KGS")]),
    ):  # fmt: skip
        license = License.objects.create(
            license_number=number,
            license_date="2026-01-01",
            license_expiry_date=None if days is None else business_date() + timedelta(days),
            exporter=exporter,
            currency=currency,
        )
        ExportItem.objects.create(license=license, cif_fc=10_000, norm=norm)
        for serial, (description, quantity, unit) in enumerate(items, 1):
            item = ImportItem.objects.create(
                license=license, serial_number=serial, description=description, quantity=quantity, unit=unit
            )
            if exporter == surat:
                item.item_names.add(nuts)
                ImportItem.objects.filter(pk=item.pk).update(hs_code=code)
    drain()


def ask(client: Client, **query: Any) -> Shown:
    return read(client.get("/find/", query))


def found(shown: Shown) -> list[str]:
    """License and item of each row."""
    return [f"{row[0].split()[0][-1]}/{row[2]}" for row in shown.rows("(//main//table)[1]/tbody/tr")]


def tiles(shown: Shown) -> list[str]:
    return shown.texts("//ul[contains(@class, 'found')]/li")


# ── The list ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_row_says_whose_it_is_what_and_how_much(viewer: Client) -> None:
    shown = ask(viewer, item="cashew")
    rows = shown.rows("(//main//table)[1]/tbody/tr")
    assert rows == [
        ["0310000002 0000000002", expires(10), "1", "Cashew nuts", "1,000.5 KGS", "10,000.00 USD"],
        ["0310000002 0000000002", expires(10), "2", "Cashew shells", "50 NOS", "10,000.00 USD"],
        ["0310000001 Surat Foods", expires(30), "1", "Cashew kernels, whole HS 08013220 · Nuts (E5) · E5", "300 KGS",
         "10,000.00 USD"],
        ["0310000003 –", "–", "1", "Cashew", "20", "10,000.00 EUR"],
    ]  # fmt: skip
    assert shown.text("(//caption)[1]") == "4 items of 3 licenses, earliest expiry first"
    assert read(viewer.get(shown.links()["0310000001"])).text("//h1") == "License 0310000001"


@pytest.mark.parametrize(
    ("query", "rows"),
    [
        ({"item": "nuts"}, ["2/1", "1/1"]),  # by a name too
        ({"item": "0801"}, ["1/1"]),
        ({"item": "KERNELS cash"}, ["1/1"]),
        ({"norm": "E5"}, ["1/1"]),
        ({"item": "palm", "norm": "E5"}, []),
        ({"item": "cashew", "unit": "KGS"}, ["2/1", "1/1"]),
        ({"item": "cashew", "unit": "–"}, ["3/1"]),
        ({"item": "cashew", "currency": "USD", "unit": "NOS"}, ["2/2"]),
        ({"item": "cashew", "expired": "on"}, ["4/1", "2/1", "2/2", "1/1", "3/1"]),
    ],
)
def test_what_is_found(query: dict[str, str], rows: list[str], viewer: Client) -> None:
    shown = ask(viewer, **query)
    assert (found(shown) if rows else []) == rows
    if not rows:
        assert "Nothing fits" in shown.text("//p[@class='empty']")


def test_what_is_valid_long_enough_is_found(viewer: Client) -> None:
    valid = business_date() + timedelta(11)
    assert found(ask(viewer, item="cashew", valid=f"{valid:%d/%m/%Y}")) == ["1/1", "3/1"]


def test_how_much_of_what_is_wanted_each_can_take(viewer: Client) -> None:
    for query, can in (
        ({"quantity": "1,500"}, ["1,000.5", "50", "300", "20"]),
        ({"quantity": "100", "price": "0.5"}, ["100", "50", "100", "20"]),
        ({"quantity": "2,000", "price": "3,333.4"}, ["2.999", "2", "2.999", "2.999"]),  # pieces are whole
        ({"quantity": "2", "price": "20,000"}, ["0.5", "0", "0.5", "0.5"]),
    ):
        shown = ask(viewer, item="cashew", **query)
        assert [row[-1] for row in shown.rows("(//main//table)[1]/tbody/tr")] == can, query
    assert "Can take" not in ask(viewer, item="cashew", price="5").texts("//thead//th")


def test_totals_lead_to_what_they_are_of(viewer: Client) -> None:
    shown = ask(viewer, item="cashew", quantity="7", page="1")
    assert tiles(shown) == ["20 no unit: only these", "1,300.5 KGS: only these", "50 NOS: only these",
                            "10,000.00 EUR, at most: only these", "20,000.00 USD, at most: only these"]  # fmt: skip
    links = list(shown.links("//ul[contains(@class, 'found')]//a").values())
    assert links[1] == "?item=cashew&quantity=7&unit=KGS"
    only = read(viewer.get("/find/" + links[1]))
    assert (found(only), tiles(only)) == (["2/1", "1/1"], ["1,300.5 KGS", "20,000.00 USD, at most"])
    assert only.tree.xpath("//select[@name='unit']/option/@value") == ["", "KGS"]
    assert only.tree.xpath("//select[@name='unit']/option[@selected]/@value") == ["KGS"]
    assert found(read(viewer.get("/find/" + links[0]))) == ["3/1"]


def test_totals_by_norm_and_name(viewer: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def by_name() -> list[list[str]]:
        return ask(viewer, item="cashew").rows("(//main//table)[2]/tbody/tr")

    assert by_name() == [
        ["–", "no item name", "1", "20", "10,000.00 EUR"],
        ["–", "no item name", "1", "1,000.5 KGS", "10,000.00 USD"],
        ["–", "no item name", "1", "50 NOS", "10,000.00 USD"],
        ["E5", "Nuts (E5)", "1", "300 KGS", "10,000.00 USD"],
    ]
    monkeypatch.setattr(find, "MOST_NAMES", 3)
    assert len(by_name()) == 3
    assert "1 more rows are in the XLSX file" in ask(viewer, item="cashew").texts("//p[@class='asof']")[-1]


def many() -> None:
    sql("""INSERT INTO license_importitem (license_id, serial_number, description, quantity, unit)
        SELECT 1, n, 'cashew ' || n, n, 'KGS' FROM generate_series(2, 70) AS n""")
    drain()


def test_page_by_page(viewer: Client) -> None:
    many()
    first = ask(viewer, item="cashew", unit="KGS")
    assert first.text("(//caption)[1]") == "71 items of 2 licenses, earliest expiry first; page 1 of 2"
    second = read(viewer.get("/find/" + first.links("//nav[@class='pages']//a")["Next"]))
    assert len(set(found(first) + found(second))) == 71
    assert found(second)[-1] == "1/70"
    assert found(ask(viewer, item="cashew", unit="KGS", page="99")) == found(second)
    assert tiles(first) == tiles(second)


def test_marks_tell_what_is_not_in_step(viewer: Client) -> None:
    ExportItem.objects.filter(license_id=1).update(cif_fc=20_000)
    assert found(ask(viewer, norm="E5")) == ["1/1"]
    assert ask(viewer, norm="E5").texts("//span[contains(@class, 'mark')]") == ["change pending"]
    assert csv_rows(viewer.get("/find.csv?norm=E5"))[1][-1] == "change pending"
    assert ask(viewer, item="old", expired="on").texts("//span[contains(@class, 'mark')]") == ["expired"]


def test_before_anything_is_asked(viewer: Client) -> None:
    shown = ask(viewer)
    assert "Who has so much of an input" in shown.text("//p[@class='empty']")
    assert shown.tree.xpath("//select/@name") == ["norm"]  # units and currencies: of what was found
    assert shown.texts("//select[@name='norm']/option") == ["Any", "E5"]


NONSENSE = [
    ({"item": "%"}, "Say which item"),
    ({"quantity": "5"}, "Say which item"),
    ({"norm": "E9"}, "Norm: What was chosen is not there"),
    ({"item": "\0"}, "Item has a character that cannot be kept"),
    ({"item": "x" * 256}, "Item has 256 characters; at most 255 are kept."),
    ({"item": "cashew", "quantity": "many"}, "Quantity wanted: “many” is not a number; write it as 1234.56."),
    ({"item": "cashew", "quantity": "1,11,30"}, "thousands separators in the wrong places"),
    ({"item": "cashew", "quantity": "-1"}, "Quantity wanted cannot be negative."),
    ({"item": "cashew", "price": "0.0001"}, "Unit price has more than 3 decimals; round it."),
    ({"item": "cashew", "valid": "02/30/2026"}, "Valid until at least: This is not a date; write it as DD/MM/YYYY"),
    ({"item": "cashew", "valid": "01/01/3026"}, "The year is 3026"),
]


@pytest.mark.parametrize(("query", "words"), NONSENSE)
def test_what_cannot_be_asked_is_said(query: dict[str, str], words: str, viewer: Client) -> None:
    shown = ask(viewer, **query)
    assert words in shown.text("//p[@role='alert']")
    assert not shown.tree.xpath("//table")
    for name in ("find.csv", "find.xlsx"):
        response = viewer.get(f"/{name}", query)
        assert response.status_code == 400
        assert words in response.content.decode()
        assert '<a href="/find/?' in response.content.decode()


@pytest.mark.parametrize("typed", ["sugar | milk & ! :* 'x", "(((", "मैदा", "'; --", "\\", "a&b", "08 . 01"])
def test_any_words_may_be_typed(typed: str, viewer: Client) -> None:
    assert viewer.get("/find/", {"item": typed}).status_code == 200


def test_what_people_typed_is_text(viewer: Client) -> None:
    hostile = "<script>alert('cashew')</script>"
    ImportItem.objects.filter(license_id=1).update(description=hostile, unit="<b>")
    Company.objects.update(name=hostile)
    drain()
    response = viewer.get("/find/", {"item": "cashew", "unit": '<i>"'})
    assert b"<i>" not in response.content
    response = viewer.get("/find/", {"item": "cashew"})
    assert b"<script>alert" not in response.content
    assert b"<b>alert" not in response.content
    assert hostile in read(response).rows("(//main//table)[1]/tbody/tr")[2][3]


def test_it_asks_as_little_for_many_as_for_few(viewer: Client) -> None:
    def asked(address: str) -> list[str]:
        with CaptureQueriesContext(connection) as queries, closing(viewer.get(address)) as response:
            assert response.status_code == 200
            b"".join(response)  # a stream is read to its end
        return [each["sql"][:90] for each in queries if not each["sql"].startswith(("DECLARE", "FETCH", "CLOSE"))]

    addresses = ("/find/?item=cashew&quantity=5", "/find.xlsx?item=cashew", "/find.csv?item=cashew")
    few = [asked(address) for address in addresses]
    many()
    for address, before, most in zip(addresses, few, (13, 11, 7), strict=True):
        now = asked(address)
        assert len(now) == len(before) == most, now


def test_who_may_allot_is_offered_a_proposal(log_in: LogIn) -> None:
    for role, is_offered in (("viewer", False), ("auditor", False), ("operator", True), ("administrator", True)):
        shown = ask(log_in(role), item="cashew")
        assert shown.tree.xpath("//button[@formaction='/allot/']") != [] if is_offered else True
        assert bool(shown.tree.xpath("//button[@formaction]")) is is_offered
    assert ask(log_in("viewer")).texts("//header//*[@aria-current]") == ["Find"]


# ── Files ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_files_have_all_that_was_found(viewer: Client) -> None:
    many()
    query = "?item=cashew&unit=KGS&quantity=250&price=50&page=2"
    shown = ask(viewer, item="cashew", unit="KGS", quantity="250", price="50")
    assert list(shown.links("//p[@class='download']/a").values()) == [
        f"/find.{kind}?item=cashew&unit=KGS&quantity=250&price=50" for kind in ("xlsx", "csv")
    ]
    in_csv = csv_rows(viewer.get(f"/find.csv{query}"))
    book = workbook(viewer.get(f"/find.xlsx{query}"))
    assert len(in_csv) == len(book["Items"]) == 1 + 71
    row = dict(zip(book["Items"][0], book["Items"][2], strict=True))
    assert in_csv[2] == [
        "0310000001", "Surat Foods", f"{business_date() + timedelta(30)}", "E5", "1", "Cashew kernels, whole",
        "08013220", "Nuts (E5)", "300.000", "KGS", "10000.00", "USD", "200.000", "",
    ]  # fmt: skip
    assert (row["License"], row["HS code"], row["Unit"]) == ("0310000001", "08013220", "KGS")
    assert [as_decimal(row[name]) for name in ("Available quantity", "Available value", "Can take")] == [
        300, 10_000, 200,
    ]  # fmt: skip
    [whole, money] = book["Totals"][1:]
    assert (whole[0], as_decimal(whole[1]), whole[2]) == ("All items", Decimal("1300.5") + sum(range(2, 71)), "KGS")
    assert money == ["All licenses", None, None, 20_000, "USD"]
    assert ["E5", "Nuts (E5)", 1, 300, "KGS", 10_000, "USD"] in book["By item name"]
    about = dict(book["About"][1:])
    assert {name: about[name] for name in ("Item", "Norm", "Unit", "Currency", "Quantity wanted", "Unit price")} == {
        "Item": "cashew", "Norm": "Any", "Unit": "KGS", "Currency": "Any", "Quantity wanted": "250",
        "Unit price": "50",
    }  # fmt: skip
    assert about["Valid until at least"] == day(business_date())


def test_too_many_for_a_sheet_is_said(viewer: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(find, "MAX_ROWS", 3)
    response = viewer.get("/find.xlsx?item=cashew")
    assert response.status_code == 400
    assert b"One XLSX file holds 3 items at most, and this would have more. Ask for less, or" in response.content
    assert len(csv_rows(viewer.get("/find.csv?item=cashew"))) == 5
