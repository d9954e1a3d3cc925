"""Who may enter, see and delete what, how pages lead there, and what a page may cost."""

from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import get_resolver, reverse
from lxml import html

from api.models import Token, Webhook
from ledger.engine import drain
from ledger.models import Allotment, AllotmentLine, BillOfEntry, BillOfEntryLine
from license.models import Company, ExportItem, HSCode, ImportItem, ItemName, License, MatchRule, Port, SionNorm
from tests.conftest import one, sql
from tests.web.conftest import LogIn, read
from tests.web.entry.conftest import (
    ALLOTMENT,
    BILL,
    NUMBER,
    OTHER,
    allotment_of,
    bill_of,
    change,
    delete,
    facts,
    form,
    item,
    post,
    saved,
)

ALL = ("viewer", "auditor", "operator", "administrator")
WRITERS = ("operator", "administrator")
FACTS = (License, BillOfEntry, Allotment, Company, Port, HSCode, SionNorm, ItemName)
VIEWS = {"changelist": ALL, "add": WRITERS, "change": ALL, "delete": ("administrator",), "history": ALL}
"""Of what is entered: who gets 200; the others 403."""
PAGES: dict[str, tuple[str, ...]] = {
    **{f"{model._meta.label_lower.replace('.', '_')}_{view}": who for model in FACTS for view, who in VIEWS.items()},
    **{
        f"auth_{model}_{view}": ("administrator",)
        for model in ("user", "group") for view in VIEWS if (model, view) != ("user", "delete")
    },
    "auth_user_delete": (),
    **{
        f"api_{model}_{view}": () if view == "add" else ("administrator",)
        for model in ("token", "webhook") for view in VIEWS
    },
    "auth_user_password_change": ("administrator",),
    **dict.fromkeys(
        ("index", "autocomplete", "pick_item", "pick_allotment", "password_change", "password_change_done", "jsi18n",
         "app_list"), ALL,
    ),
}  # fmt: skip


NO_PAGES = ("jsi18n", "autocomplete", "pick_item", "pick_allotment")


def names(patterns: list[Any]) -> Iterator[str]:
    for pattern in patterns:
        if hasattr(pattern, "url_patterns"):
            yield from names(pattern.url_patterns)
        elif pattern.name:
            yield pattern.name


def address_of(page: str) -> str:
    query = ""
    if page == "autocomplete":
        query = "?app_label=license&model_name=license&field_name=exporter"
    if page == "app_list":
        return reverse("entry:app_list", args=["license"])
    needs = page.endswith(("_change", "_delete", "_history"))
    args = [] if not needs or page == "password_change" else [1]
    return reverse(f"entry:{page}", args=args) + query


def test_the_table_has_every_page() -> None:
    _, entry = get_resolver().namespace_dict["entry"]
    assert sorted(names(entry.url_patterns)) == sorted(PAGES)


@pytest.fixture
def one_of_each(log_in: LogIn) -> None:
    """Of whatever has a page, with the id 1."""
    bill_of("1")
    allotment_of("1")
    Port.objects.create(code="INNSA1")
    HSCode.objects.create(code="0801")
    sql("ALTER SEQUENCE auth_user_id_seq RESTART")
    user = User.objects.create(username="first")
    Token.make(user)
    Webhook.objects.create(user=user, url="https://erp.example/", secret="whsec_", position=0)  # noqa: S106


@pytest.mark.usefixtures("one_of_each")
@pytest.mark.parametrize("role", ["anonymous", "", *ALL])
def test_who_may_see_which_page(role: str, log_in: LogIn) -> None:
    client = log_in(role)
    got = {}
    for page in PAGES:
        response = client.get(address_of(page))
        got[page] = response.status_code
        if role == "anonymous":
            assert response.url.startswith("/login/?next=/entry/"), page
    if role == "anonymous":
        assert set(got.values()) == {302}
    else:
        assert got == {page: 200 if role in who else 403 for page, who in PAGES.items()}


def test_permission_decides_and_not_staff(log_in: LogIn) -> None:
    client = log_in("")
    User.objects.update(is_staff=True)
    assert client.get("/entry/").status_code == 403
    User.objects.get().user_permissions.add(Permission.objects.get(codename="add_port"))
    User.objects.update(is_staff=False)
    assert read(client.get("/entry/")).texts("//th[@scope='row']") == ["Ports"]
    saved(client.post("/entry/license/port/add/", {"code": "INBOM4"}))
    assert client.get("/entry/license/company/").status_code == 403


@pytest.mark.parametrize("role", ["viewer", "auditor"])
def test_who_may_look_writes_nothing(role: str, log_in: LogIn, operator: Client) -> None:
    bill, allotment = bill_of("1"), allotment_of("1")
    pages = [change(each) for each in (License.objects.first(), bill, allotment, Company.objects.get())]
    typed = {page: form(operator, page) for page in pages}
    before = facts()
    client = log_in(role)
    for page in pages:
        shown = read(client.get(page))
        assert not shown.tree.xpath("//form[contains(@id, '_form')]//input[not(@type='hidden')]"), page
        assert client.post(page, typed[page] | {"_save": "Save"}).status_code == 403
        assert client.post(page.replace("change", "delete"), {"post": "yes"}).status_code == 403
    for page in (BILL, ALLOTMENT, "/entry/license/license/add/"):
        assert client.post(page, {"number": "1"}).status_code == 403
    assert facts() == before
    assert f"{NUMBER} / 1" in read(client.get(change(bill))).texts("//td[@class='field-item']/p")


def test_operators_delete_nothing_and_are_told_what_to_do_instead(log_in: LogIn) -> None:
    operator, administrator = log_in("operator"), log_in("administrator")
    bill, allotment, license = bill_of("1200"), allotment_of("1", item(1, OTHER)), License.objects.first()
    for fact in (bill, License.objects.first(), Company.objects.get()):
        assert operator.post(delete(fact), {"post": "yes"}).status_code == 403
    saved(post(operator, change(bill), **{"lines-0-DELETE": "on"}))
    assert BillOfEntryLine.objects.count() == 1
    advice = "//fieldset/p[@class='help']"
    for page, told in (
        (bill, ["set its quantity and amounts to 0 instead."]),
        (allotment, ["set its quantity and amounts to 0 instead."]),
        (license, ["set its quantity and amounts to 0 instead.", "set its quantity to 0 instead."]),
        (ItemName.objects.get(), ["Only an administrator may delete a rule."]),
    ):
        shown = read(operator.get(change(page))).texts(advice)
        assert [words.rpartition(": ")[2] for words in shown] == told
        assert read(administrator.get(change(page))).texts(advice) == []
        assert read(log_in("viewer").get(change(page))).texts(advice) == []
    saved(post(operator, change(bill), **{"lines-0-cif_fc": "0", "lines-0-quantity": "0"}))
    drain()
    assert one("SELECT balance_cif::text FROM ledger_licensebalance WHERE license_id = 1") == "1200.00"


def test_no_balance_can_be_entered(administrator: Client) -> None:
    for model in ("licensebalance", "importitembalance", "licensechange"):
        assert administrator.get(f"/entry/ledger/{model}/").status_code == 404
    page = read(administrator.get(change(License.objects.first())))
    assert "1,200.00: credit 1,200.00, debited 0.00, allotted 0.00" in page.text(
        "//div[contains(@class,'field-stored')]"
    )
    assert page.texts("//td[@class='field-available']/p")[:2] == ["100, value 1,200.00", "100, value 500.00"]
    assert not page.tree.xpath("//*[contains(@name, 'balance') or contains(@name, 'available')]")


def test_links_lead_to_data_entry_and_back(log_in: LogIn) -> None:
    bill, allotment = bill_of("1"), allotment_of("1")
    pages = {f"/licenses/{NUMBER}/": License.objects.first(), f"/bills-of-entry/{bill.pk}/": bill,
             f"/allotments/{allotment.pk}/": allotment}  # fmt: skip
    for page, of in pages.items():
        shown = read(log_in("operator").get(page))
        assert shown.links()["Edit"] == change(of)
        assert shown.links("//header//a")["Data entry"] == "/entry/"
        assert read(log_in("operator").get(change(of))).links("//ul[@class='object-tools']//a")["View on site"] == page
        looked_at = read(log_in("viewer").get(page))
        assert "Edit" not in looked_at.links()
        assert "Data entry" not in looked_at.links("//header//a")
    lists = {
        "/licenses/": ("Add license", "/entry/license/license/add/"),
        "/bills-of-entry/": ("Add bill of entry", BILL),
        "/allotments/": ("Add allotment", ALLOTMENT),
    }
    for page, (words, address) in lists.items():
        assert read(log_in("operator").get(page)).links()[words] == address
        assert words not in read(log_in("viewer").get(page)).links()


@pytest.mark.usefixtures("one_of_each")
def test_the_policy_holds_on_every_page(log_in: LogIn) -> None:
    administrator = log_in("administrator")
    files = set()
    for page in [page for page, who in PAGES.items() if who and page not in NO_PAGES]:
        response = administrator.get(address_of(page))
        rules = dict(rule.split(" ", 1) for rule in response.headers["Content-Security-Policy"].split("; "))
        assert rules["default-src"] == "'self'"
        assert {"script-src", "style-src"}.isdisjoint(rules)
        tree = html.fromstring(response.content.decode())
        assert not tree.xpath("//style | //script[not(@src)] | //@style | //@*[starts-with(name(), 'on')]"), page
        files |= set(tree.xpath("//script/@src | //link[@rel='stylesheet']/@href"))
    assert "/static/desk/entry.css" in files
    for file in files:
        with closing(administrator.get(file)) as response:
            assert response.status_code == 200, file


@pytest.mark.parametrize("of", ["license", "bill", "allotment", "name"])
def test_a_page_asks_as_many_queries_for_one_row_as_for_many(of: str, administrator: Client) -> None:
    bill, allotment = bill_of("1"), allotment_of("1")
    name, code = ItemName.objects.get(), HSCode.objects.create(code="0801")
    ImportItem.objects.update(hs_code=code)
    page = change({"license": License.objects.first(), "bill": bill, "allotment": allotment, "name": name}[of])

    def asked(address: str) -> list[str]:
        with CaptureQueriesContext(connection) as queries:
            assert administrator.get(address).status_code == 200
        return [query["sql"] for query in queries]

    asked(page)  # what a process asks once
    few = asked(page)
    for serial in range(5, 40):
        more = ImportItem.objects.create(license_id=1, serial_number=serial, hs_code=code)
        more.item_names.add(name)
        ExportItem.objects.create(license_id=1, norm=name.sion_norm)
        BillOfEntryLine.objects.create(bill_of_entry=bill, import_item=more)
        AllotmentLine.objects.create(allotment=allotment, import_item=more)
        MatchRule.objects.create(item_name=name, words=f"w{serial}")
    many = asked(page)
    if of == "allotment":
        assert len(asked(f"{BILL}?allotment={allotment.pk}")) <= 14
    assert len(many) == len(few) <= 14, many
    assert len(asked(page.replace("1/change/", ""))) <= 8
