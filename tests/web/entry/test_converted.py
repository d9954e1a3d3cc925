"""A bill of entry takes the place of allotments."""

from django.contrib.auth.models import Permission, User
from django.test import Client

from ledger.engine import drain
from ledger.models import BillOfEntry
from tests.conftest import assert_balances_follow_facts, sql
from tests.web.conftest import LogIn, read
from tests.web.entry.conftest import BILL, allotment_of, change, errors, form, post, saved, warnings


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


def test_an_aro_never_gets_a_bill(operator: Client) -> None:
    aro = allotment_of("1", type="ARO")
    assert "Convert into a bill of entry" not in read(operator.get(change(aro))).links("//ul[@class='object-tools']//a")
    assert "bought at home" in errors(post(operator, BILL, number="1", allotments=[aro.pk]))[0]


def test_who_may_not_see_an_allotment_converts_none(log_in: LogIn) -> None:
    allotment = allotment_of("77")
    client = log_in("")
    may = ("add_billofentry", "add_billofentryline")
    User.objects.get().user_permissions.set(Permission.objects.filter(codename__in=may))
    assert "77.00" not in client.get(f"{BILL}?allotment={allotment.pk}").content.decode()
