"""An open license follows its facts, and disturbs nobody who reads it: a real relay works off what is written."""

import time
from collections.abc import Generator

import pytest
from django.contrib.sessions.models import Session
from playwright.sync_api import Page, expect

from ledger.models import Allotment, AllotmentLine, BillOfEntry, BillOfEntryLine
from license.clock import business_date
from license.models import Company, ExportItem, ImportItem, License
from tests.acceptance.conftest import nothing_is_pending, until
from tests.browser.conftest import NARROW, SECONDS, OpenWindow, shows

NUMBER = "0310000001"
PAGE = f"/licenses/{NUMBER}/"


@pytest.fixture(autouse=True)
def license(engine: None, database: None) -> Generator[License]:
    """10,000.00, with forty items and as many old bills of entry of 1.00: a long page."""
    license = License.objects.create(license_number=NUMBER, license_date="2026-01-01")
    ExportItem.objects.create(license=license, cif_fc=10_000)
    items = [ImportItem(license=license, serial_number=n, quantity=100, description=f"item {n}") for n in range(1, 41)]
    ImportItem.objects.bulk_create(items)
    bills = BillOfEntry.objects.bulk_create(BillOfEntry(number=f"{n}", date="2026-02-01") for n in range(100, 140))
    BillOfEntryLine.objects.bulk_create(
        BillOfEntryLine(bill_of_entry=bill, import_item=item, quantity=1, cif_fc=1)
        for bill, item in zip(bills, items, strict=True)
    )
    until(nothing_is_pending, "the relay has worked it off")
    yield license
    until(nothing_is_pending, "the relay has worked off what the test wrote")


def debit(number: str, cif_fc: str, day: object = None) -> None:
    """A bill of entry is saved elsewhere."""
    bill = BillOfEntry.objects.create(number=number, date=day or business_date())
    item = ImportItem.objects.get(serial_number=1)
    BillOfEntryLine.objects.create(bill_of_entry=bill, import_item=item, quantity=10, cif_fc=cif_fc)


def test_two_windows_follow_what_is_written_elsewhere(open_window: OpenWindow) -> None:
    windows = [open_window(), open_window("operator", viewport=NARROW)]
    for page in windows:
        page.goto(PAGE)
        page.evaluate("window.isStillThere = true")
        shows(page, "9,960.00")
    start = time.monotonic()
    debit("4711", "960")
    for page in windows:
        shows(page, "9,000.00")
    assert time.monotonic() - start < SECONDS
    debit("4712", "9250.50")  # and once more: the page asks with what it shows now
    for page in windows:
        shows(page, "0.00")
        expect(page.locator(".figures")).to_contain_text("250.50 Overdrawn")
        expect(page.get_by_role("row").filter(has_text="BE 4712")).to_contain_text("-250.50")
        assert page.evaluate("window.isStillThere"), "it was loaded anew"


def test_who_reads_is_not_disturbed(open_window: OpenWindow) -> None:
    page = open_window(viewport=NARROW)
    page.goto(PAGE)
    page.locator("summary", has_text="Items").click()
    link = page.get_by_role("link", name="BE 120", exact=True)
    link.focus()
    page.evaluate("document.querySelectorAll('.wide')[1].scrollLeft = 40")
    before = where(page)
    assert before["left"] > 0
    assert before["top"] > 0
    debit("4711", "960", day="2026-01-15")  # stands above all that is read
    shows(page, "9,000.00")
    expect(page.get_by_role("row").filter(has_text="BE 120")).to_contain_text("9,019.00")
    expect(link).to_be_focused()
    after = where(page)
    assert after["left"] == before["left"]
    assert abs(after["seen"] - before["seen"]) < 5, "what is read has moved away"
    expect(page.locator("summary", has_text="Items")).to_be_visible()
    expect(page.get_by_text("item 40")).to_be_hidden()
    page.locator("summary", has_text="Items").click()
    expect(page.get_by_text("item 40")).to_be_visible()


def where(page: Page) -> dict[str, float]:
    """How far it is scrolled, to the side and down, and where in the window the focus is."""
    return page.evaluate(
        """() => ({
            left: document.querySelectorAll('.wide')[1].scrollLeft,
            top: scrollY,
            seen: document.activeElement.getBoundingClientRect().top,
        })"""
    )


def test_a_new_balance_is_said_once(open_window: OpenWindow) -> None:
    page = open_window()
    page.goto(PAGE)
    said = page.get_by_role("status")
    expect(said).to_have_text("Balance 9,960.00 USD")
    page.evaluate(
        """() => {
            window.heard = [];
            const status = document.querySelector("[role=status]");
            const options = { childList: true, characterData: true, subtree: true };
            new MutationObserver(() => heard.push(status.innerText)).observe(status, options);
        }"""
    )
    debit("4711", "960")
    shows(page, "9,000.00")
    allot("10", "0")  # changes an item, and no balance
    expect(page.locator("#item-2")).to_contain_text("89")
    debit("4712", "9000.10")
    shows(page, "0.00")
    page.wait_for_timeout(1000)  # another poll
    assert page.evaluate("heard") == ["Balance 9,000.00 USD", "Balance 0.00 USD, overdrawn by 0.10"]


def allot(quantity: str, cif_fc: str) -> None:
    company = Company.objects.get_or_create(iec="0000000009")[0]
    AllotmentLine.objects.create(
        allotment=Allotment.objects.create(company=company),
        import_item=ImportItem.objects.get(serial_number=2),
        quantity=quantity,
        cif_fc=cif_fc,
    )


@pytest.mark.parametrize(("motion", "timing"), [("no-preference", "ease"), ("reduce", "step-end")])
def test_what_is_new_is_marked_for_a_moment(motion: str, timing: str, open_window: OpenWindow) -> None:
    page = open_window(reduced_motion=motion)
    page.goto(PAGE)
    page.evaluate(
        """() => {
            window.marked = {};
            addEventListener("animationstart", ({ target }) => {
                const words = (target.closest(".asof, [role=status]") ? "not news: " : "") + target.textContent.trim();
                marked[words] = getComputedStyle(target).animationTimingFunction;
            });
        }"""
    )
    debit("4711", "960")
    shows(page, "9,000.00")
    page.wait_for_timeout(200)
    marked = page.evaluate("marked")
    assert marked["9,000.00"].replace("steps(1)", "step-end") == timing
    assert [words for words in marked if "BE 4711" in words]
    assert not [words for words in marked if "not news" in words or "BE 120" in words or "item 3" in words]
    expect(page.locator(".changed")).to_have_count(0, timeout=5000)


def test_a_page_that_gets_no_answer_says_so(open_window: OpenWindow) -> None:
    page = open_window(expected="ERR_INTERNET_DISCONNECTED|htmx:")
    page.goto(PAGE)
    lost = page.get_by_role("alert").filter(has_text="gets no answer")
    expect(lost).to_be_hidden()
    page.context.set_offline(True)
    expect(lost).to_be_visible()
    debit("4711", "960")
    page.context.set_offline(False)
    shows(page, "9,000.00")
    expect(lost).to_be_hidden()


def test_a_page_whose_session_has_ended_leads_to_the_login(open_window: OpenWindow) -> None:
    page = open_window()
    page.goto(PAGE)
    Session.objects.all().delete()
    page.wait_for_url(f"**/login/?next={PAGE}")
