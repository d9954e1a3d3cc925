"""Home and the list: searched, filtered, sorted, added up."""

import re
from datetime import datetime, time, timedelta
from decimal import Decimal
from functools import partial
from io import StringIO

import pytest
from django.core.management import call_command
from django.test import Client
from django.utils import timezone
from pytest_django import Settings

from ledger.engine import drain
from ledger.models import Allotment
from license.clock import business_date
from license.formats import day
from license.models import Company, License, Port
from reconcile.models import ReconciliationRun
from reconcile.report import title
from tests.web.conftest import KINDS, Kind, LogIn, Shown, make, read

pytestmark = pytest.mark.usefixtures("desk")

STATES = "active expiring-30 expiring-60 expiring-90 expired null overdrawn pending quarantined".split()  # noqa: SIM905


def numbers(shown: Shown) -> list[str]:
    return [row[0] for row in shown.rows()]


def ask(client: Client, **query: object) -> Shown:
    return read(client.get("/licenses/", query))


@pytest.mark.parametrize("state", STATES)
def test_a_state_finds_what_the_facts_say(state: str, viewer: Client) -> None:
    assert sorted(numbers(ask(viewer, state=state))) == [
        number for number, kind in KINDS.items() if state in kind.states.split()
    ]


@pytest.mark.parametrize(
    ("typed", "found"),
    [
        ("0310000004", ["0310000004"]),
        ("310000004", ["0310000004"]),  # a spreadsheet has eaten the zero
        (" 03 1000 0004 ", ["0310000004"]),
        ("310000004.0", ["0310000004"]),
        ("kochi", ["0310000002"]),
        ("K000000001", ["0310000002"]),
        ("040/00017", ["0310000001"]),
        ("00017/am", ["0310000001"]),
        ("KOCHI SP", ["0310000002"]),
        ("k0000", ["0310000002"]),
        ("00000001", []),  # in the middle of an IEC
        ("040_00017", []),
        ("040/00017\\", []),
        ("000001", ["0310000001", "0310000010", "0310000011", "0310000012"]),
        ("nothing like that", []),
        ("%", []),
        ("_", []),
        ("'; --", []),
    ],
)
def test_search(typed: str, found: list[str], viewer: Client) -> None:
    assert set(found) <= set(numbers(ask(viewer, q=typed))) or not found
    assert sorted(numbers(ask(viewer, q=typed))) == [
        n for n in KINDS if n in found or (typed == "000001" and "000001" in n)
    ]


def test_search_and_state_together(viewer: Client) -> None:
    assert numbers(ask(viewer, q="surat", state="expired")) == ["0310000006"]
    assert "No license fits." in ask(viewer, q="kochi", state="expired").text("//p[@class='empty']")


@pytest.mark.parametrize(
    ("sort", "column", "last"),
    [("number", 0, None), ("exporter", 1, "–"), ("expiry", 2, "–"), ("credit", 4, "–"), ("debited", 5, "–"),
     ("allotted", 6, "–"), ("balance", 7, "–")],
)  # fmt: skip
def test_sort(sort: str, column: int, last: str | None, viewer: Client) -> None:
    License.objects.create(license_number="0310000099", license_date="2026-01-01")  # without a balance yet
    for prefix in ("", "-"):
        shown = ask(viewer, sort=prefix + sort)
        keys = [key(row[column]) for row in shown.rows()]
        known = [k for k in keys if k is not None]
        assert known == sorted(known, reverse=bool(prefix))
        assert keys == known + [None] * (len(keys) - len(known))
        assert (None in keys) is (last is not None)
        assert shown.tree.xpath("//th[@aria-sort]/@aria-sort") == ["descending" if prefix else "ascending"]


def test_the_list_begins_with_what_expires_next_and_ends_with_what_has_long_expired(viewer: Client) -> None:
    long_ago = License.objects.get(license_number="0310000001")
    License.objects.filter(pk=long_ago.pk).update(license_expiry_date="2020-01-01")
    dues = [key(row[2]) for row in ask(viewer).rows()]
    today = datetime.combine(business_date(), time())
    assert [due for due in dues if due and due >= today] == sorted(due for due in dues if due and due >= today)
    assert dues[0] == today
    assert dues[-3:] == [None, today - timedelta(days=1), datetime(2020, 1, 1)]  # noqa: DTZ001


def key(cell: str) -> object:
    """By which a person would sort a cell; None for a dash."""
    if cell == "–":
        return None
    if re.fullmatch(r"[0-9,]+\.[0-9]{2}", cell):
        return Decimal(cell.replace(",", ""))
    if re.fullmatch(r"[0-9]{2} [A-Z][a-z]{2} [0-9]{4}", cell):
        return datetime.strptime(cell, "%d %b %Y")  # noqa: DTZ007
    return cell


def test_amounts_of_different_currencies_are_never_added(viewer: Client) -> None:
    totals = ask(viewer).rows("//tfoot/tr")
    assert totals == [
        ["All 11", "", "", "USD", "1,10,000.00", "31,500.51", "0.00", "80,999.99", ""],
        ["All 1", "", "", "EUR", "1,11,302.61", "0.00", "0.00", "1,11,302.61", ""],
    ]


def test_totals_are_of_all_that_is_found_not_of_the_page(viewer: Client) -> None:
    port = Port.objects.get()
    for n in range(100, 160):
        make(f"0310000{n}", Kind("active"), port)
    drain()
    first, second = ask(viewer, q="0310000", state="active"), ask(viewer, q="0310000", state="active", page=2)
    assert first.rows("//tfoot/tr") == second.rows("//tfoot/tr")
    found = [n for n, kind in KINDS.items() if "active" in kind.states] + [f"0310000{n}" for n in range(100, 160)]
    assert len(numbers(first)) == 50
    assert sorted(numbers(first) + numbers(second)) == sorted(found)
    assert first.text("//caption").startswith(f"{len(found)} licenses, page 1 of 2")
    assert viewer.get("/licenses/" + first.links("//nav[@class='pages']//a")["Next"]).context["page"].number == 2
    assert first.links("//nav[@class='pages']//a")["Next"] == "?q=0310000&state=active&page=2"


@pytest.mark.parametrize("page", ["0", "-1", "abc", "", "999999999999999999999", "1.5", "\0"])
def test_a_page_that_is_none_is_the_nearest(page: str, viewer: Client) -> None:
    assert len(numbers(ask(viewer, page=page))) == len(KINDS)


@pytest.mark.parametrize("query", [{"sort": "pk; DROP TABLE"}, {"sort": "\0"}, {"sort": "balance__pk"}, {"other": "1"}])
def test_what_makes_no_sense_changes_nothing(query: dict[str, str], viewer: Client) -> None:
    assert numbers(ask(viewer, **query)) == numbers(ask(viewer))


@pytest.mark.parametrize("query", [{"state": "everything"}, {"q": "\0"}])
def test_what_cannot_be_asked_is_said(query: dict[str, str], viewer: Client) -> None:
    shown = ask(viewer, **query)
    assert len(numbers(shown)) == len(KINDS)
    assert shown.text("//p[@role='alert']")


def test_marks_and_figures(viewer: Client) -> None:
    rows = {row[0]: row for row in ask(viewer).rows()}
    assert rows["0310000008"][3:] == ["USD", "10,000.00", "12,500.50", "0.00", "0.00", "overdrawn null"]
    assert rows["0310000010"][3:] == ["EUR", "1,11,302.61", "0.00", "0.00", "1,11,302.61", ""]
    assert [rows[f"03100000{n}"][8] for n in ("06", "11", "12")] == ["expired", "change pending", "in quarantine"]


def test_home_counts_what_its_links_find(log_in: LogIn) -> None:
    auditor = log_in("auditor")
    call_command("sync_licenses", stdout=StringIO())
    # waits for no bill of entry, and has no line yet
    Allotment.objects.create(type="ARO", company=Company.objects.first(), required_quantity=5)
    home = read(auditor.get("/"))
    tiles, system = home.links("//ul[@class='tiles']//a"), home.links("//section[@aria-labelledby='system']//a")
    run = ReconciliationRun.objects.get()
    assert system.pop(f"{title(run)}: 12 checked, 1 drifted, 0 repaired") == f"/reconciliation/{run.pk}/"
    assert len(tiles) == 1 + len(STATES) + 2
    assert "1 Allotments that are still to be allotted" in tiles
    assert len(system) == len(run.finding_counts) + 1
    for said, address in [*tiles.items(), *system.items()]:
        assert int(said.split()[0]) == len(numbers(read(auditor.get(address)))), said
    assert [said for said in tiles if said.startswith("12 ")] == ["12 Allotments without a bill of entry yet", "12 All"]
    assert {"1 license", "1 Overdrawn", "2 Null since the last night"} <= system.keys()
    assert "1 change pending, on 1 license." in home.text("//section[@aria-labelledby='system']")


def test_home_says_whether_the_balances_are_right(log_in: LogIn, settings: Settings) -> None:
    def said() -> str:
        return read(log_in("auditor").get("/")).text("//section[@aria-labelledby='system']")

    assert "There has been none yet" in said()
    make_run = partial(ReconciliationRun.objects.create, business_date=business_date(), finished_at=timezone.now())
    make_run(status="complete")
    assert "All balances equalled their facts." in said()
    assert "It found nothing to look at" in said()
    make_run(status="incomplete")
    assert "Needs a look." in said()


def test_home_says_that_a_night_has_not_begun(log_in: LogIn, settings: Settings) -> None:
    def complaints() -> list[str]:
        return read(log_in("auditor").get("/")).texts("//*[@role='alert']")[1:]  # after the quarantine

    settings.OWED_NIGHT_SECONDS = 0
    assert complaints() == []  # nor has any run before
    today = business_date()
    ReconciliationRun.objects.create(
        business_date=today - timedelta(days=1), trigger="night", status="complete", finished_at=timezone.now()
    )
    assert complaints() == [f"The night of {day(today)} has not begun: are beat and a worker up?"]
    settings.OWED_NIGHT_SECONDS = 86_400
    assert complaints() == []
    settings.OWED_NIGHT_SECONDS = 0
    ReconciliationRun.objects.create(business_date=today, trigger="night")
    assert complaints() == []


def test_an_empty_desk_says_how_to_begin(viewer: Client) -> None:
    License.objects.all().delete()
    drain()
    assert "import_icegate" in ask(viewer).text("//p[@class='empty']")
    assert read(viewer.get("/")).links("//ul[@class='tiles']//a")["0 All"] == "/licenses/"


def test_what_people_typed_is_text(viewer: Client) -> None:
    hostile = "<script>alert('1')</script>&amp;\"><img src=x>"
    Company.objects.filter(name="Surat Foods").update(name=hostile)
    License.objects.filter(license_number="0310000001").update(license_number="a/b ?#&'\"<i>", currency="<b>")
    response = viewer.get("/licenses/", {"q": hostile})
    assert hostile.encode() not in response.content
    shown = read(response)
    assert shown.rows()[0][1] == hostile
    assert shown.tree.xpath("//header//input[@name='q']/@value") == [hostile]
    address = shown.links()["a/b ?#&'\"<i>"]
    assert read(viewer.get(address)).text("//h1") == "License a/b ?#&'\"<i>"


@pytest.mark.parametrize(
    "number", ["", " ", "a\nb", "\n", "/", "a/", "//a", "100%", "%2F", "?q=1", "#1", "é", "1;2", "\\", "0310000001/x"]
)
def test_whatever_a_number_is_it_has_a_page(number: str, viewer: Client) -> None:
    License.objects.filter(license_number="0310000001").update(license_number=number)
    rows = ask(viewer, sort="number").tree.xpath("//main//tbody/tr/th/a")
    assert len(rows) == len(KINDS)
    [link] = [a for a in rows if not (a.text or "").startswith("03100000") or a.text == number]
    assert link.text.strip()[:1] or not number.strip()
    assert viewer.get(link.get("href")).context["license"].license_number == number
