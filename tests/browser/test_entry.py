"""Facts are typed by keyboard, with a warning before they overdraw; whoever looks at the license sees them at once."""

from collections.abc import Generator

import pytest
from playwright.sync_api import Page, expect

from ledger.models import BillOfEntry
from license.models import ExportItem, ImportItem, License
from tests.acceptance.conftest import nothing_is_pending, until
from tests.browser.conftest import NARROW, WIDE, OpenWindow, shows

NUMBER = "0310000001"


@pytest.fixture(autouse=True)
def license(engine: None, database: None) -> Generator[License]:
    """10,000.00, with two items."""
    license = License.objects.create(license_number=NUMBER, license_date="2026-01-01")
    ExportItem.objects.create(license=license, cif_fc=10_000)
    for serial, name in enumerate(("Wheat flour", "Sugar"), 1):
        ImportItem.objects.create(license=license, serial_number=serial, quantity=100, unit="KGS", description=name)
    until(nothing_is_pending, "the relay has worked it off")
    yield license
    until(nothing_is_pending, "the relay has worked off what the test wrote")


def test_what_overdraws_is_typed_confirmed_and_seen(open_window: OpenWindow) -> None:
    seen, page = open_window("viewer"), open_window("operator")
    seen.goto(f"/licenses/{NUMBER}/")
    seen.evaluate("window.isStillThere = true")
    shows(seen, "10,000.00")
    page.goto("/entry/ledger/billofentry/add/")
    page.keyboard.type("4711")  # the first field has the focus
    page.keyboard.press("Tab")
    page.keyboard.type("05/03/2026")
    choose(page, "import_item", f"{NUMBER} sug", f"{NUMBER} / 2 · Sugar · 100 KGS and USD 10,000.00 available")
    for typed in ("12", "12,500.50"):
        page.keyboard.press("Tab")
        page.keyboard.type(typed)
    page.keyboard.press("Enter")
    warning = page.get_by_role("alert")
    expect(warning).to_contain_text("Nothing is saved yet.")
    takes = f"License {NUMBER}: balance USD 10,000.00 left, this entry takes 12,500.50 more"
    expect(warning.get_by_role("listitem")).to_have_text([f"{takes}: it would be overdrawn by 2,500.50."])
    assert not BillOfEntry.objects.exists()
    expect(page.get_by_label("Save all the same")).to_be_focused()
    page.keyboard.press("Space")
    page.keyboard.press("Enter")
    expect(page.get_by_text("was added successfully")).to_be_visible()
    shows(seen, "0.00")
    expect(seen.locator(".figures")).to_contain_text("2,500.50 Overdrawn")
    expect(
        seen.get_by_role("img", name="Balance over time")
    ).to_be_visible()  # the first debit: before it there is none
    expect(seen.get_by_role("row").filter(has_text="BE 4711")).to_contain_text("05 Mar 2026")
    assert seen.evaluate("window.isStillThere"), "it was loaded anew"


@pytest.mark.parametrize("size", [NARROW, WIDE], ids=["telephone", "desk"])
def test_lines_are_read_without_pushing_them_aside(
    size: dict[str, int], open_window: OpenWindow, license: License
) -> None:
    page = open_window("operator", viewport=size)
    for address in (f"/entry/license/license/{license.pk}/change/", "/entry/ledger/billofentry/add/"):
        page.goto(address)
        hidden = "[...document.querySelectorAll('.inline-group')].map(group => group.scrollWidth - group.clientWidth)"
        assert not any(page.evaluate(hidden)), address
    label = page.locator("#lines-0").get_by_text("CIF INR").bounding_box()
    assert label
    assert (label["width"] > 1) == (size is NARROW)


def test_a_new_item_is_proposed_the_next_number(open_window: OpenWindow, license: License) -> None:
    page = open_window("operator")
    page.goto(f"/entry/license/license/{license.pk}/change/")
    for number in (3, 4, 5):
        page.get_by_role("button", name="Add another Import item").click()
        expect(page.locator(f"#id_import_items-{number - 1}-serial_number")).to_have_value(f"{number}")
    page.locator("#id_import_items-3-quantity").fill("7")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_text("was changed successfully")).to_be_visible()
    assert list(license.import_items.order_by("pk").values_list("serial_number", flat=True)) == [1, 2, 4]


def choose(page: Page, field: str, typed: str, wanted: str) -> None:
    """Tab to what is chosen by typing, open it, type, and take what is found."""
    for _ in range(20):
        page.keyboard.press("Tab")
        if page.locator(f":focus[aria-labelledby*={field}]").count():
            break
    page.keyboard.press("Enter")
    expect(page.locator(".select2-dropdown").get_by_role("searchbox")).to_be_focused()
    page.keyboard.type(typed)
    expect(page.get_by_role("option")).to_have_text([wanted])
    page.keyboard.press("Enter")
