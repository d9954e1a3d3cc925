"""Allotting: what is proposed, what is typed, what is reserved, and what is said when it cannot be."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.http import HttpResponse
from django.test import Client
from django.test.utils import CaptureQueriesContext

from desk import allot
from ledger.allotting import give_up
from ledger.engine import drain
from ledger.models import Allotment, AllotmentLine, BillOfEntry, LicenseChange
from license.clock import business_date
from license.formats import day
from license.models import Company, ExportItem, HSCode, ImportItem, License
from tests.conftest import one, sql
from tests.web.conftest import LogIn, Shown, read

pytestmark = pytest.mark.usefixtures("database")

SUGAR = {"item": "sugar", "quantity": "25", "price": "30"}


@pytest.fixture(autouse=True)
def desk(database: None) -> None:
    """Sugar on three licenses of 1,000.00 that expire in 10, 20 and 30 days: four items of 10 KGS, two of the first."""
    surat = Company.objects.create(iec="0000000001", name="Surat Foods")
    Company.objects.create(iec="0000000009", name="Pune Mills")
    Company.objects.create(iec="AAAAA1111A", name="Twins")
    Company.objects.create(iec="AAAAA2222A", name="TWINS")
    code = HSCode.objects.create(code="17019990")
    for n, serials in ((1, 2), (2, 1), (3, 1)):
        license = License.objects.create(
            license_number=f"031000000{n}",
            license_date="2026-01-01",
            license_expiry_date=business_date() + timedelta(10 * n),
            exporter=surat,
        )
        ExportItem.objects.create(license=license, cif_fc=1000)
        for serial in range(1, serials + 1):
            ImportItem.objects.create(
                license=license, serial_number=serial, description="Sugar", quantity=10, unit="KGS", hs_code=code
            )
    drain()


@pytest.fixture
def operator(log_in: LogIn) -> Client:
    return log_in("operator")


# ── Forms, as a browser fills them in ─────────────────────────────────────────────────────────────────────────────────


def address(**query: Any) -> str:
    return f"/allot/?{urlencode(query)}"


def posted(shown: Shown) -> dict[str, Any]:
    """What the form would post if nobody touched it."""
    [form] = shown.tree.xpath("//form[@id='allot']")
    values: dict[str, Any] = {}
    for key, value in form.form_values():
        values.setdefault(key, []).append(value)
    return values


def send(client: Client, there: str, do: str = "allot", **typed: Any) -> HttpResponse:
    """Open the page, fill in the form as it is proposed with what is typed, and press a button."""
    form = posted(read(client.get(there)))
    return client.post(there, {**form, "company": "Pune Mills", **names(typed), "do": do})


def names(typed: dict[str, Any]) -> dict[str, Any]:
    """quantity_3 is the quantity of item 3."""
    return {
        f"item-{key.partition('_')[2]}-{key.partition('_')[0]}" if "_" in key else key: value
        for key, value in typed.items()
    }


def rows(shown: Shown) -> list[list[str]]:
    """License and item, left, can take, quantity and value as typed, left after."""
    return [
        [
            f"{cells[0].text_content().split()[0][-1]}/{cells[1].text_content().split()[0]}",
            *(" ".join(cells[n].text_content().split()) for n in (2, 3)),
            *(cells[n].xpath(".//input/@value")[0] if cells[n].xpath(".//input/@value") else "" for n in (4, 5)),
            " ".join(cells[6].text_content().split()),
        ]
        for cells in (row.xpath("th | td") for row in shown.tree.xpath("//form[@id='allot']//tbody/tr"))
    ]


def foot(shown: Shown) -> dict[str, str]:
    return {output.get("id"): output.text_content() for output in shown.tree.xpath("//output")}


def told(response: HttpResponse) -> list[str]:
    return read(response).texts("//main//*[@role='alert']")


def lines() -> list[Any]:
    return sql(
        "SELECT allotment_id, import_item_id, quantity::text, cif_fc::text FROM ledger_allotmentline ORDER BY 1, 2"
    )


def nothing_is_written() -> bool:
    return not (Allotment.objects.exists() or AllotmentLine.objects.exists() or LicenseChange.objects.exists())


ITEM_1 = "License 0310000001, item 1"
TILES = "//ul[contains(@class, 'found')]//a"
OR_ELSE = "Allot less, or correct what it requires first."
PROPOSED = [(1, "10.000", "300.00"), (2, "10.000", "300.00"), (3, "5.000", "150.00")]

# ── A proposal ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_proposal_takes_what_expires_first(operator: Client) -> None:
    shown = read(operator.get(address(**SUGAR)))
    assert rows(shown) == [
        ["1/1", "10 KGS 1,000.00 USD", "10 KGS", "10", "300.00", "0 KGS 400.00 USD balance 400.00"],
        ["1/2", "10 KGS 1,000.00 USD", "10 KGS", "10", "300.00", "0 KGS 400.00 USD balance 400.00"],
        ["2/1", "10 KGS 1,000.00 USD", "10 KGS", "5", "150.00", "5 KGS 850.00 USD balance 850.00"],
        ["3/1", "10 KGS 1,000.00 USD", "10 KGS", "", "", ""],
    ]
    head = shown.texts("//form[@id='allot']//tbody/tr[1]/th")[0]
    assert head == f"0310000001 expires {day(business_date() + timedelta(10))} Surat Foods"
    assert shown.text("//form[@id='allot']//tbody/tr[1]/td[1]") == "1 · Sugar HS 17019990"
    assert foot(shown) == {"proposed": "25", "value": "750.00", "missing": "0"}
    assert shown.tree.xpath("//input[@name='goods']/@value") == ["sugar"]
    assert nothing_is_written()


def test_a_proposal_is_as_much_as_there_is(operator: Client) -> None:
    shown = read(operator.get(address(item="sugar", quantity="1,000", price="60")))
    assert [row[3:5] for row in rows(shown)] == [
        ["10", "600.00"],
        ["6.666", "399.96"],
        ["10", "600.00"],
        ["10", "600.00"],
    ]
    assert foot(shown) == {"proposed": "36.666", "value": "2,199.96", "missing": "963.334"}


def test_of_several_units_or_currencies_one_is_chosen(operator: Client) -> None:
    ImportItem.objects.filter(license=2).update(unit="NOS")
    License.objects.filter(pk=3).update(currency="EUR")
    drain()
    shown = read(operator.get(address(**SUGAR)))
    assert "in several units and currencies, and a proposal is of one. Choose" in shown.text("//main/p[@role='alert']")
    kgs = read(operator.get("/allot/" + shown.links(TILES)["30 KGS: only these"]))
    assert "in several currencies" in kgs.text("//main/p[@role='alert']")
    usd = read(operator.get("/allot/" + kgs.links(TILES)["1,000.00 USD, at most: only these"]))
    assert [row[0] for row in rows(usd)] == ["1/1", "1/2"]


def test_what_is_not_found_and_what_nobody_can_take(operator: Client) -> None:
    assert "Nothing fits" in read(operator.get(address(item="salt", quantity="5"))).text("//p[@class='empty']")
    shown = read(operator.get(address(item="sugar", quantity="5", price="99999999")))
    assert "None of 4 items can take any of it at this price" in shown.text("//caption")
    assert [row[3] for row in rows(shown)] == [""] * 4
    assert "Say what is wanted" in read(operator.get("/allot/")).text("//p[@class='empty']")


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ({"item": "sugar"}, "Quantity wanted: Say how much is wanted."),
        ({"item": "sugar", "quantity": "0"}, "Quantity wanted: Say how much is wanted."),
        ({"item": "sugar", "quantity": "a lot"}, "is not a number"),
        ({"quantity": "5"}, "Say which item"),
    ],
)
def test_what_cannot_be_asked_is_said(query: dict[str, str], words: str, operator: Client) -> None:
    assert words in " ".join(told(operator.get(address(**query))))
    form = {"do": "allot", "item": "1", "item-1-quantity": "1", "item-1-value": "1", "company": "9", "type": "AT"}
    assert words in " ".join(told(operator.post(address(**query), form)))
    assert nothing_is_written()


def test_no_more_are_tried_and_offered_than_a_person_can_read(
    operator: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(allot, "MOST_TRIED", 3)
    monkeypatch.setattr(allot, "FURTHER", 1)
    shown = read(operator.get(address(item="sugar", quantity="5", price="1")))
    assert [row[0] for row in rows(shown)] == ["1/1", "1/2"]
    shown = read(operator.get(address(item="sugar", quantity="500", price="1")))
    assert [row[0] for row in rows(shown)] == ["1/1", "1/2", "2/1"]
    assert foot(shown)["missing"] == "470"


def test_a_page_asks_as_little_for_many_lines_as_for_few(operator: Client) -> None:
    def asked(quantity: str) -> int:
        there = address(item="sugar", quantity=quantity, price="1")
        form = posted(read(operator.get(there)))
        with CaptureQueriesContext(connection) as queries:
            assert operator.post(there, {**form, "do": "what-if"}).status_code == 200
        return len(queries)

    few = asked("1")
    sql("""INSERT INTO license_importitem (license_id, serial_number, description, quantity, unit)
        SELECT 3, n, 'sugar', 1, 'KGS' FROM generate_series(2, 40) AS n""")
    drain()
    assert asked("70") == few == 18


# ── What is typed ─────────────────────────────────────────────────────────────────────────────────────────────────────


def test_what_is_allotted(operator: Client, drained: Callable[[], None]) -> None:
    response = send(operator, address(**SUGAR), type="ARO", goods="Sugar S-30", expected="05/03/2026", quantity_4="0")
    made = Allotment.objects.get()
    assert (response.status_code, response.url) == (302, f"/allotments/{made.pk}/")
    assert lines() == [(made.pk, *line) for line in PROPOSED]
    assert sql("SELECT company_id, type, item_name, required_quantity::text, unit_price::text, "
               "estimated_arrival_date::text FROM ledger_allotment") == [
        (2, "ARO", "Sugar S-30", "25.000", "30.000", "2026-03-05"),
    ]  # fmt: skip
    shown = read(operator.get(response.url))
    assert shown.texts("//*[@role='status']") == ["Allotted: 25 KGS for USD 750.00."]
    assert "Allotted by operator on" in shown.text("//p[@class='asof']")
    assert LogEntry.objects.get().get_change_message() == "Allotted 25 KGS for USD 750.00."
    drained()


def test_numbers_are_typed_as_people_write_them(operator: Client) -> None:
    License.objects.filter(pk=1).update(currency="USD")
    ExportItem.objects.filter(license=1).update(cif_fc=500_000)
    ImportItem.objects.filter(pk=1).update(quantity=500_000)
    drain()
    send(operator, address(item="sugar", quantity="1,11,302.5"), quantity_1="1,11,302.5", value_1="2,50,000.75")
    assert [line[1:] for line in lines()] == [(1, "111302.500", "250000.75")]


def test_a_value_that_is_typed_counts(operator: Client) -> None:
    send(operator, address(**SUGAR), value_1="123.45", quantity_2="", value_2="7", quantity_3="", value_3="")
    assert [line[1:] for line in lines()] == [(1, "10.000", "123.45"), (2, "0.000", "7.00")]


def test_without_a_price_values_are_typed(operator: Client) -> None:
    there = address(item="sugar", quantity="12")
    response = send(operator, there)
    assert told(response) == ["Type a value, for no unit price is given."] * 2
    assert nothing_is_written()
    assert send(operator, there, value_1="100", value_2="0").status_code == 302
    assert [line[1:] for line in lines()] == [(1, "10.000", "100.00"), (2, "2.000", "0.00")]


def test_what_if_says_what_would_be_left_and_writes_nothing(operator: Client) -> None:
    typed = {
        "quantity_1": "4",
        "value_1": "",
        "quantity_4": "9.5",
        "value_4": "",
        "quantity_2": "",
        "value_2": "",
        "goods": "Candy",
    }
    response = send(operator, address(**SUGAR), "what-if", **typed, company="")
    shown = read(response)
    assert [row[3:] for row in rows(shown)] == [
        ["4", "", "6 KGS 880.00 USD balance 880.00"],
        ["", "", ""],
        ["5", "150.00", "5 KGS 850.00 USD balance 850.00"],
        ["9.5", "", "0.5 KGS 715.00 USD balance 715.00"],
    ]
    assert foot(shown) == {"proposed": "18.5", "value": "555.00", "missing": "6.5"}
    assert shown.tree.xpath("//input[@name='goods']/@value") == ["Candy"]
    assert (told(response), nothing_is_written()) == ([], True)  # a company is not needed yet
    response = send(operator, address(**SUGAR), "what-if", quantity_1="11")
    assert told(response) == [
        f"This would overdraw: {ITEM_1}: quantity 10 left, this entry takes 11 more: it would be overdrawn by 1."
    ]
    assert foot(read(response))["missing"] == "-1"
    assert nothing_is_written()


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ({"quantity_1": "ten"}, "“ten” is not a number; write it as 1234.56."),
        ({"quantity_1": "1.2345"}, "Quantity has more than 3 decimals; round it."),
        ({"quantity_1": "-1"}, "Quantity cannot be negative."),
        ({"value_1": "1.234"}, "Value has more than 2 decimals; round it."),
        ({"value_1": "99999999999999"}, "is too large; at most 13 digits may stand before the point."),
        ({"quantity_1": "999999999999", "value_1": ""}, "That comes to more than a license has room for."),
        ({"quantity_1": "26"}, "25 is wanted, and the lines come to 41."),
        ({"quantity_1": "", "quantity_2": "", "quantity_3": "", "value_1": "", "value_2": "", "value_3": ""},
         "There is nothing to allot: give a quantity or a value for each item."),
        ({"company": ""}, "Company is missing."),
        ({"company": "Nobody & Co"}, "Company: No company has the name or the IEC “Nobody & Co”. Correct it, or"),
        ({"company": "pune"}, "“pune”. Is it one of these? Pune Mills 0000000009"),
        ({"company": "twins"}, "Several companies are called “twins”: write the IEC. Twins AAAAA1111A; TWINS AAAAA222"),
        ({"company": "\0"}, "Company has a character that cannot be kept"),
        ({"expected": "31/02/2026"}, "Expected: This is not a date; write it as DD/MM/YYYY."),
        ({"type": "XX"}, "Type: What was chosen is not there"),
        ({"key": "x"}, "The form was not complete, and nothing is allotted."),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_said_and_what_was_typed_stays(
    typed: dict[str, str], words: str, operator: Client
) -> None:
    response = send(operator, address(**SUGAR), **{"goods": "Candy", **typed})
    assert words in " ".join(told(response))
    shown = read(response)
    for name, value in names(typed).items():
        if name.startswith("item") or name in ("company", "expected"):
            assert shown.tree.xpath(f"//input[@name='{name}']/@value") == [value.replace("\0", "\ufffd")] * bool(value)
    assert shown.tree.xpath("//input[@name='goods']/@value") == ["Candy"]
    assert nothing_is_written()


@pytest.mark.parametrize(
    ("typed", "company"),
    [
        ("Pune Mills", 2), ("pune  mills ", 2), ("0000000009", 2), ("9", 2), ("Pune Mills 0000000009", 2),
        ("TWINS AAAAA2222A", 4), ("aaaaa1111a", 3),
    ],
)  # fmt: skip
def test_a_company_is_called_by_its_name_or_its_iec(typed: str, company: int, operator: Client) -> None:
    send(operator, address(**SUGAR), company=typed)
    assert Allotment.objects.get().company_id == company


def test_companies_of_the_last_allotments_are_offered(operator: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(allot, "RECENT", 2)
    for company in (3, 1, 1, 2):
        Allotment.objects.create(company_id=company)
    offered = read(operator.get(address(**SUGAR))).tree.xpath("//datalist/option/@value")
    assert offered == ["Pune Mills 0000000009", "Surat Foods 0000000001"]


@pytest.mark.parametrize(
    ("form", "words"),
    [
        ({"item": ["1", "99"], "item-1-quantity": "1", "item-99-quantity": "1"}, ""),  # what is not there is not shown
        ({"item": ["1", "1"], "item-1-quantity": "1"}, ""),
        ({"item": ["x", "9" * 30], "item-1-quantity": "1"}, "nothing to allot"),
        ({}, "nothing to allot"),
        ({"item": ["1", "5"], "item-1-quantity": "1"}, "These items are not all of one unit and one currency."),
    ],
)
def test_forms_that_no_page_makes(form: dict[str, Any], words: str, operator: Client) -> None:
    ImportItem.objects.create(license_id=1, serial_number=3, quantity=5, unit="NOS")
    drain()
    key = posted(read(operator.get(address(**SUGAR))))["key"]
    response = operator.post(address(**SUGAR), {"company": "9", "type": "AT", "key": key, "do": "allot", **form})
    if words:
        assert words in " ".join(told(response))
        assert nothing_is_written()
    else:
        assert [line[1:] for line in lines()] == [(1, "1.000", "30.00")]


# ── Somebody else was quicker ─────────────────────────────────────────────────────────────────────────────────────────


def test_who_comes_second_sees_what_is_left_and_may_propose_anew(operator: Client) -> None:
    there = address(**SUGAR)
    form = {**posted(read(operator.get(there))), "company": "Pune Mills", "goods": "Candy"}
    assert send(operator, there).status_code == 302
    [first] = Allotment.objects.all()
    response = operator.post(there, {**form, "do": "allot"})
    [alert] = told(response)
    assert alert.startswith("Nothing is allotted yet. This entry would overdraw: License 0310000001: balance")
    assert "item 1: quantity 0 left, this entry takes 10 more: it would be overdrawn by 10." in alert
    assert alert.endswith("Allot less, or ask somebody who may allot more than a license has left.")
    shown = read(response)
    assert [row[:2] + row[3:5] for row in rows(shown)][:3] == [
        ["1/1", "0 KGS 400.00 USD", "10", "300.00"],
        ["1/2", "0 KGS 400.00 USD", "10", "300.00"],
        ["2/1", "5 KGS 850.00 USD", "5", "150.00"],
    ]
    assert not shown.tree.xpath("//input[@name='overdraw']")
    assert shown.tree.xpath("//input[@name='company']/@value") == ["Pune Mills"]
    assert Allotment.objects.count() == 1
    drain()
    anew = read(operator.post(there, {**posted(shown), "do": "propose"}))
    assert [row[0] + " " + row[3] for row in rows(anew)] == ["2/1 5", "3/1 10"]
    assert (foot(anew)["missing"], anew.tree.xpath("//input[@name='goods']/@value")) == ("10", ["Candy"])
    assert operator.post(there, {**posted(anew), "do": "allot"}).status_code == 302
    assert [line[1:] for line in lines() if line[0] != first.pk] == [(3, "5.000", "150.00"), (4, "10.000", "300.00")]


def test_who_may_overdraws_by_a_second_click_and_is_remembered(log_in: LogIn) -> None:
    administrator = log_in("administrator")
    response = send(administrator, address(**SUGAR), quantity_3="", quantity_1="15", value_1="10", value_3="")
    shown = read(response)
    [box] = shown.tree.xpath("//input[@name='overdraw']/@value")
    assert shown.text("//label[input[@name='overdraw']]") == "Allot all the same"
    assert nothing_is_written()
    form = posted(shown)
    assert "overdraw" not in form  # not ticked
    changed = administrator.post(address(**SUGAR), {**form, "overdraw": box, "item-1-quantity": "14", "do": "allot"})
    assert "overdrawn by 4" in told(changed)[0]  # it was confirmed for other numbers
    assert log_in("operator").post(address(**SUGAR), {**form, "overdraw": box, "do": "allot"}).status_code == 200
    assert nothing_is_written()
    made = administrator.post(address(**SUGAR), {**form, "overdraw": box, "do": "allot"})
    assert made.status_code == 302
    drain()
    said = f"{ITEM_1}: quantity 10 left, this entry takes 15 more: it would be overdrawn by 5."
    assert sql("SELECT sentence, confirmed_by FROM ledger_overdraw") == [(said, "administrator")]
    page = read(log_in("auditor").get("/licenses/0310000001/"))
    assert page.rows("//details[@id='overdraws-part']//tbody/tr") == [
        [day(business_date()), "administrator", str(Allotment.objects.get()), said]
    ]
    assert not read(log_in("viewer").get("/licenses/0310000001/")).tree.xpath("//details[@id='overdraws-part']")
    assert not read(log_in("auditor").get("/licenses/0310000002/")).tree.xpath("//details[@id='overdraws-part']")


# ── Sent twice ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_form_that_is_sent_twice_allots_once(operator: Client) -> None:
    there = address(**SUGAR)
    form = {**posted(read(operator.get(there))), "company": "9", "do": "allot", "item": "1", "item-1-quantity": "1"}
    first = operator.post(there, form)
    operator.get(first.url)
    for again in (form, {**form, "item-1-quantity": "2"}):  # a reload; back, and on with other numbers
        second = operator.post(there, again)
        assert second.url == first.url
        assert read(operator.get(second.url)).texts("//*[@role='status']") == [
            "The form was sent twice, and allotted once: this is what it came to then."
        ]
    assert (Allotment.objects.count(), one("SELECT quantity::text FROM ledger_allotmentline")) == (1, "1.000")


def test_a_form_that_was_refused_may_be_sent_again(operator: Client) -> None:
    there = address(**SUGAR)
    form = posted(read(operator.post(there, {**posted(read(operator.get(there))), "do": "allot"})))
    assert operator.post(there, {**form, "company": "9", "do": "allot"}).status_code == 302


# ── More for an allotment that there is ───────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def existing() -> Allotment:
    """Requires 12, at 30.5; has 4 on item 3."""
    allotment = Allotment.objects.create(company_id=2, item_name="sugar", required_quantity=12, unit_price="30.5")
    AllotmentLine.objects.create(allotment=allotment, import_item_id=3, quantity=4, cif_fc=122)
    drain()
    return allotment


def test_what_remains_is_a_click_away(existing: Allotment, operator: Client) -> None:
    shown = read(operator.get(f"/allotments/{existing.pk}/"))
    there = shown.links()["Allot more"]
    assert there == f"/allot/?allotment={existing.pk}&item=sugar&unit=KGS&quantity=8&price=30.5"
    page = read(operator.get(there))
    assert "12 KGS required, 4 allotted, 8 remaining." in page.text("//main/p[1]")
    assert not page.tree.xpath("//input[@name='company']")
    assert [row[3:5] for row in rows(page)][:2] == [["8", "244.00"], ["", ""]]
    assert page.tree.xpath("//form[@class='filter']/input[@name='allotment']/@value") == [str(existing.pk)]
    response = send(operator, there, quantity_1="6", value_1="", quantity_3="1.5", value_3="")
    assert response.url == f"/allotments/{existing.pk}/"
    assert lines() == [(existing.pk, 1, "6.000", "183.00"), (existing.pk, 3, "5.500", "167.75")]
    facts = read(operator.get(response.url))
    assert facts.texts("//dl[@class='facts']/dd")[1:6] == ["12 KGS", "11.5 KGS", "0.5 KGS", "30.5", "USD 350.75"]
    assert "Allot more" in facts.links()


def test_no_more_than_is_required(existing: Allotment, operator: Client) -> None:
    response = send(operator, address(allotment=existing.pk, **SUGAR))
    assert told(response) == [
        f"Allotment {existing.pk} requires 12, of which 8 remain to be allotted, and this is 25. {OR_ELSE}"
    ]
    assert len(lines()) == 1
    AllotmentLine.objects.update(quantity=15)
    facts = read(operator.get(f"/allotments/{existing.pk}/"))
    assert facts.texts("//dl[@class='facts']/dd")[3:4] == ["-3 KGS"]
    assert "Allot more" not in facts.links()


@pytest.mark.parametrize(
    ("is_given_up", "words"),
    [
        (False, "is released by a bill of entry and reserves nothing; make a new one."),
        (True, "is given up and reserves nothing; take it up again first, or make a new one."),
    ],
)
def test_one_that_reserves_nothing_gets_no_more(
    is_given_up: bool, words: str, existing: Allotment, operator: Client
) -> None:
    there = address(allotment=existing.pk, **SUGAR)
    form = posted(read(operator.get(there)))
    if is_given_up:
        give_up(existing, by=User.objects.get(username="operator"))
    else:
        existing.bills_of_entry.add(BillOfEntry.objects.create(number="4711"))
    for response in (operator.get(there), operator.post(there, {**form, "do": "allot"})):
        assert told(response) == [f"Allotment {existing.pk} {words}"]
    assert len(lines()) == 1
    assert "Allot more" not in read(operator.get(f"/allotments/{existing.pk}/")).links()


@pytest.mark.parametrize("pk", ["99", "x", "", "9" * 40, "1.5"])
def test_one_that_is_not_there(pk: str, operator: Client) -> None:
    assert operator.get(address(allotment=pk, **SUGAR)).status_code == 404
    assert operator.post(address(allotment=pk, **SUGAR), {"do": "allot"}).status_code == 404


# ── Who may ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_permission_decides(log_in: LogIn, existing: Allotment) -> None:
    client, more = log_in(""), f"/allot/?allotment={existing.pk}"
    user = User.objects.get(username="newcomer")
    for permission, new, of_existing in (
        ("view_license", 403, 403), ("view_licensebalance", 403, 403), ("view_allotment", 403, 403),
        ("add_allotmentline", 403, 403), ("add_allotment", 200, 403), ("change_allotment", 200, 200),
    ):  # fmt: skip
        user.user_permissions.add(Permission.objects.get(codename=permission))
        assert [client.get(there).status_code for there in ("/allot/", more)] == [new, of_existing], permission
        assert [client.post(there, {"do": "allot"}).status_code for there in ("/allot/", more)] == [new, of_existing]
    for role in ("viewer", "auditor"):
        assert "Allot more" not in read(log_in(role).get(f"/allotments/{existing.pk}/")).links()


def test_what_people_typed_is_text(operator: Client) -> None:
    hostile = "<script>alert('sugar')</script>"
    ImportItem.objects.update(description=hostile)
    Company.objects.filter(pk__in=(1, 2)).update(name=hostile)
    Allotment.objects.create(company_id=2)
    drain()
    there = address(**SUGAR)
    form = posted(read(operator.get(there)))
    typed = {**form, "company": hostile, "goods": hostile, "do": "allot"}
    for response in (operator.get(there), operator.post(there, typed)):
        assert response.status_code == 200
        assert b"<script>alert" not in response.content
