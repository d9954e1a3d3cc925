"""The pages as people use them: by mouse and by keyboard, in light and dark, on a telephone."""

from io import BytesIO
from pathlib import Path
from uuid import uuid4

import pytest
from axes.models import AccessAttempt
from django.contrib.auth.models import Group, User
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import transaction
from playwright.sync_api import Page, expect
from pypdf import PdfReader

from api.models import Webhook
from ledger import uploads
from ledger.engine import drain
from ledger.models import (
    Allotment,
    AllotmentLine,
    BillOfEntry,
    BillOfEntryLine,
    Settlement,
    TrailStatement,
    Upload,
    UploadedLicense,
)
from license.clock import business_date
from license.models import Company, ExportItem, ImportItem, License
from reconcile import night
from reconcile.models import ReconciliationRun, RunTrigger
from tests.browser.conftest import NARROW, OpenWindow, is_too_wide, tab_to, table
from tests.conftest import sql
from tests.web.conftest import KINDS

PASSWORD = "a long one for 2026"  # noqa: S105
PAPER = {"width": 703, "height": 1032}
"""A4 at 96 dots an inch, less margins of 12 mm."""
BROKEN_NUMBERS = """[...document.querySelectorAll("td.number, .tiles b")].flatMap((element) => {
    const texts = document.evaluate(".//text()[not(ancestor::*[contains(@class, 'mark') or self::p])]", element);
    const broken = [], range = document.createRange();
    for (let text; (text = texts.iterateNext()); ) {
        range.selectNodeContents(text);
        if (new Set([...range.getClientRects()].map((r) => r.top)).size > 1) broken.push(text.textContent);
    }
    return broken;
})"""
SAMPLES = Path(__file__).resolve().parents[2] / "samples"
CONTRAST = (Path(__file__).parent / "contrast.js").read_text()
PAGES = {
    "home": lambda: "/",
    "licenses": lambda: "/licenses/",
    "nothing found": lambda: "/licenses/?q=nothing+like+that",
    "what cannot be asked": lambda: "/licenses/?state=everything",
    "license": lambda: "/licenses/0310000008/",
    "quarantined license": lambda: "/licenses/0310000012/",
    "items": lambda: "/items/",
    "find": lambda: sugar("/find/?item=sugar&quantity=1,500&price=3"),
    "what cannot be found": lambda: "/find/?item=%25",
    "a proposal": lambda: sugar("/allot/?item=sugar&currency=USD&quantity=1,500&price=3"),
    "a proposal of one currency": lambda: sugar("/allot/?item=sugar&quantity=5"),
    "bills of entry": lambda: "/bills-of-entry/",
    "allotments": lambda: "/allotments/?state=open",
    "forecast": lambda: "/forecast/",
    "an allotment to give up": lambda: f"/allotments/{Allotment.objects.first().pk}/give-up/",
    "ledgers": lambda: "/ledgers/",
    "upload": lambda: f"/ledgers/{an_upload().pk}/",
    "uploaded license": lambda: f"/ledgers/{an_upload().pk}/licenses/{UploadedLicense.objects.last().pk}/",
    "an upload under way": lambda: f"/ledgers/{an_upload(previewed=False).pk}/",
    "match": lambda: mismatches() and "/match/",
    "an allotment that is used up": lambda: "/match/unconverted/1/1/",
    "a bill and its twin": lambda: f"/match/twin/1/{mismatches()}/",
    "settled": lambda: "/match/settled/",
    "trail": lambda: "/trail/",
    "a statement of the trail": lambda: f"/trail/{TrailStatement.objects.filter(row_count__gt=5).last().pk}/",
    "the trail of a license": lambda: "/licenses/0310000008/trail/",
    "as of a date": lambda: "/as-of/?until=2026-03-31",
    "a license as of a date": lambda: "/licenses/0310000008/as-of/?until=2026-03-31",
    "runs": lambda: "/reconciliation/",
    "run": lambda: f"/reconciliation/{a_run().pk}/",
    "bill of entry": lambda: f"/bills-of-entry/{BillOfEntry.objects.first().pk}/",
    "allotment": lambda: f"/allotments/{Allotment.objects.first().pk}/",
    "data entry": lambda: "/entry/",
    "entered licenses": lambda: "/entry/license/license/",
    "a license to change": lambda: f"/entry/license/license/{License.objects.first().pk}/change/",
    "a license to add": lambda: "/entry/license/license/add/",
    "a bill of entry to add": lambda: "/entry/ledger/billofentry/add/",
    "somebody to change": lambda: f"/entry/auth/user/{User.objects.first().pk}/change/",
    "an allotment to change": lambda: f"/entry/ledger/allotment/{Allotment.objects.first().pk}/change/",
    "webhooks": lambda: a_webhook() and "/entry/api/webhook/",
    "a webhook to change": lambda: f"/entry/api/webhook/{a_webhook().pk}/change/",
}
"""Where each is, when the desk has been made."""


def sugar(address: str) -> str:
    """Where every item is sugar."""
    ImportItem.objects.update(description="White refined sugar, S-30", unit="KGS")
    return address


def mismatches() -> int:
    """Of license 1 of each kind, and something that is settled. The bill that is customs' too."""
    License.objects.update(ledger_as_of=business_date())
    Allotment.objects.filter(pk=1).update(created_at="2026-01-15T00:00Z")
    AllotmentLine.objects.filter(allotment=1).update(cif_fc=100)
    bill = BillOfEntry.objects.get(pk=1)
    BillOfEntryLine.objects.filter(bill_of_entry=bill).update(source="icegate", cif_fc=100)
    twin, is_new = BillOfEntry.objects.get_or_create(number=bill.number, date="2026-03-01", port=bill.port)
    if is_new:
        BillOfEntryLine.objects.create(bill_of_entry=twin, import_item_id=1, quantity=10, cif_fc=100)
        Settlement.objects.create(
            kind="disputed", license_id=1, subject_id=9, is_kept=True, sentence="It stays as it is.", settled_by="meera"
        )
    return twin.pk


def a_run() -> ReconciliationRun:
    """One that found drift, and something of other kinds."""
    with transaction.atomic():
        sql("SET LOCAL ledger.engine = 'on'")
        sql("UPDATE ledger_licensebalance SET balance_cif = balance_cif + 1 WHERE license_id <= 2")
    run = night.start(RunTrigger.MANUAL)
    night.work(run)
    return run


def a_webhook() -> Webhook:
    """With a long address, that answers at length."""
    return Webhook.objects.get_or_create(
        user=User.objects.first(), url=f"https://erp.example/{'x' * 200}", secret="whsec_", position=0, attempts=2,  # noqa: S106
        name="x" * 100, answer=f"500 {'x' * 200} {'out of order ' * 20}",
    )[0]  # fmt: skip


def an_upload(*, previewed: bool = True) -> Upload:
    """With errors, a license that is refused, and long names."""
    files = [
        SimpleUploadedFile(f"{'x' * 200}-{name}", (SAMPLES / name).read_bytes())
        for name in ("broken.csv", "dfia-2025.csv")
    ]
    upload = uploads.receive(files, by="operator", form=uuid4())
    if previewed:
        uploads.work_off(upload.pk)
    return upload


def log_in_as(page: Page, name: str, password: str) -> None:
    page.get_by_label("Name").fill(name)
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Log in").click()


# ── Getting in ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_way_in(open_window: OpenWindow, desk: None) -> None:
    page = open_window("anonymous", expected="status of 429")
    User.objects.create_user("meera", password=PASSWORD).groups.add(Group.objects.get(name="viewer"))
    page.goto("/licenses/?q=kochi")
    log_in_as(page, "meera", "wrong")
    expect(page.get_by_role("alert")).to_contain_text("correct username and password")
    expect(page.get_by_label("Name")).to_have_value("meera")
    log_in_as(page, "meera", PASSWORD)
    page.wait_for_url("**/licenses/?q=kochi")
    assert table(page, 0) == ["0310000002"]
    page.get_by_role("button", name="Log out").click()
    expect(page.get_by_role("heading")).to_have_text("Log in")
    AccessAttempt.objects.create(username="meera", ip_address="127.0.0.1", failures_since_start=4)
    log_in_as(page, "meera", "a fifth guess")
    expect(page.get_by_role("alert")).to_contain_text("too many wrong passwords")


# ── The list ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_list_by_mouse(open_window: OpenWindow, desk: None) -> None:
    page = open_window()
    page.goto("/")
    page.get_by_role("link", name="Licenses", exact=True).click()
    page.wait_for_url("**/licenses/")
    assert sorted(table(page, 0)) == sorted(KINDS)
    form = page.locator("form.filter")
    form.get_by_label("Search").fill("surat")
    form.get_by_label("State").select_option("Active")
    form.get_by_role("button", name="Show").click()
    page.wait_for_url("**state=active**")
    assert sorted(table(page, 0)) == [
        number for number, kind in KINDS.items() if "active" in kind.states and kind.exporter == "Surat Foods"
    ]
    for direction in ("ascending", "descending"):
        page.get_by_role("link", name="Balance", exact=True).click()
        expect(page.get_by_role("columnheader", name="Balance")).to_have_attribute("aria-sort", direction)
    page.wait_for_load_state()
    balances = [float(text.replace(",", "")) for text in table(page, 7)]
    assert balances == sorted(balances, reverse=True)
    expect(form.get_by_label("Search")).to_have_value("surat")
    first = table(page, 0)[0]
    page.get_by_role("link", name=first).click()
    expect(page.get_by_role("heading", level=1)).to_have_text(f"License {first}")


def test_the_list_by_keyboard(open_window: OpenWindow, desk: None) -> None:
    page = open_window()
    page.goto("/")
    tab_to(page, "Search licenses")
    page.keyboard.type("surat")
    page.keyboard.press("Enter")
    page.wait_for_url("**/licenses/?q=surat")
    tab_to(page, "State")
    page.keyboard.type("Overdrawn")
    tab_to(page, "Show")
    page.keyboard.press("Enter")
    page.wait_for_url("**state=overdrawn**")
    assert table(page, 0) == ["0310000008"]
    tab_to(page, "License")
    page.keyboard.press("Enter")
    page.wait_for_url("**sort=number**")
    expect(page.get_by_role("columnheader", name="License")).to_have_attribute("aria-sort", "ascending")
    tab_to(page, "0310000008")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("License 0310000008")


def test_the_content_is_one_key_away(open_window: OpenWindow, desk: None) -> None:
    page = open_window()
    page.goto("/licenses/")
    page.keyboard.press("Tab")
    skip = page.get_by_role("link", name="Skip to the content")
    expect(skip).to_be_focused()
    expect(skip).to_be_in_viewport()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    expect(page.locator("form.filter").get_by_label("Search")).to_be_focused()


# ── A run that is wanted now ──────────────────────────────────────────────────────────────────────────────────────────


def test_from_the_button_to_the_report(open_window: OpenWindow, desk: None) -> None:
    page = open_window("operator")
    page.goto("/reconciliation/")
    page.get_by_role("button", name="Run now").click()
    expect(page.get_by_role("status")).to_contain_text("A worker has been asked.")
    run = night.start(RunTrigger.MANUAL)  # as a worker does
    page.wait_for_url(f"**/reconciliation/{run.pk}/")
    expect(page.locator("#live")).to_contain_text("0 of 12 licenses checked")
    night.work(run)
    expect(page.get_by_text("12 licenses checked,")).to_be_visible()


# ── Every page ────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("scheme", ["light", pytest.param("dark", marks=pytest.mark.long)])
def test_every_page_can_be_read(scheme: str, open_window: OpenWindow, desk: None) -> None:
    page = open_window("administrator", color_scheme=scheme)
    for name, address in PAGES.items():
        page.goto(address())
        assert page.evaluate(CONTRAST) == [], name
        brightness = page.evaluate("getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)")
        assert (max(brightness) < 60) is (scheme == "dark")


@pytest.fixture
def long_names(desk: None) -> None:
    """Of everything as much as there may be: a license of 12 digits that is overdrawn by as much, and its names."""
    license = License.objects.filter(license_number="0310000008")
    Company.objects.update(name="Shree Mahalakshmi Agro Food Processing & Exports Pvt. Ltd.")
    license.update(file_number="03/24/040/00017/AM26/" * 2)
    ExportItem.objects.filter(license__in=license).update(cif_fc="123456789012.34")
    ImportItem.objects.filter(license__in=license).update(description="relevant food additives, " * 8)
    BillOfEntryLine.objects.filter(import_item__license__in=license).update(cif_fc="987654321098.76")
    Allotment.objects.update(item_name="relevant food additives, " * 8)
    drain()


def test_every_page_fits_a_telephone(open_window: OpenWindow, long_names: None) -> None:
    page = open_window("administrator", viewport=NARROW)
    for name, address in PAGES.items():
        page.goto(address())
        assert not is_too_wide(page), name
        assert page.evaluate(BROKEN_NUMBERS) == [], name
        assert page.evaluate("(head => head.scrollHeight <= head.offsetHeight)(document.querySelector('header'))"), name


def test_a_telephone_shows_balances_without_scrolling(open_window: OpenWindow, desk: None) -> None:
    page = open_window(viewport=NARROW)
    page.goto("/licenses/")
    assert page.evaluate("(list => list.scrollWidth <= list.clientWidth)(document.querySelector('.wide'))")


def test_every_page_can_be_printed(open_window: OpenWindow, long_names: None) -> None:
    """On A4 with margins: nothing stands beyond the paper, nor needs to be scrolled, nor is for a screen alone."""
    page = open_window("administrator", viewport=PAPER, color_scheme="dark")
    page.emulate_media(media="print")
    for name, address in PAGES.items():
        if not address().startswith("/entry/"):
            page.goto(address())
            assert not is_too_wide(page), name
            expect(page.locator("header, form, .download, .pages, .edit").locator("visible=true")).to_have_count(0)
    page.goto("/licenses/0310000008/")
    text = " ".join(PdfReader(BytesIO(page.pdf(format="A4"))).pages[0].extract_text().split())
    for words in ("-8,64,19,75,32,086.42", "no value of its own: the total of the license"):
        assert words in text, text


def test_the_way_in_can_be_read(open_window: OpenWindow, desk: None) -> None:
    for scheme in ("light", "dark"):
        page = open_window("anonymous", color_scheme=scheme, viewport=NARROW)
        page.goto("/")
        assert page.evaluate(CONTRAST) == []
        assert not is_too_wide(page)


def test_what_is_missing_can_be_read(open_window: OpenWindow, desk: None) -> None:
    page = open_window(expected="status of 404", viewport=NARROW)
    page.goto("/licenses/1/")
    expect(page.get_by_role("heading")).to_have_text("Not found")
    assert not is_too_wide(page)
