"""The page of the API for people: it shows every operation, and tries one out as who is logged in."""

from playwright.sync_api import expect

from api.views import api
from tests.browser.conftest import OpenWindow


def test_an_operation_is_tried_out(open_window: OpenWindow, desk: None) -> None:
    page = open_window("auditor")
    page.goto("/api/v1/docs")
    operations = page.locator(".opblock")
    expect(operations).to_have_count(sum(map(len, api.get_openapi_schema()["paths"].values())))
    page.locator("#operations-licenses-explain_license").click()
    page.get_by_role("button", name="Try it out").click()
    page.get_by_placeholder("number").fill("0310000008")
    page.get_by_role("button", name="Execute").click()
    expect(page.locator(".live-responses-table")).to_contain_text('"overdrawn_cif": "2500.50"')
