"""An allotment is given up and taken up again by people, and told everywhere."""

import pytest
from django.test import Client

from ledger.engine import drain
from ledger.models import Allotment, AllotmentLine, AllotmentRelease, LicenseBalance, Overdraw
from license.clock import business_date
from license.formats import day
from license.models import Port
from tests.web.conftest import Kind, LogIn, make, read

PAGE = "/allotments/1/give-up/"


@pytest.fixture(autouse=True)
def allotment(database: None) -> Allotment:
    """Of 400.00, on a license of 1,000.00."""
    make("0310000001", Kind("", credit="1000"), Port.objects.create(code="INNSA1"))
    AllotmentLine.objects.update(cif_fc=400)
    drain()
    return Allotment.objects.get()


@pytest.fixture
def operator(log_in: LogIn) -> Client:
    return log_in("operator")


def balance() -> str:
    drain()
    return f"{LicenseBalance.objects.get().balance_cif}"


def test_given_up_and_taken_up_again(operator: Client) -> None:
    assert read(operator.get("/allotments/1/")).links()["Give up"] == PAGE
    assert "It reserves 400.00 USD on 1 license." in read(operator.get(PAGE)).text("//main")
    assert operator.post(PAGE, {"do": "give up"}).url == "/allotments/1/"
    assert balance() == "1000.00"
    said = read(operator.get("/allotments/1/"))
    assert f"given up on {day(business_date())} by operator: it reserves nothing" in said.text("//main")
    assert "Convert into a bill of entry" not in said.links()
    assert said.links()["Take up again"] == PAGE
    assert read(operator.get("/allotments/?state=released")).rows()[0].count("given up") == 1
    assert "No allotment fits" in read(operator.get("/allotments/?state=open")).text("//main")
    assert operator.post(PAGE, {"do": "take up"}).url == "/allotments/1/"
    assert balance() == "600.00"


def test_what_is_gone_meanwhile_is_taken_up_only_by_who_may(operator: Client, log_in: LogIn) -> None:
    operator.post(PAGE, {"do": "give up"})
    other = Allotment.objects.create(company_id=1)
    AllotmentLine.objects.create(allotment=other, import_item_id=2, cif_fc=700)
    told = read(operator.post(PAGE, {"do": "take up"}))
    sentence = (
        "License 0310000001: balance USD 300.00 left, this entry takes 400.00 more: it would be overdrawn by 100.00."
    )
    assert told.texts("//div[@class='overdraws']//li") == [sentence]
    assert not told.tree.xpath("//input[@name='overdraw']")
    administrator = log_in("administrator")
    told = read(administrator.post(PAGE, {"do": "take up"}))
    confirmation = told.tree.xpath("//input[@name='overdraw']/@value")[0]
    assert AllotmentRelease.objects.exists()
    assert operator.post(PAGE, {"do": "take up", "overdraw": confirmation}).status_code == 200
    assert administrator.post(PAGE, {"do": "take up", "overdraw": confirmation}).status_code == 302
    assert not AllotmentRelease.objects.exists()
    assert [(each.sentence, each.confirmed_by) for each in Overdraw.objects.all()] == [(sentence, "administrator")]


def test_what_a_bill_released_is_not_asked_about(operator: Client, allotment: Allotment) -> None:
    allotment.bills_of_entry.add(1)
    assert not read(operator.post(PAGE, {"do": "give up"})).tree.xpath("//main//button")
    assert not AllotmentRelease.objects.exists()
    assert operator.get("/allotments/99/give-up/").status_code == 404


def test_a_later_last_day_takes_it_up_again(operator: Client, allotment: Allotment) -> None:
    AllotmentRelease.objects.create(allotment=allotment)
    page = "/entry/ledger/allotment/1/change/"

    def move_to(last_day: str) -> None:
        form = read(operator.get(page)).tree.xpath("//form[@id='allotment_form']")[0]
        typed = {name: value for name, value in form.form_values() if not name.startswith("_")}
        assert operator.post(page, {**typed, "last_day": last_day}).status_code == 302

    move_to("31/01/2026")
    assert AllotmentRelease.objects.exists()  # it has passed
    move_to(f"{business_date():%d/%m/%Y}")
    assert not AllotmentRelease.objects.exists()
    assert balance() == "600.00"
