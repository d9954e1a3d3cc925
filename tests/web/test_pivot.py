"""Items: licenses by item names, with what is left of each."""

from collections.abc import Callable
from contextlib import closing
from datetime import timedelta
from decimal import Decimal

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from ledger.engine import drain
from ledger.models import ImportItemBalance
from license.clock import business_date
from license.models import Company, ExportItem, ImportItem, ItemName, License, SionNorm
from tests.conftest import sql
from tests.web.conftest import Shown, read
from tests.web.test_files import as_decimal, workbook

pytestmark = pytest.mark.usefixtures("database")

Item = tuple[str, str, str, str]
"""Names with | between, quantity, unit, own value."""
Make = Callable[..., License]


@pytest.fixture
def make(database: None) -> Make:
    """Makes licenses of a norm with items of these names."""
    norms = {code: SionNorm.objects.create(code=code) for code in ("E132", "E5", "E1")}
    names = {
        name: ItemName.objects.create(name=name, sion_norm=norms.get(norm), restriction_percentage=percentage)
        for name, norm, percentage in (
            ("Milk Powder (E5)", "E5", 10), ("Food Flavour (E1)", "E1", 5), ("Food Flavour (E5)", "E5", 5),
            ("Vegetable Oil", "", 0), ("Acetic Acid", "", 0),
        )
    }  # fmt: skip
    exporter = Company.objects.create(iec="0000000001", name="Surat Foods")

    def one(
        number: str, *items: Item, norm: str = "E5", credit: str = "10000", days: int = 100, **facts: str
    ) -> License:
        expiry = business_date() + timedelta(days)
        license = License.objects.create(
            license_number=number,
            license_date="2026-01-05",
            license_expiry_date=expiry,
            exporter=exporter,
            **{"notification_number": "025/2023", **facts},
        )
        ExportItem.objects.create(license=license, cif_fc=credit, norm=norms.get(norm))
        for serial_number, (called, quantity, unit, own) in enumerate(items, 1):
            item = ImportItem.objects.create(
                license=license, serial_number=serial_number, quantity=quantity, unit=unit, cif_fc=own
            )
            item.item_names.add(*(names[name] for name in called.split("|") if name))
        return license

    return one


def table(client: Client, query: str = "?norm=E5") -> tuple[list[str], dict[str, list[str]], list[str]]:
    """Item names, cells by license number, and the foot."""
    drain()
    shown = read(client.get(f"/items/{query}"))
    rows = {row[0].split()[0]: row[1:] for row in shown.rows()}
    return shown.texts("//th[@scope='colgroup']"), rows, shown.rows("//tfoot/tr")[0] if rows else []


def found(client: Client, query: str) -> list[str]:
    return list(table(client, query)[1])


def test_a_row_has_what_the_engine_has_stored(make: Make, viewer: Client) -> None:
    license = make(
        "0310000001",
        ("Milk Powder (E5)", "300", "KGS", "0"),
        ("Vegetable Oil", "5000.5", "KGS", "2500"),
        ("", "7", "NOS", "0"),
    )
    columns, rows, foot = table(viewer)
    assert columns == ["Milk Powder (E5)", "Vegetable Oil"]
    day = f"{license.license_expiry_date:%d %b %Y}"
    assert rows["0310000001"] == [
        "05 Jan 2026", day, "Surat Foods", "10,000.00 USD", "300", "1,000.00", "5,000.5", "2,500.00", "1",
    ]  # fmt: skip
    assert [str(left.available_value) for left in ImportItemBalance.objects.order_by("import_item_id")] == [
        "1000.00", "2500.00", "10000.00",
    ]  # fmt: skip
    assert foot == ["All 1", "", "", "", "10,000.00 USD", "300 KGS", "1,000.00 USD", "5,000.5 KGS", "2,500.00 USD", ""]


def test_values_that_may_be_the_same_money_are_not_added(make: Make, viewer: Client) -> None:
    """Two items of a pool of 1,000; two without value of their own; two with it, of which more may be left."""
    make("0310000001", ("Milk Powder (E5)", "300", "KGS", "0"), ("Milk Powder (E5)", "200", "KGS", "0"),
         ("Vegetable Oil", "10", "KGS", "0"), ("Vegetable Oil", "5", "KGS", "0"),
         ("Acetic Acid", "1", "KGS", "4000"), ("Acetic Acid", "2", "KGS", "3000"))  # fmt: skip
    make("0310000002", ("Milk Powder (E5)", "100", "KGS", "0"), credit="5000", days=200)
    columns, rows, foot = table(viewer)
    assert columns == ["Acetic Acid", "Milk Powder (E5)", "Vegetable Oil"]
    assert rows["0310000001"][4:] == ["3", "≥ 4,000.00", "500", "≥ 1,000.00", "15", "10,000.00", ""]
    assert rows["0310000002"][4:] == ["", "", "100", "500.00", "", "", ""]
    # over licenses, of which each has money of its own, the cells add up
    assert foot[5:] == ["3 KGS", "4,000.00 USD", "600 KGS", "1,500.00 USD", "15 KGS", "10,000.00 USD", ""]


def test_units_and_currencies_are_not_added_up(make: Make, viewer: Client) -> None:
    make("0310000001", ("Vegetable Oil", "10", "KGS", "0"), ("Vegetable Oil", "5", "LTR", "0"))
    make("0310000002", ("Vegetable Oil", "20", "KGS", "0"), credit="777", currency="EUR", days=200)
    _, rows, foot = table(viewer)
    assert rows["0310000001"][4:6] == ["10 KGS5 LTR", "10,000.00"]
    assert rows["0310000002"][4:6] == ["20 KGS", "777.00"]
    assert foot[4:7] == ["777.00 EUR10,000.00 USD", "30 KGS5 LTR", "777.00 EUR10,000.00 USD"]


def test_a_unit_may_be_any_word(make: Make, viewer: Client) -> None:
    make("0310000001", ("Vegetable Oil", "10", "items", "0"))
    assert table(viewer)[1]["0310000001"][4] == "10"
    assert table(viewer)[2][5] == "10 items"


def test_names_of_another_norm_are_other_items(make: Make, viewer: Client) -> None:
    make(
        "0310000001", ("Food Flavour (E5)|Food Flavour (E1)", "10", "KGS", "0"), ("Food Flavour (E1)", "5", "KGS", "0")
    )
    assert table(viewer)[0] == ["Food Flavour (E5)"]
    assert table(viewer)[1]["0310000001"][4:] == ["10", "500.00", "1"]


def test_which_licenses(make: Make, viewer: Client) -> None:
    oil = ("Vegetable Oil", "10", "KGS", "0")
    make("0310000001", oil, days=0)
    make("0310000002", oil, days=-1)
    make("0310000003", oil, credit="500", days=3)
    make("0310000004", oil, credit="499.99", days=4)
    make("0310000005", oil, norm="E1", days=5)
    make("0310000006", oil, norm="", days=6)
    make("0310000007", oil, notification_number="098/2009", days=7)
    for query, numbers in (
        ("?norm=E5", "1 3 7"),
        ("?norm=E1", "5"),
        ("?norm=E132", ""),
        ("?norm=unknown", "6"),
        ("?norm=E5&notification=098/2009", "7"),
        ("?norm=E5&notification=025/2023", "1 3"),
        ("?norm=E5&expired=on", "1 3 7 2"),
        ("?norm=E5&minimum=500.01", "1 7"),
        ("?norm=E5&minimum=0", "1 3 4 7"),
        ("?norm=E5&minimum=0&sort=balance", "4 3 1 7"),
        ("?norm=E5&sort=-number", "7 3 1"),
    ):
        assert found(viewer, query) == [f"031000000{n}" for n in numbers.split()], query


def test_what_there_is_to_choose_from(make: Make, viewer: Client) -> None:
    make("0310000001")
    make("0310000002", notification_number="")
    shown = read(viewer.get("/items/"))
    assert shown.texts("//select[@name='norm']/option") == ["–", "E1", "E5", "E132", "norm unknown"]
    assert shown.texts("//select[@name='notification']/option") == ["All", "025/2023"]
    assert "Choose a norm" in shown.text("//p[@class='empty']")


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("?norm=E9", "Norm: Select a valid choice"),
        ("?notification=025/2023", "Norm: This field is required"),
        ("?norm=E5&notification=1", "Notification: Select a valid choice"),
        ("?norm=E5&minimum=-1", "Balance at least: Ensure this value is greater"),
        ("?norm=E5&minimum=NaN", "Balance at least: Enter a number"),
        ("?norm=%00", "Norm: Select a valid choice"),
    ],
)
def test_what_cannot_be_asked_is_said(query: str, words: str, make: Make, viewer: Client) -> None:
    make("0310000001")
    assert words in read(viewer.get(f"/items/{query}")).text("//p[@role='alert']")
    response = viewer.get(f"/items.xlsx{query}")
    assert response.status_code == 400
    assert words in response.content.decode()
    assert f'<a href="/items/{query.partition("=")[0]}=' in response.content.decode()


def test_nothing_is_said_too(make: Make, viewer: Client) -> None:
    make("0310000001", days=-1)
    drain()
    assert "No license fits" in read(viewer.get("/items/?norm=E5")).text("//p[@class='empty']")


def test_marks_tell_what_is_not_in_step(make: Make, viewer: Client) -> None:
    license = make("0310000001", ("Vegetable Oil", "10", "KGS", "0"))
    drain()
    ExportItem.objects.filter(license=license).update(cif_fc=20000)
    assert read(viewer.get("/items/?norm=E5")).rows()[0][0] == "0310000001 change pending"


def test_what_people_typed_is_text(make: Make, viewer: Client) -> None:
    license = make("a/b ?#&'\"<i>", ("Vegetable Oil", "10", "<b>", "0"))
    ItemName.objects.filter(name="Vegetable Oil").update(name="<script>alert(1)</script>")
    drain()
    response = viewer.get("/items/?norm=E5")
    assert b"<script>alert" not in response.content
    shown = read(response)
    assert shown.texts("//th[@scope='colgroup']") == ["<script>alert(1)</script>"]
    assert read(viewer.get(shown.links()[license.license_number])).text("//h1") == f"License {license.license_number}"


def many(make: Make) -> None:
    for n in range(12):
        make(f"03100000{n:02}", ("Vegetable Oil", "1.5", "KGS", "0"), ("Milk Powder (E5)", "1", "KGS", "0"), days=n)
    drain()


def test_columns_and_foot_are_of_all_that_is_found(make: Make, viewer: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("desk.items.PAGE_SIZE", 5)
    many(make)
    first, second, third = (table(viewer, f"?norm=E5&page={n}") for n in (1, 2, 3))
    assert [len(rows) for _, rows, _ in (first, second, third)] == [5, 5, 2]
    assert [*first[1], *second[1], *third[1]] == [f"03100000{n:02}" for n in range(12)]
    assert first[0] == third[0]
    assert first[2] == third[2]
    assert first[2] == ["All 12", "", "", "", "1,20,000.00 USD", "12 KGS", "12,000.00 USD", "18 KGS",
                        "1,20,000.00 USD", ""]  # fmt: skip
    links = read(viewer.get("/items/?norm=E5&minimum=1")).links("//nav[@class='pages']//a")
    assert links["Next"] == "?norm=E5&minimum=1&page=2"


def test_it_asks_as_little_for_many_as_for_few(make: Make, viewer: Client) -> None:
    def asked(address: str) -> list[str]:
        with CaptureQueriesContext(connection) as queries, closing(viewer.get(address)) as response:
            assert response.status_code == 200
        return [query["sql"][:90] for query in queries]

    addresses = ("/items/?norm=E5", "/items.xlsx?norm=E5")
    make("9", ("Vegetable Oil", "1.5", "KGS", "0"))
    drain()
    few = [asked(address) for address in addresses]
    many(make)
    for address, before in zip(addresses, few, strict=True):
        now = asked(address)
        assert len(now) == len(before) <= 16, now


def test_the_same_as_a_workbook(make: Make, viewer: Client) -> None:
    make("0310000001", ("Milk Powder (E5)", "300", "KGS", "0"), ("Milk Powder (E5)", "200.125", "KGS", "0"),
         ("Vegetable Oil", "10", "KGS", "0"), ("Vegetable Oil", "5", "LTR", "0"), ("", "1", "", "0"))  # fmt: skip
    make("0310000002", ("Vegetable Oil", "20", "KGS", "0"), credit="777", currency="EUR", days=200)
    make("0310000003", ("Vegetable Oil", "20", "KGS", "0"), norm="E1")
    drain()
    book = workbook(viewer.get("/items.xlsx?norm=E5&notification=025/2023"))
    heads, *rows = book["Items"]
    assert heads == [
        "License", "Exporter", "Dated", "Expires", "Notification", "Currency", "Balance", "Milk Powder (E5), KGS",
        "Milk Powder (E5), value", "Vegetable Oil, KGS", "Vegetable Oil, LTR", "Vegetable Oil, value", "Other items",
    ]  # fmt: skip
    assert [(row[0], row[5], *(cell if cell is None else as_decimal(cell) for cell in row[6:])) for row in rows] == [
        ("0310000001", "USD", 10000, Decimal("500.125"), 1000, 10, 5, 10000, 1),
        ("0310000002", "EUR", 777, None, None, 20, None, 777, None),
    ]
    assert book["Totals"][1:] == [
        ["Milk Powder (E5)", "KGS", 500.125, None, None],
        ["Milk Powder (E5)", None, None, "USD", 1000],
        ["Vegetable Oil", "KGS", 30, None, None],
        ["Vegetable Oil", "LTR", 5, None, None],
        ["Vegetable Oil", None, None, "EUR", 777],
        ["Vegetable Oil", None, None, "USD", 10000],
    ]
    about = dict(book["About"][1:])
    asked = ("Norm", "Notification", "Balance at least", "Expired too")
    assert [about[name] for name in asked] == ["E5", "025/2023", "500.00", "no"]


def test_an_item_that_has_gone_over_to_another_license_is_there_once(make: Make, viewer: Client) -> None:
    """Until its change is worked off it has no balance there: it is left out, and the license is marked."""
    make("0310000001", ("Vegetable Oil", "10", "KGS", "0"))
    make("0310000002", days=200)
    drain()
    sql("UPDATE license_importitem SET license_id = 2")
    rows = read(viewer.get("/items/?norm=E5")).rows()
    assert [row[0] for row in rows] == ["0310000001 change pending", "0310000002 change pending"]
    assert table(viewer)[1]["0310000002"][4:6] == ["10", "10,000.00"]


def test_the_page_leads_to_its_workbook(make: Make, viewer: Client, log_in: Callable[[str], Client]) -> None:
    make("0310000001", ("Vegetable Oil", "10", "KGS", "0"))
    drain()
    shown: Shown = read(viewer.get("/items/?norm=E5&sort=-balance"))
    assert shown.links("//p[@class='download']/a") == {"XLSX": "/items.xlsx?norm=E5&sort=-balance"}
