"""Inputs are found and allotted by keyboard; and of two people who want the last of one, one gets it."""

from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from ledger.engine import drain
from ledger.models import Allotment, AllotmentLine
from license.models import Company, ExportItem, ImportItem, License
from tests.browser.conftest import NARROW, OpenWindow, is_too_wide, tab_to
from tests.browser.test_pages import CONTRAST
from tests.conftest import assert_balances_follow_facts, sql

NUMBER = "0310000001"


@pytest.fixture(autouse=True)
def licenses(database: None) -> None:
    """1,000.00 for 10 KGS of sugar and 10 KGS of salt; and 5,000.00 for 100 KGS of sugar, which never expires."""
    Company.objects.create(iec="0000000009", name="Pune Mills")
    for number, expires, credit, items in (
        (NUMBER, "2099-01-01", 1000, [("Sugar", 10), ("Salt", 10)]), ("0310000002", None, 5000, [("Sugar", 100)]),
    ):  # fmt: skip
        license = License.objects.create(license_number=number, license_date="2026-01-01", license_expiry_date=expires)
        ExportItem.objects.create(license=license, cif_fc=credit)
        for serial, (name, quantity) in enumerate(items, 1):
            ImportItem.objects.create(
                license=license, serial_number=serial, quantity=quantity, unit="KGS", description=name
            )
    drain()


# ── Two people ────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("wanted", "gone"),
    [
        (("item=sugar&quantity=10&price=1", "item=sugar&quantity=7&price=1"), "item 1: quantity"),
        (("item=sugar&quantity=6&price=100", "item=sugar&quantity=6&price=100"), "balance USD 400.00 left"),
        (("item=sugar&quantity=6&price=100", "item=salt&quantity=6&price=100"), "balance USD 400.00 left"),
    ],
    ids=["the last quantity", "the last value", "the last value, by another item"],
)  # fmt: skip
def test_of_two_who_want_the_last_one_gets_it(wanted: tuple[str, str], gone: str, open_window: OpenWindow) -> None:
    windows = [
        open_window("operator meera"),
        open_window("operator arjun", viewport=NARROW, color_scheme="dark"),
    ]
    for page, query in zip(windows, wanted, strict=True):
        page.goto(f"/allot/?{query}")
        page.get_by_label("Company").fill("Pune Mills")
        page.get_by_label("Goods").fill("for the winter")
    for page in windows:  # neither waits for the other's answer
        page.evaluate("document.querySelector('button[value=allot]').click()")
    for page in windows:
        expect(page.locator("[role=status], .overdraws")).to_be_visible()
    [winner] = [page for page in windows if page.locator("[role=status]").count()]
    [loser] = [page for page in windows if page != winner]
    expect(winner.get_by_role("heading", level=1)).to_contain_text(str(Allotment.objects.get()))
    alert = loser.get_by_role("alert")
    expect(alert).to_contain_text("Nothing is allotted yet. This entry would overdraw:")
    expect(alert).to_contain_text(f"License {NUMBER}")
    expect(alert).to_contain_text(gone)
    expect(loser.get_by_label("Goods")).to_have_value("for the winter")
    assert AllotmentLine.objects.count() == 1
    assert loser.evaluate(CONTRAST) == []
    assert not is_too_wide(loser)
    drain()
    assert_balances_follow_facts()
    assert sql("SELECT 1 FROM ledger_licensebalance WHERE overdrawn_cif > 0") == []
    if "salt" not in loser.url:  # another license has some left
        loser.get_by_role("button", name="Propose anew").click()
        expect(loser.get_by_label("Company")).to_have_value("Pune Mills")
        loser.get_by_role("button", name="Allot", exact=True).click()
        expect(loser.get_by_role("status")).to_contain_text("Allotted:")
        drain()
        assert_balances_follow_facts()
        assert sql("SELECT 1 FROM ledger_importitembalance WHERE overdrawn_quantity > 0 OR overdrawn_value > 0") == []


SENT_TWICE = """async () => {
    const button = document.querySelector("button[value=allot]");
    const send = () => fetch(location.href, { method: "POST", body: new FormData(button.form, button) });
    return (await Promise.all([send(), send()])).map((response) => response.url);
}"""


def test_what_is_sent_twice_in_the_same_moment_is_allotted_once(open_window: OpenWindow) -> None:
    page = open_window("operator")
    page.goto("/allot/?item=sugar&quantity=3&price=1")
    page.get_by_label("Company").fill("Pune Mills")
    first, second = page.evaluate(SENT_TWICE)
    assert first == second
    assert "/allotments/" in first
    assert sql("SELECT quantity::text FROM ledger_allotmentline") == [("3.000",)]


# ── By keyboard ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_from_find_to_the_printed_sheet_by_keyboard(open_window: OpenWindow, tmp_path: Path) -> None:
    page = open_window("operator", accept_downloads=True)
    page.goto("/")
    go(page, "Find")
    page.wait_for_url("**/find/")
    fill_in(page, {"Item": "sugar", "Quantity wanted": "25", "Unit price": "30"})
    page.keyboard.press("Enter")
    expect(page.get_by_role("caption")).to_contain_text("2 items of 2 licenses")
    for media in ("print", "screen"):
        page.emulate_media(media=media)
        expect(page.get_by_role("table").first).to_have_css("display", "table")
    go(page, "Propose an allotment")
    quantity = page.get_by_label(f"Quantity of License {NUMBER}, item 1")
    value = page.get_by_label(f"Value of License {NUMBER}, item 1")
    expect(quantity).to_have_value("10")
    expect(value).to_have_value("300.00")
    fill_in(page, {f"Quantity of License {NUMBER}, item 1": "4.5"})
    expect(value).to_have_value("135.00")
    sums(page, "19.5", "585.00", "5.5")
    fill_in(page, {f"Value of License {NUMBER}, item 1": "1,40.00"})  # grouped wrongly: the server says so
    sums(page, "19.5", "590.00", "5.5")
    page.keyboard.press("Enter")  # asks what would be left, and allots nothing
    expect(page.get_by_role("alert")).to_contain_text("thousands separators in the wrong places")
    fill_in(page, {f"Value of License {NUMBER}, item 1": "140"})
    page.keyboard.press("Enter")
    expect(page.get_by_text("balance 860.00")).to_be_visible()
    assert not Allotment.objects.exists()
    fill_in(page, {f"Quantity of License {NUMBER}, item 1": "5"})
    expect(value).to_have_value("140")  # somebody has typed it
    expect(page.get_by_text("balance 860.00")).to_be_hidden()
    fill_in(page, {"Company": "Pune Mills", "Expected": "05/03/2027"})
    go(page, "Allot")
    expect(page.get_by_role("status")).to_have_text("Allotted: 20 KGS for USD 590.00.")
    tab_to(page, "PDF of the allotment")
    with page.expect_download() as download:
        page.keyboard.press("Enter")
    download.value.save_as(tmp_path / "sheet.pdf")
    assert (tmp_path / "sheet.pdf").read_bytes().startswith(b"%PDF")
    assert sql("SELECT quantity::text, cif_fc::text FROM ledger_allotmentline ORDER BY import_item_id") == [
        ("5.000", "140.00"), ("15.000", "450.00"),
    ]  # fmt: skip


def go(page: Page, name: str) -> None:
    tab_to(page, name)
    page.keyboard.press("Enter")


def fill_in(page: Page, fields: dict[str, str]) -> None:
    """From what has the focus on."""
    for name, typed in fields.items():
        tab_to(page, name)
        page.keyboard.type(typed)


def sums(page: Page, quantity: str, value: str, missing: str) -> None:
    for name, number in (("proposed", quantity), ("value", value), ("missing", missing)):
        expect(page.locator(f"#{name}")).to_have_text(number)
