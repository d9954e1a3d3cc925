"""Ledgers are uploaded, looked at, confirmed, and read about afterwards."""

from datetime import timedelta
from pathlib import Path

import pytest
from django.utils import timezone
from playwright.sync_api import expect

from ledger import uploads
from ledger.models import Upload
from license.models import License
from tests.browser.conftest import OpenWindow, table
from tests.conftest import sql

pytestmark = pytest.mark.usefixtures("database")

SAMPLES = Path(__file__).resolve().parents[2] / "samples"


def test_errors_are_seen_and_a_good_ledger_is_loaded(open_window: OpenWindow) -> None:
    page = open_window("operator")
    page.goto("/")
    page.get_by_role("link", name="Ledgers", exact=True).click()
    page.get_by_label("Choose files, or drop them here").set_input_files(SAMPLES / "broken.csv")
    page.get_by_role("button", name="Preview").click()
    expect(page.get_by_role("status")).to_have_text("A worker is asked to read the ledgers.")
    uploads.work_off(1)  # as a worker does
    expect(page.get_by_text("Nothing is written yet.")).to_be_visible()
    expect(page.get_by_role("row").filter(has_text="License 0310530002 is not loaded.")).to_contain_text("31/02/2025")
    page.get_by_role("button", name="Reject").click()
    expect(page.get_by_text("Rejected by operator")).to_be_visible()

    page.get_by_role("link", name="Ledgers", exact=True).click()
    page.get_by_label("Choose files, or drop them here").set_input_files(
        [SAMPLES / "dfia-2025.csv", SAMPLES / "advance-2025.htm"]
    )
    page.get_by_role("button", name="Preview").click()
    expect(page.get_by_role("status")).to_be_visible()
    uploads.work_off(2)
    expect(page.locator("#summary")).to_contain_text("Licenses: 7 created.")
    page.get_by_role("row").filter(has_text="0310482917").get_by_role("link", name="more changes").click()
    expect(page.get_by_role("table")).to_contain_text("Item 2, BE 8945026")
    page.go_back()
    assert not License.objects.exists()
    page.get_by_role("button", name="Confirm and load").click()
    expect(page.get_by_role("status")).to_have_text("A worker is asked to load the ledgers.")
    status = page.get_by_role("status").element_handle()
    Upload.objects.filter(pk=2).update(percent_done=34, leased_until=timezone.now() + timedelta(minutes=1))
    expect(page.get_by_role("progressbar")).to_have_attribute("value", "34")
    assert status.evaluate("node => node.isConnected && node.textContent").startswith("The ledgers are being loaded.")
    sql("UPDATE ledger_upload SET leased_until = NULL WHERE id = 2")
    uploads.work_off(2)
    expect(page.get_by_text("Loaded, confirmed by operator")).to_be_visible()
    page.get_by_role("link", name="0310482917", exact=True).click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("License 0310482917")
    page.get_by_role("link", name="Ledgers", exact=True).click()
    page.wait_for_url("**/ledgers/")
    assert table(page, 3) == ["loaded", "rejected"]


def test_a_file_is_dropped(open_window: OpenWindow) -> None:
    """On the field itself, which browsers take files at: no script is needed for it."""
    page = open_window("operator")
    page.goto("/ledgers/")
    field = page.get_by_label("Choose files, or drop them here")
    box = field.bounding_box()
    assert box is not None
    assert box["height"] > 80
    session = page.context.new_cdp_session(page)
    where = {"x": box["x"] + box["width"] / 2, "y": box["y"] + box["height"] / 2}
    carried = {"items": [], "files": [str(SAMPLES / "dfia-2025.csv")], "dragOperationsMask": 1}
    for what in ("dragEnter", "dragOver", "drop"):
        session.send("Input.dispatchDragEvent", {"type": what, **where, "data": carried})
    page.get_by_role("button", name="Preview").click()
    expect(page.get_by_role("status")).to_be_visible()
    assert [file.name for file in Upload.objects.get().files.all()] == ["dfia-2025.csv"]
