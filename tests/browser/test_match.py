"""What differs from customs' ledger is settled by mouse; of two people who settle the same the second is told."""

from dataclasses import replace

from playwright.sync_api import expect

from ledger.engine import drain
from ledger.models import LicenseBalance, Settlement
from tests.browser.conftest import NARROW, OpenWindow, table
from tests.customs.world import BILL, LICENSE, NOTHING_YET, allot, loaded


def test_an_allotment_is_converted_into_one_of_two_bills(open_window: OpenWindow, database: None) -> None:
    loaded(NOTHING_YET)
    allot(30, 600)
    loaded(replace(LICENSE, bills=(BILL, replace(BILL, number="4712", cif_fc=BILL.cif_fc / 2))))
    first = open_window("operator meera")
    second = open_window("operator arjun", viewport=NARROW, color_scheme="dark", expected="status of 409")
    for page in (first, second):
        page.goto("/")
        page.get_by_role("link", name="Match", exact=True).click()
        page.get_by_role("link", name="Settle 0310000001").click()
    first.get_by_role("radio", name="BE 4712").check()
    first.get_by_role("button", name="Convert what it has taken, keep the rest").click()
    expect(first.get_by_role("status")).to_contain_text("BE 4712 of")
    assert table(first, 0) == ["0310000001"]  # what goes on may have been used by the other bill
    second.get_by_role("button", name="Convert", exact=True).click()
    expect(second.get_by_role("alert")).to_contain_text("Nothing was done: this has changed")
    expect(second.get_by_role("radio")).to_have_count(1)
    second.get_by_label("Why").fill("ship still at sea")
    second.get_by_label("Why").press("Enter")  # converts nothing
    expect(second.get_by_label("Why")).to_have_value("ship still at sea")
    second.get_by_role("button", name="None of these has used it").click()
    expect(second.get_by_text("None is open of this kind.")).to_be_visible()
    second.get_by_role("link", name="What was settled").click()
    second.wait_for_url("**/match/settled/**")
    assert table(second, 1) == ["arjun", "meera"]
    assert Settlement.objects.count() == 2
    drain()
    assert LicenseBalance.objects.get().balance_cif == 1000 - 400 - 200 - 400
