"""What is found by typing."""

from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from desk.entry import base
from license.models import ImportItem, License
from tests.web.conftest import LogIn, read
from tests.web.entry.conftest import BILL, NUMBER, OTHER, allotment_of, bill_of, change, item


def picked(client: Client, what: str, term: str, **more: Any) -> list[str]:
    answer = client.get(f"/entry/pick/{what}/", {"term": term, **more}).json()
    return [result["text"] for result in answer["results"]]


def test_items_are_found_by_license_and_show_what_is_left(operator: Client) -> None:
    first = f"{NUMBER} / 1 · 100 KGS and USD 1,200.00 available"
    sugar = f"{NUMBER} / 2 · Sugar · 100 KGS and USD 500.00 available"
    assert picked(operator, "item", NUMBER)[:2] == [first, sugar]
    assert picked(operator, "item", f"{NUMBER}/2") == picked(operator, "item", "310000008 sugar") == [sugar]
    assert len(picked(operator, "item", "0310")) == 5
    for nothing in ("", "03", "cashew", "%%%", "0310000008 99999999999"):
        assert picked(operator, "item", nothing) == []
    for serial in range(5, 30):
        ImportItem.objects.create(license_id=1, serial_number=serial)
    assert len(picked(operator, "item", NUMBER)) == 20
    assert len(picked(operator, "item", NUMBER, page=2)) == 9
    assert picked(operator, "item", NUMBER, page=2)[-1] == f"{NUMBER} / 29 · no balance yet"


def test_allotments_are_found_that_reserve(operator: Client) -> None:
    allotment, released = allotment_of("1", item_name="Sugar"), allotment_of("2")
    released.bills_of_entry.add(bill_of("1"))
    allotment_of("3", type="ARO")
    text = f"Allotment {allotment.pk} to Pune Mills 0000000009, Sugar"
    for term in ("", f"{allotment.pk}", NUMBER, "pune"):
        assert picked(operator, "allotment", term) == [text], term
    assert picked(operator, "allotment", OTHER) == picked(operator, "allotment", "kochi") == []


@pytest.mark.parametrize("typed", [NUMBER, "310000008"])
def test_lists_are_searched_by_the_number_of_a_license(typed: str, operator: Client) -> None:
    bill_of("1")
    allotment_of("1")
    bill_of("1", item(1, OTHER), number="5")
    for page, found in (("ledger/billofentry", "4711"), ("ledger/allotment", "Allotment 1")):
        rows = read(operator.get(f"/entry/{page}/", {"q": typed})).texts("//table[@id='result_list']/tbody/tr/th")
        assert rows == [found]
    for number in ("4711", "0004711"):
        assert (
            len(
                read(operator.get("/entry/ledger/billofentry/", {"q": number})).rows(
                    "//table[@id='result_list']/tbody/tr"
                )
            )
            == 1
        )


def test_nothing_counts_everything(operator: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base.Bounded, "MOST", 3)
    for number in range(5):
        bill_of("1", number=f"{number}")
    with CaptureQueriesContext(connection) as queries:
        page = operator.get("/entry/ledger/billofentry/").content.decode()
        operator.get("/entry/pick/item/", {"term": "0310"})
        operator.get("/entry/autocomplete/?app_label=license&model_name=license&field_name=exporter&term=p")
    counts = [query["sql"] for query in queries if "COUNT(" in query["sql"]]
    assert counts
    assert all("LIMIT 3" in count for count in counts), counts
    assert "There may be more than these 3" in page


def test_a_license_is_looked_for_in_the_head_of_every_page(operator: Client, log_in: LogIn) -> None:
    page = read(operator.get(BILL))
    [search] = page.tree.xpath("//header//form[@role='search']")
    where, found = search.get("action"), change(License.objects.get(license_number=NUMBER))
    assert search.xpath(".//input/@name") == ["q"]
    for typed in (NUMBER, "310000008", " 0310000008 "):
        assert operator.get(where, {"q": typed}).url == found, typed
    rows = read(operator.get(where, {"q": "031000000"})).texts("//table[@id='result_list']/tbody/tr/th")
    assert rows == [OTHER, NUMBER]
    assert operator.get(where, {"q": NUMBER, "purchase_status__exact": "GE"}).status_code == 200
    client = log_in("")
    User.objects.get(username="newcomer").user_permissions.add(Permission.objects.get(codename="add_port"))
    assert not read(client.get("/entry/")).tree.xpath("//form[@role='search']")
    assert client.get(where, {"q": NUMBER}).status_code == 403
