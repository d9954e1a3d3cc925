"""Data entry: who may enter what, what an entry becomes, and what is said before it overdraws."""

from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
from django.contrib.auth.models import Group, Permission, User
from django.db import connection
from django.http import HttpResponse
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from lxml import html

from desk.entry import base, site
from ledger import signals
from ledger.engine import drain
from ledger.keys import Keys
from ledger.models import Allotment, AllotmentLine, BillOfEntry, BillOfEntryLine, LicenseChange
from license.models import (
    Company,
    ExportItem,
    HSCode,
    ImportItem,
    ItemName,
    License,
    MatchRule,
    Port,
    SionNorm,
    Source,
)  # fmt: skip
from tests.conftest import assert_balances_follow_facts, one, sql
from tests.web.conftest import LogIn, read

pytestmark = pytest.mark.usefixtures("database")

NUMBER = "0310000008"
OTHER = "0310000009"


@pytest.fixture
def operator(log_in: LogIn) -> Client:
    return log_in("operator")


@pytest.fixture
def administrator(log_in: LogIn) -> Client:
    return log_in("administrator")


@pytest.fixture(autouse=True)
def licenses(database: None) -> None:
    """Two licenses: of 1,200.00 with items of 100 (no value of its own), 100 with 500.00, and two of a pool of 120.00;
    and of 10,000.00 with one item of 1,000."""
    norm = SionNorm.objects.create(code="E5")
    name = ItemName.objects.create(name="Cashew", sion_norm=norm, restriction_percentage=10)
    Company.objects.create(iec="0000000009", name="Pune Mills")
    for number, credit, quantities in ((NUMBER, "1200", (100, 100, 100, 100)), (OTHER, "10000", (1000,))):
        license = License.objects.create(license_number=number, license_date="2026-01-01")
        ExportItem.objects.create(license=license, cif_fc=credit, norm=norm, description="Biscuits")
        for serial, quantity in enumerate(quantities, 1):
            item = ImportItem.objects.create(license=license, serial_number=serial, quantity=quantity, unit="KGS")
            if serial == 2:
                ImportItem.objects.filter(pk=item.pk).update(cif_fc=500, description="Sugar")
            elif serial > 2:
                item.item_names.add(name)
    drain()


@pytest.fixture(autouse=True)
def quick_passwords(settings: Any) -> None:
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


def item(serial: int, number: str = NUMBER) -> ImportItem:
    return ImportItem.objects.get(license__license_number=number, serial_number=serial)


# ── Forms, as a browser fills them in ─────────────────────────────────────────────────────────────────────────────────


def form(client: Client, address: str) -> dict[str, Any]:
    """What the form at an address would post if nobody touched it."""
    shown = read(client.get(address))
    [found] = shown.tree.xpath("//form[contains(@id, '_form') and @id != 'logout-form']")
    posted: dict[str, Any] = {}
    for key, value in found.form_values():
        posted.setdefault(key, []).append(value)
    return posted


def post(client: Client, address: str, *, lines: list[dict[str, Any]] | None = None, **typed: Any) -> HttpResponse:
    """Fill the form at an address in and save it; `lines` are added to those that are there."""
    posted = form(client, address)
    if lines is not None:
        first = int(posted["lines-INITIAL_FORMS"][0])
        posted["lines-TOTAL_FORMS"] = first + len(lines)
        for n, line in enumerate(lines, first):
            posted |= {f"lines-{n}-{name}": value for name, value in line.items()}
            posted.setdefault(f"lines-{n}-cif_inr", "0")
    return client.post(address, posted | typed | {"_save": "Save"})


def saved(response: HttpResponse) -> None:
    assert response.status_code == 302, errors(response)


def errors(response: HttpResponse) -> list[str]:
    return read(response).texts("//ul[contains(@class, 'errorlist')]/li")


def warnings(response: HttpResponse) -> list[str]:
    """What the form warns of; all else of it is as it was typed, and nothing is wrong with it."""
    shown = read(response)
    assert not shown.tree.xpath("//ul[contains(@class, 'errorlist')] | //p[@class='errornote']")
    assert shown.tree.xpath("//div[@class='overdraws' and @role='alert']//input[@type='checkbox']")
    return shown.texts("//div[@class='overdraws']//li")


def confirmation(response: HttpResponse) -> str:
    return str(read(response).tree.xpath("//input[@name='overdraw']/@value")[0])


def line(of: ImportItem, cif_fc: str = "0", quantity: str = "0") -> dict[str, Any]:
    return {"import_item": of.pk, "cif_fc": cif_fc, "quantity": quantity}


WRITTEN = (
    "license_license", "license_exportitem", "license_importitem", "ledger_billofentry", "ledger_billofentryline",
    "ledger_allotment", "ledger_allotmentline", "ledger_allotment_bills_of_entry", "ledger_licensechange",
    "django_admin_log",
)  # fmt: skip


def facts() -> list[Any]:
    return [sql(f"SELECT * FROM {table} ORDER BY 1") for table in WRITTEN]


BILL = "/entry/ledger/billofentry/add/"
ALLOTMENT = "/entry/ledger/allotment/add/"


def change(of: Any) -> str:
    return reverse(f"entry:{of._meta.app_label}_{of._meta.model_name}_change", args=[of.pk])


def delete(of: Any) -> str:
    return reverse(f"entry:{of._meta.app_label}_{of._meta.model_name}_delete", args=[of.pk])


def bill_of(cif_fc: str, of: ImportItem | None = None, *, quantity: str = "0", number: str = "4711") -> BillOfEntry:
    bill = BillOfEntry.objects.create(number=number, date="2026-02-01")
    BillOfEntryLine.objects.create(bill_of_entry=bill, import_item=of or item(1), cif_fc=cif_fc, quantity=quantity)
    return bill


def allotment_of(cif_fc: str, of: ImportItem | None = None, **more: Any) -> Allotment:
    allotment = Allotment.objects.create(company=Company.objects.get(), **more)
    AllotmentLine.objects.create(allotment=allotment, import_item=of or item(1), cif_fc=cif_fc)
    return allotment


# ── Who may do what ───────────────────────────────────────────────────────────────────────────────────────────────────

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
    assert sorted(names(site.get_urls())) == sorted(PAGES)


@pytest.fixture
def one_of_each(log_in: LogIn) -> None:
    """Of whatever has a page, with the id 1."""
    bill_of("1")
    allotment_of("1")
    Port.objects.create(code="INNSA1")
    HSCode.objects.create(code="0801")
    sql("ALTER SEQUENCE auth_user_id_seq RESTART")
    User.objects.create(username="first")


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
    assert f"{NUMBER} / 1" in read(client.get(change(bill))).texts("//td[@class='field-item']")


def test_operators_delete_nothing(operator: Client) -> None:
    bill = bill_of("1")
    for fact in (bill, License.objects.first(), Company.objects.get()):
        assert operator.post(delete(fact), {"post": "yes"}).status_code == 403
    saved(post(operator, change(bill), **{"lines-0-DELETE": "on"}))
    assert BillOfEntryLine.objects.count() == 1


def test_no_balance_can_be_entered(administrator: Client) -> None:
    for model in ("licensebalance", "importitembalance", "licensechange"):
        assert administrator.get(f"/entry/ledger/{model}/").status_code == 404
    page = read(administrator.get(change(License.objects.first())))
    assert "1,200.00: credit 1,200.00, debited 0.00, allotted 0.00" in page.text(
        "//div[contains(@class,'field-stored')]"
    )
    assert page.texts("//td[@class='field-available']")[:2] == ["100, value 1,200.00", "100, value 500.00"]
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


# ── What is entered ───────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_new_license_begins_with_a_row_of_each(operator: Client) -> None:
    add = "/entry/license/license/add/"
    assert {"export_items-0-cif_fc", "import_items-0-quantity"} <= form(operator, add).keys()
    saved(post(operator, add, license_number="0318034063", license_date="05/03/2026"))
    entered = License.objects.get(license_number="0318034063")
    assert not entered.export_items.exists(), "a row that nobody has touched is none"
    assert not entered.import_items.exists()


def test_numbers_stand_in_a_form_as_on_the_pages_and_mean_the_same(operator: Client) -> None:
    ExportItem.objects.filter(license__license_number=NUMBER).update(cif_fc="111302.61")
    ImportItem.objects.filter(license__license_number=NUMBER, serial_number=2).update(
        quantity="123456.5", restriction_percentage="7.25"
    )
    drain()
    shown = form(operator, change(License.objects.get(license_number=NUMBER)))
    fields = ("export_items-0-cif_fc", "import_items-1-quantity", "import_items-1-restriction_percentage")
    assert [shown[field] for field in fields] == [["1,11,302.61"], ["1,23,456.5"], ["7.25"]]
    before = items()
    saved(post(operator, change(License.objects.get(license_number=NUMBER))))
    assert items() == before


def items() -> list[Any]:
    return [sql(f"SELECT * FROM license_{table} ORDER BY 1") for table in ("exportitem", "importitem")]


def test_from_an_entry_to_a_balance(operator: Client) -> None:
    license = {
        "license_number": "318034063", "license_date": "05/03/2026", "license_expiry_date": "2027-03-04",
        "notification_number": "98 / 2009-Cus", "currency": "usd",
        "export_items-TOTAL_FORMS": 1, "export_items-0-norm": SionNorm.objects.get().pk,
        "export_items-0-cif_fc": "1,11,302.61", "export_items-0-net_quantity": "0", "export_items-0-fob_inr": "0",
        "export_items-0-cif_inr": "0",
        "import_items-TOTAL_FORMS": 1, "import_items-0-serial_number": 1, "import_items-0-quantity": "1,000.500",
        "import_items-0-cif_fc": "0", "import_items-0-cif_inr": "0", "import_items-0-unit": "KGS",
        "import_items-0-item_names": [ItemName.objects.get().pk],
    }  # fmt: skip
    saved(post(operator, "/entry/license/license/add/", **license))
    entered = License.objects.get(license_number="0318034063")
    assert (entered.license_date.isoformat(), entered.license_expiry_date.isoformat()) == ("2026-03-05", "2027-03-04")
    assert (entered.notification_number, entered.currency, entered.is_expiry_presumed) == ("098/2009", "USD", False)
    assert entered.export_items.get().source == Source.MANUAL
    first = item(1, "0318034063")
    assert list(first.item_names.all()) == [ItemName.objects.get()]
    saved(post(operator, BILL, number="4711", date="05-03-2026", lines=[line(first, "20,000", "40.5")]))
    saved(post(operator, ALLOTMENT, company=1, lines=[line(first, "1000", "10")]))
    drain()
    assert_balances_follow_facts()
    figures = read(operator.get("/licenses/0318034063/")).texts("//ul[@class='tiles figures']/li")
    assert figures == ["90,302.61 Balance, USD", "1,11,302.61 Credit", "20,000.00 Debited", "1,000.00 Allotted"]
    [bill] = BillOfEntry.objects.all()
    assert (bill.date.isoformat(), bill.lines.get().source, bill.lines.get().transaction_type) == (
        "2026-03-05",
        "manual",
        "D",
    )
    assert read(operator.get("/entry/")).texts("//ul[@class='actionlist']/li/a")[1] == "BE 4711 of 05 Mar 2026"


@pytest.mark.parametrize(
    ("model", "typed", "kept"),
    [
        ("company", {"iec": "388021221", "name": "Surat Foods"}, {"iec": "0388021221"}),
        ("port", {"code": "innsa1"}, {"code": "INNSA1"}),
        ("hscode", {"code": "1511.90"}, {"code": "151190"}),
        ("sionnorm", {"code": "e126"}, {"code": "E126"}),
        (
            "itemname",
            {"name": "Palm oil", "restriction_percentage": "7.5", "match_rules-TOTAL_FORMS": 1,
             "match_rules-0-words": "Palm  OIL", "match_rules-0-hs_prefix": "15.11"},
            {"name": "Palm oil", "match_rules__words": "palm oil", "match_rules__hs_prefix": "1511"},
        ),
    ],
)  # fmt: skip
def test_what_lists_hold(model: str, typed: dict[str, Any], kept: dict[str, str], operator: Client) -> None:
    saved(post(operator, f"/entry/license/{model}/add/", **typed))
    from django.apps import apps

    entered = apps.get_model("license", model).objects.get(**kept)
    assert str(entered) in operator.get(f"/entry/license/{model}/", {"q": str(entered)[-4:]}).content.decode()
    saved(post(operator, change(entered)))  # and once more, untouched
    if model == "itemname":
        nothing = {"match_rules-0-words": "", "match_rules-0-hs_prefix": ""}
        assert errors(post(operator, change(entered), **nothing)) == [
            "A rule says something: words, the beginning of an HS code, or both."
        ]
    assert apps.get_model("license", model).objects.filter(**kept).count() == 1


ROW = {"import_items-TOTAL_FORMS": 1, "import_items-0-serial_number": 1}
RULE = {"name": "Oil", "match_rules-TOTAL_FORMS": 1}
LINE = ("a line",)
BAD = {
    "not a date": ("license/license", {"license_date": "13/13/2026"}, "This is not a date; write it as DD/MM/YYYY."),
    "a year": ("license/license", {"license_date": "01/01/0206"}, "The year is 206; correct it."),
    "expired before": (
        "license/license", {"license_date": "05/03/2026", "license_expiry_date": "04/03/2026"},
        "It cannot expire before its license date.",
    ),
    "a long number": ("license/license", {"license_number": "12345678901"}, "“12345678901” has 11 digits; at most 10"),
    "there already": (
        "license/license", {"license_number": "310000008"}, "License with this License number already exists.",
    ),
    "a currency": ("license/license", {"currency": "U$D"}, "“U$D” is not a currency; it has three letters"),
    "serial 0": ("license/license", {**ROW, "import_items-0-serial_number": 0}, "greater than or equal to 1."),
    "percentage": (
        "license/license", {**ROW, "import_items-0-restriction_percentage": 101}, "less than or equal to 100.",
    ),
    "iec": ("license/company", {"iec": "ABC"}, "it has 10 digits or the form ABCDE1234F."),
    "prefix": ("license/itemname", {**RULE, "match_rules-0-hs_prefix": "151"}, "“151” has 3 digits; write 2, 4, 6"),
    "words": ("license/itemname", {**RULE, "match_rules-0-words": "***"}, "“***” is not a list of words"),
    "other case": ("license/itemname", {"name": "CASHEW"}, "There is an item name that differs in its capitals alone"),
    "negative": (*LINE, {"cif_fc": "-1"}, "greater than or equal to 0."),
    "decimals": (*LINE, {"cif_fc": "1.005"}, "no more than 2 decimal places."),
    "grouped wrong": (*LINE, {"cif_fc": "1,50"}, "“1,50” "),
    "no number": (*LINE, {"quantity": "NaN"}, "“NaN” is not a"),
    "too large": (*LINE, {"cif_fc": "99999999999999"}, "is too large; at most 13 digits may stand before the point."),
    "no item": (*LINE, {"import_item": ""}, "This field is required."),
    "no such item": (*LINE, {"import_item": "77"}, "Select a valid choice."),
    "twice": (
        "ledger/billofentry", {"lines": [{"import_item": 2, "cif_fc": "1", "quantity": "0"}] * 2},
        f"{NUMBER} / 2 · Sugar stands 2 times; write it once, with the sum.",
    ),
    "same bill": (
        "ledger/billofentry", {"number": "0001"}, "Bill of entry with this Number, Date and Port already exists.",
    ),
    "number": ("ledger/billofentry", {"number": "47 11!"}, "“47 11!” is not a number of a document"),
}  # fmt: skip
"""By what is wrong: where, what is typed (a row of a bill of entry, where it is only that), and what is said."""


@pytest.mark.parametrize("bad", BAD)
def test_what_is_wrong_is_said_to_people(bad: str, operator: Client) -> None:
    where, typed, said = BAD[bad]
    if where == "a line":
        where, typed = "ledger/billofentry", {"lines": [{"import_item": 1, "cif_fc": "1", "quantity": "0"} | typed]}
    good = {
        "license/license": {
            "license_number": "0310000077", "license_date": "05/03/2026",
            **{f"import_items-0-{name}": "0" for name in ("quantity", "cif_fc", "cif_inr")},
        },
        "license/company": {}, "license/itemname": {}, "ledger/billofentry": {"number": "0002"},
    }[where]  # fmt: skip
    if where == "ledger/billofentry":
        BillOfEntry.objects.create(number="0001")
        typed = {"lines": [], **typed}
    before = facts()
    response = post(operator, f"/entry/{where}/add/", **(good | typed))
    assert any(said in error for error in errors(response)), errors(response)
    assert "onstraint" not in response.content.decode()
    assert facts() == before


def test_deleting_what_is_in_use_is_refused_with_what_uses_it(administrator: Client) -> None:
    License.objects.update(exporter=1)
    page = read(administrator.get(delete(Company.objects.get())))
    assert f"License: {NUMBER}" in page.text("//ul[@id='deleted-objects']")
    assert administrator.post(delete(Company.objects.get()), {"post": "yes"}).status_code == 200
    assert Company.objects.exists()
    License.objects.update(exporter=None)
    saved(administrator.post(delete(Company.objects.get()), {"post": "yes"}))
    assert not Company.objects.exists()


# ── What came from customs' ledger ────────────────────────────────────────────────────────────────────────────────────


def test_rows_of_a_ledger_keep_what_the_ledger_says(administrator: Client) -> None:
    """Whatever is posted, and people may fill in what is theirs."""
    License.objects.update(ledger_as_of="2026-04-01", is_expiry_presumed=True, license_expiry_date="2027-01-01")
    ExportItem.objects.update(source=Source.ICEGATE, norm=None)
    bill = bill_of("100", quantity="5")
    BillOfEntryLine.objects.update(source=Source.ICEGATE, disputed_since="2026-05-01")
    page = read(administrator.get(change(bill)))
    assert page.texts("//td[@class='field-origin']")[0] == "ICEGATE ledger, not in customs' ledger of 01 May 2026"
    hostile = {
        "number": "1",
        "date": "01/01/2020",
        "lines-0-cif_fc": "1",
        "lines-0-quantity": "1",
        "lines-0-import_item": 2,
    }
    saved(post(administrator, change(bill), company=1, **hostile))
    bill.refresh_from_db()
    assert (bill.number, f"{bill.date}", bill.company_id) == ("4711", "2026-02-01", 1)
    assert sql("SELECT import_item_id, cif_fc::text, quantity::text, source FROM ledger_billofentryline") == [
        (1, "100.00", "5.000", "icegate")
    ]
    assert (
        "A line from customs' ledger stays" in errors(post(administrator, change(bill), **{"lines-0-DELETE": "on"}))[0]
    )

    license = License.objects.first()
    assert "Presumed" in administrator.get(change(license)).content.decode()
    norm = SionNorm.objects.get().pk
    hostile = {"license_number": "1", "export_items-0-cif_fc": "1", "export_items-0-norm": norm}
    saved(post(administrator, change(license), **hostile))
    license.refresh_from_db()
    assert (license.license_number, license.is_expiry_presumed) == (NUMBER, True)
    assert list(license.export_items.values_list("norm", "cif_fc", "source")) == [(norm, 1200, "icegate")]
    saved(post(administrator, change(license), license_expiry_date="30/06/2027"))
    license.refresh_from_db()
    assert (f"{license.license_expiry_date}", license.is_expiry_presumed) == ("2027-06-30", False)


def test_a_ledger_may_have_a_credit_beside_the_debit_of_an_item(operator: Client) -> None:
    bill = bill_of("100")
    BillOfEntryLine.objects.create(bill_of_entry=bill, import_item=item(1), cif_fc=5, transaction_type="C")
    saved(post(operator, change(bill), company=1))
    assert "stands 2 times" in errors(post(operator, change(bill), lines=[line(item(1), "1")]))[0]


def test_what_customs_has_debited_is_not_deleted_with_what_it_hangs_on(administrator: Client) -> None:
    bill = bill_of("100")
    BillOfEntryLine.objects.update(source=Source.ICEGATE)
    ExportItem.objects.filter(license=1).update(source=Source.ICEGATE)
    before = facts()
    license = change(License.objects.first())
    assert errors(post(administrator, license, **{"import_items-0-DELETE": "on"})) == [
        "Item 1 stays: BE 4711 of 01 Feb 2026 draws on it. Delete the lines that draw on it first."
    ]
    assert "stays" in errors(post(administrator, license, **{"export_items-0-DELETE": "on"}))[0]
    page = read(administrator.post(delete(bill), {"post": "yes"}))
    assert f"Debit of 100.00 from customs' ledger, {NUMBER} / 1" in page.text("//ul[@id='deleted-objects']")
    assert facts() == before
    allotment_of("1", item(2))
    assert "Allotment 1 draws on it" in errors(post(administrator, license, **{"import_items-1-DELETE": "on"}))[0]
    saved(post(administrator, license, **{"import_items-3-DELETE": "on"}))
    saved(administrator.post(delete(bill_of("1", number="5")), {"post": "yes"}))


def test_what_only_the_database_refuses_is_said_in_the_form(operator: Client) -> None:
    bill = bill_of("100")
    BillOfEntryLine.objects.create(bill_of_entry=bill, import_item=item(2), cif_fc=5)
    name = ItemName.objects.get()
    for words in "ab":
        MatchRule.objects.create(item_name=name, words=words)
    exchanged = {
        License.objects.first(): {"import_items-0-serial_number": 2, "import_items-1-serial_number": 1},
        bill: {"lines-0-import_item": 2, "lines-1-import_item": 1},
        name: {"match_rules-0-words": "b", "match_rules-1-words": "a"},
    }
    before = facts()
    for of, typed in exchanged.items():
        assert any("two rows exchange" in error for error in errors(post(operator, change(of), **typed))), of
    twice = {**form(operator, change(bill)), "lines-INITIAL_FORMS": 0, "_save": "Save"}  # entered by somebody else
    assert any("meanwhile" in error for error in errors(operator.post(change(bill), twice)))
    assert facts() == before


@pytest.mark.parametrize("odd", ["\0", "x", "9" * 30, "9" * 5000, "1.5", "²"])
def test_what_no_form_sends_is_refused_and_breaks_nothing(odd: str, operator: Client) -> None:
    before = facts()
    for page, field in (
        (BILL, "port"), (BILL, "allotments"), (BILL, "lines-0-import_item"),
        (change(ItemName.objects.get()), "sion_norm"),
    ):  # fmt: skip
        assert errors(post(operator, page, number="1", **{field: odd})), (page, field)
    assert facts() == before


def test_an_address_that_makes_no_sense_is_refused_and_breaks_nothing(administrator: Client) -> None:
    choice = "/entry/autocomplete/?app_label=license&model_name=license&field_name=exporter&term="
    for refused in (
        f"{choice}%00", "/entry/pick/item/?term=%00", "/entry/ledger/allotment/?type__exact=%00",
        "/entry/auth/user/?is_active__exact=%00", "/entry/license/company/?name__regex=(",
        "/entry/auth/user/?username__regex=(", "/entry/auth/group/?name__regex=(",
        "/entry/auth/user/?_to_field=password",
    ):  # fmt: skip
        assert administrator.get(refused).status_code == 400, refused
    assert read(administrator.get("/entry/ledger/allotment/?type__exact=AT")).text("//*[@id='changelist']")
    assert administrator.get("/entry/auth/user/?is_active__exact=1&groups__id__exact=1").status_code == 200


def test_who_may_not_see_an_allotment_converts_none(log_in: LogIn) -> None:
    allotment = allotment_of("77")
    client = log_in("")
    may = ("add_billofentry", "add_billofentryline")
    User.objects.get().user_permissions.set(Permission.objects.filter(codename__in=may))
    assert "77.00" not in client.get(f"{BILL}?allotment={allotment.pk}").content.decode()


# ── A warning before an entry overdraws ───────────────────────────────────────────────────────────────────────────────


BALANCE = f"License {NUMBER}: balance"
SUGAR = f"License {NUMBER}, item 2: value"
POOL = f"License {NUMBER}, items 3, 4: pool (10 % by norm E5)"


def test_a_balance(operator: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    announced: list[Keys] = []
    monkeypatch.setattr(signals, "announce", announced.append)
    before = facts()
    typed = {"number": "4712", "date": "05/03/2026", "lines": [line(item(1), "1,500")]}
    response = post(operator, BILL, **typed)
    assert warnings(response) == [
        f"{BALANCE} USD 1,200.00 left, this entry takes 1,500.00 more: it would be overdrawn by 300.00."
    ]
    assert (facts(), announced) == (before, [])
    assert not LicenseChange.objects.exists()
    assert read(response).tree.xpath("//input[@name='lines-0-cif_fc']/@value") == ["1,500"]
    assert "successfully" not in operator.get("/entry/").content.decode()
    # what is confirmed is these numbers, and no others
    confirmed = {**typed, "overdraw": confirmation(response)}
    bill_of("1", number="9")
    changed = post(operator, BILL, **confirmed)
    assert "overdrawn by 301.00" in warnings(changed)[0]
    assert BillOfEntry.objects.count() == 1
    announced.clear()
    saved(post(operator, BILL, **{**typed, "overdraw": confirmation(changed)}))
    assert [keys.import_item_id for keys in announced] == [{1}]
    drain()
    assert_balances_follow_facts()
    assert one("SELECT overdrawn_cif::text FROM ledger_licensebalance WHERE license_id = 1") == "301.00"


def test_exactly_what_is_left_may_be_taken(operator: Client) -> None:
    saved(post(operator, BILL, number="4712", lines=[line(item(1), "1200", "100")]))


def test_a_quantity_and_a_value_of_its_own_and_a_pool(operator: Client) -> None:
    lines = [line(item(1), "0", "100.5"), line(item(2), "501"), line(item(3), "70"), line(item(4), "50.10")]
    of = f"License {NUMBER}, item"
    assert warnings(post(operator, BILL, number="4712", lines=lines)) == [
        f"{of} 1: quantity 100 left, this entry takes 100.5 more: it would be overdrawn by 0.5.",
        f"{of} 2: value USD 500.00 left, this entry takes 501.00 more: it would be overdrawn by 1.00.",
        f"{POOL} USD 120.00 left, this entry takes 120.10 more: it would be overdrawn by 0.10.",
    ]


def test_two_lines_of_one_license_and_two_licenses(operator: Client) -> None:
    lines = [line(item(1), "800"), line(item(2), "401"), line(item(1, OTHER), "10000.01")]
    assert warnings(post(operator, BILL, number="4712", lines=lines)) == [
        f"{BALANCE} USD 1,200.00 left, this entry takes 1,201.00 more: it would be overdrawn by 1.00.",
        f"License {OTHER}: balance USD 10,000.00 left, this entry takes 10,000.01 more: it would be overdrawn by 0.01.",
    ]


def test_what_is_overdrawn_already(operator: Client) -> None:
    bill = bill_of("1500")
    bill_page = change(bill)
    assert warnings(post(operator, bill_page, **{"lines-0-cif_fc": "1600"})) == [
        f"{BALANCE} overdrawn by USD 300.00 already, this entry takes 100.00 more: it would be overdrawn by 400.00."
    ]
    saved(post(operator, bill_page, **{"lines-0-cif_fc": "1400"}))  # less than before, though overdrawn still
    saved(post(operator, bill_page, company=1))
    saved(post(operator, BILL, number="4712", lines=[line(item(1, OTHER), "5")]))
    saved(post(operator, change(License.objects.first()), file_number="17"))


def test_a_line_that_moves_to_another_item(operator: Client) -> None:
    bill = bill_of("400", item(2))
    assert warnings(post(operator, change(bill), **{"lines-0-import_item": item(3).pk})) == [
        f"{POOL} USD 120.00 left, this entry takes 400.00 more: it would be overdrawn by 280.00."
    ]
    saved(post(operator, change(bill), **{"lines-0-import_item": item(1, OTHER).pk}))


def test_less_credit(operator: Client) -> None:
    bill_of("1000")
    page = change(License.objects.first())
    saved(post(operator, page, **{"export_items-0-cif_fc": "1,000.00"}))
    response = post(operator, page, **{"export_items-0-cif_fc": "900"})
    assert warnings(response) == [
        f"{BALANCE} USD 0.00 left, this entry takes 100.00 more: it would be overdrawn by 100.00."
    ]
    response = post(operator, page, **{"import_items-0-quantity": "0", "overdraw": confirmation(response)})
    saved(response)  # nothing was taken of the quantity
    assert one("SELECT cif_fc::text FROM license_exportitem WHERE id = 1") == "1000.00"
    response = post(operator, page, **{"export_items-0-cif_fc": "900"})
    saved(post(operator, page, **{"export_items-0-cif_fc": "900", "overdraw": confirmation(response)}))


def test_deletion_of_lines(administrator: Client) -> None:
    bill = bill_of("1500")
    BillOfEntryLine.objects.create(bill_of_entry=bill, import_item=item(2), cif_fc=1)
    saved(post(administrator, change(bill), **{"lines-0-DELETE": "on"}))
    assert [line.cif_fc for line in bill.lines.all()] == [1]
    bill_of("1100", number="5")
    page = change(License.objects.first())
    assert warnings(post(administrator, page, **{"export_items-0-DELETE": "on"}))[0] == (
        f"{BALANCE} USD 99.00 left, this entry takes 1,200.00 more: it would be overdrawn by 1,101.00."
    )


def test_a_bill_that_converts_an_allotment_does_not_warn(operator: Client) -> None:
    allotment = allotment_of("1100", estimated_arrival_date="2026-05-01")
    page = read(operator.get(change(allotment)))
    convert = page.links("//ul[@class='object-tools']//a")["Convert into a bill of entry"]
    proposed = form(operator, convert)
    assert (proposed["company"], proposed["allotments"]) == ([f"{allotment.company_id}"], [f"{allotment.pk}"])
    assert (proposed["lines-0-import_item"], proposed["lines-0-cif_fc"]) == (["1"], ["1,100.00"])
    without = {**proposed, "number": "4712", "allotments": [], "_save": "Save"}
    assert "overdrawn by 1,000.00" in warnings(operator.post(convert, without))[0]
    saved(operator.post(convert, {**proposed, "number": "4712", "_save": "Save"}))
    drain()
    assert_balances_follow_facts()
    assert sql("SELECT debited_cif::text, allotted_cif::text FROM ledger_licensebalance WHERE license_id = 1") == [
        ("1100.00", "0.00")
    ]
    shown = read(operator.get(change(allotment)))
    assert "BE 4712" in shown.text("//div[contains(@class, 'field-released')]")
    assert "Convert into a bill of entry" not in shown.links("//ul[@class='object-tools']//a")
    assert "allotments" not in {k for k, v in form(operator, convert).items() if v != [""]}  # not a second time
    # without the link it would reserve again
    bill = BillOfEntry.objects.get()
    assert "overdrawn by 1,000.00" in warnings(post(operator, change(bill), allotments=[]))[0]


def test_deleting_a_bill_whose_allotment_then_reserves_again(administrator: Client) -> None:
    bill = bill_of("100")
    allotment_of("1300").bills_of_entry.add(bill)
    before = facts()
    response = administrator.post(delete(bill), {"post": "yes"})
    assert warnings(response) == [
        f"{BALANCE} USD 1,100.00 left, this entry takes 1,200.00 more: it would be overdrawn by 100.00."
    ]
    assert facts() == before
    saved(administrator.post(delete(bill), {"post": "yes", "overdraw": confirmation(response)}))
    assert not BillOfEntry.objects.exists()


def test_an_aro_never_gets_a_bill(operator: Client) -> None:
    aro = allotment_of("1", type="ARO")
    assert "Convert into a bill of entry" not in read(operator.get(change(aro))).links("//ul[@class='object-tools']//a")
    assert "bought at home" in errors(post(operator, BILL, number="1", allotments=[aro.pk]))[0]


def test_a_new_license_that_is_overdrawn_from_the_start(operator: Client) -> None:
    """There is nothing that could be; and one that is renamed is still the same."""
    bill_of("1500")
    saved(post(operator, change(License.objects.first()), license_number="0310000066"))


# ── What is found by typing ───────────────────────────────────────────────────────────────────────────────────────────


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
    for page, found in (
        ("license/license", NUMBER),
        ("ledger/billofentry", "4711"),
        ("ledger/allotment", "Allotment 1"),
    ):
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


# ── People ────────────────────────────────────────────────────────────────────────────────────────────────────────────

PASSWORD = "a long one for 2026"  # noqa: S105


def test_an_administrator_lets_somebody_in(administrator: Client) -> None:
    viewers = Group.objects.get(name="viewer").pk
    typed = {"username": "arjun", "password1": PASSWORD, "password2": PASSWORD, "groups": [viewers]}
    saved(post(administrator, "/entry/auth/user/add/", **typed))
    client = Client()
    assert client.post("/login/", {"username": "arjun", "password": PASSWORD}).url == "/"
    assert client.get("/licenses/").status_code == 200
    assert (
        "too common"
        in errors(
            post(
                administrator,
                "/entry/auth/user/add/",
                **{**typed, "username": "b", "password1": "password", "password2": "password"},
            )
        )[0]
    )
    arjun = User.objects.get(username="arjun")
    posted = form(administrator, change(arjun))
    posted.pop("is_active")
    saved(administrator.post(change(arjun), {**posted, "_save": "Save"}))
    assert client.get("/licenses/").status_code == 302
    assert not User.objects.filter(is_staff=True).exists()


def test_nobody_makes_himself_a_superuser(administrator: Client) -> None:
    me, root = User.objects.get(), User.objects.create_superuser("root", password=PASSWORD)
    saved(post(administrator, change(me), is_superuser="on", is_staff="on", user_permissions=[1]))
    me.refresh_from_db()
    assert (me.is_superuser, me.is_staff, me.user_permissions.count()) == (False, False, 0)
    typed = {"password1": "another long one", "password2": "another long one", "usable_password": "true"}
    for page in (change(root), f"/entry/auth/user/{root.pk}/password/"):
        assert administrator.post(page, typed).status_code == 403
    root.refresh_from_db()
    assert root.check_password(PASSWORD)


def test_everybody_may_change_his_own_password(log_in: LogIn) -> None:
    client = log_in("viewer")
    me = User.objects.get()
    me.set_password(PASSWORD)
    me.save()
    client.force_login(me, backend="django.contrib.auth.backends.ModelBackend")
    typed = {"old_password": PASSWORD, "new_password1": "another long one", "new_password2": "another long one"}
    assert client.post("/entry/password_change/", typed).status_code == 302
    me.refresh_from_db()
    assert me.check_password("another long one")
    assert client.get("/").status_code == 200
