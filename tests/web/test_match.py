"""The match desk: what differs from customs' ledgers is seen, settled by one click, and told who did it."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from importlib import import_module

import pytest
from django.apps import apps
from django.contrib.auth.models import Group
from django.db import connection, transaction
from django.http import HttpResponse
from django.test import Client

from ledger.engine import drain
from ledger.models import (
    AllotmentLine,
    BillOfEntry,
    BillOfEntryLine,
    LicenseBalance,
    MismatchKind,
    Settlement,
)  # fmt: skip
from license.models import ExportItem
from reconcile import night
from reconcile.models import RunTrigger
from tests.conftest import one, sql
from tests.customs.world import (
    BILL,
    DISPUTED,
    IMBALANCE,
    IMPORTED,
    LICENSE,
    NOTHING_YET,
    OTHER_PORT,
    PRINTED,
    TWIN,
    UNCONVERTED,
    allot,
    loaded,
    typed,
)  # fmt: skip
from tests.engine.sessions import wait_until
from tests.web.conftest import LogIn, read

LIST, SETTLED = "/match/", "/match/settled/"


@pytest.fixture
def operator(log_in: LogIn) -> Client:
    return log_in("operator meera")


def page(kind: MismatchKind, subject: int = 1) -> str:
    return f"/match/{kind}/1/{subject}/"


def settle(client: Client, address: str, do: str, **form: object) -> HttpResponse:
    seen = read(client.get(address)).tree.xpath("//input[@name='seen']/@value")
    return client.post(address, {"do": do, "seen": seen, **form})


def balance() -> str:
    drain()
    return f"{LicenseBalance.objects.get().balance_cif}"


def test_an_allotment_is_converted_into_the_bill_that_has_used_it(operator: Client) -> None:
    loaded(NOTHING_YET)
    allot(7, 70, serial_number=1, into=allot(10, 410, item_name="Sugar"))  # the bill has nothing of that
    loaded(LICENSE)
    assert balance() == "120.00"
    shown = read(operator.get(LIST))
    assert [tile.split(" ", 1)[0] for tile in shown.texts("//ul[contains(@class, 'tiles')]/li")] == ["1", "0", "0", "0"]
    [[license, item, words, _]] = shown.rows()
    assert (license, item) == ("0310000001", "2")
    assert words.endswith("and not converted: USD 400.00 counts twice")
    assert words[0] == "A"
    [link] = [href for text, href in shown.links().items() if text.startswith("Settle")]
    assert link == page(UNCONVERTED)
    evidence = read(operator.get(link))
    assert evidence.rows() == [
        [
            f"BE 4711 of {IMPORTED:%d %b %Y}, INNSA1 open BE 4711 of {IMPORTED:%d %b %Y}, INNSA1",
            "2",
            "10 400.00 USD",
            "10 410.00 USD",
        ]
    ]
    assert "1 to Pune Mills, Sugar" in evidence.text("//main//dl")
    assert evidence.texts("//main//dd/div") == [
        "0310000001, item 1: 7 for 70.00 USD", "0310000001, item 2: 10 for 410.00 USD",
    ]  # fmt: skip
    assert evidence.tree.xpath("//input[@name='bill'][@checked]/@value") == ["1"]
    answer = settle(operator, link, "convert", bill=1)
    assert answer.url == "/match/?kind=unconverted"
    assert balance() == "600.00"
    shown = read(operator.get(answer.url))
    assert shown.text("//*[@role='status']").startswith("Settled: Allotment 1 to Pune Mills is converted into BE 4711")
    assert "None is open of this kind." in shown.text("//main")
    assert "Nothing is open: where we hold a ledger" in read(operator.get(LIST)).text("//main")
    [[_, by, license, said, why]] = read(operator.get(SETTLED)).rows()
    assert (by, license, why) == ("meera", "0310000001", "–")
    assert said.startswith("Allotment 1 to Pune Mills is converted")
    again = read(operator.get(link))
    assert "Nothing is open here." in again.text("//main")
    assert again.rows()[0][1] == "meera"


def test_a_part_of_an_allotment_is_converted_and_none_may_be(operator: Client) -> None:
    loaded(NOTHING_YET)
    allot(30, 600)
    second = replace(BILL, number="4712")
    loaded(replace(LICENSE, bills=(BILL, second)))
    assert settle(operator, page(UNCONVERTED), "convert", bill=99).status_code == 409
    bill = BillOfEntry.objects.get(number="4712").pk
    assert settle(operator, page(UNCONVERTED), "convert part", bill=bill).status_code == 302
    assert list(AllotmentLine.objects.order_by("pk").values_list("quantity", flat=True)) == [20, 10]
    refused = read(settle(operator, page(UNCONVERTED), "keep", reason=" "))
    assert "Say why, in a few words" in refused.text("//*[@role='alert']")
    assert settle(operator, page(UNCONVERTED), "keep", reason="at sea").status_code == 302
    assert Settlement.objects.filter(reason="at sea", other_id=1).count() == 1
    assert "Nothing is open" in read(operator.get(LIST)).text("//main")


@pytest.mark.parametrize(("quantity", "first"), [(10, "Convert"), (11, "Convert what it has taken, keep the rest")])
def test_what_is_likely_meant_is_offered_first(quantity: int, first: str, operator: Client) -> None:
    loaded(NOTHING_YET)
    allot(quantity, 400)
    loaded(LICENSE)
    buttons = read(operator.get(page(UNCONVERTED))).texts("//form[@id='settle']//button[@name]")
    assert buttons[0] == first
    assert len(buttons) == 3


def test_two_bills_become_one(operator: Client) -> None:
    loaded(LICENSE)
    bill = typed(*OTHER_PORT, 390).bill_of_entry_id
    evidence = read(operator.get(page(TWIN, bill)))
    assert evidence.rows() == [["2", "10 390.00 USD", "10 400.00 USD"]]
    assert settle(operator, page(TWIN, bill), "merge").status_code == 302
    assert [each.number for each in BillOfEntry.objects.all()] == ["4711"]
    assert balance() == "600.00"


def test_a_debit_that_customs_does_not_have(operator: Client, log_in: LogIn) -> None:
    loaded(LICENSE)
    line = typed("4712", PRINTED, "INNSA1", 70).pk
    address = page(DISPUTED, line)
    shown = read(operator.get(address))
    assert shown.texts("//main//form//button[@name='do']") == ["Wait for the next ledger", "It stands"]
    assert settle(operator, address, "take out", reason="x").status_code == 403
    assert settle(operator, address, "wait").status_code == 302
    assert "Nothing is open" in read(operator.get(LIST)).text("//main")
    BillOfEntryLine.objects.filter(pk=line).update(cif_fc=71)
    administrator = log_in("administrator")
    assert "Say why" in read(settle(administrator, address, "take out")).text("//*[@role='alert']")
    assert settle(administrator, address, "take out", reason="never filed").status_code == 302
    assert not BillOfEntryLine.objects.filter(pk=line).exists()
    assert [row[1] for row in read(operator.get(f"{SETTLED}?license=310000001")).rows()] == ["administrator", "meera"]


def test_a_balance_that_differs_shows_its_parts(operator: Client) -> None:
    loaded(NOTHING_YET)
    ExportItem.objects.update(source="manual", cif_fc=1200)
    loaded(LICENSE)
    drain()
    parts = [
        [f"Customs’ balance, by its ledger of {PRINTED:%d %b %Y}", "600.00 USD"],
        ["Our export items, against its CIF-FC", "200.00 USD"],
        ["Our balance", "800.00 USD"],
    ]
    assert read(operator.get(page(IMBALANCE))).rows() == parts
    license = read(operator.get("/licenses/0310000001/"))
    assert license.rows("//*[@id='customs-part']//tr") == parts
    assert license.links()["1 difference to settle"] == "/match/?license=0310000001"
    assert settle(operator, page(IMBALANCE), "keep", reason="enhanced by DGFT").status_code == 302
    assert "difference to settle" not in read(operator.get("/licenses/0310000001/")).text("//main")


def test_what_has_changed_meanwhile_is_shown_and_not_settled(operator: Client) -> None:
    loaded(LICENSE)
    line = typed("4712", PRINTED, "INNSA1", 70)
    address = page(DISPUTED, line.pk)
    [seen] = read(operator.get(address)).tree.xpath("//input[@name='seen']/@value")
    BillOfEntryLine.objects.filter(pk=line.pk).update(cif_fc=71)
    answer = operator.post(address, {"do": "keep", "seen": seen, "reason": "x"})
    assert answer.status_code == 409
    assert "USD 71.00 for 10.000" in answer.content.decode()
    assert "has changed since you opened it" in answer.content.decode()
    assert not Settlement.objects.exists()


def test_who_meets_a_ledger_on_the_same_bill_is_told_to_try_again(log_in: LogIn) -> None:
    loaded(LICENSE)
    line = typed("4712", PRINTED, "INNSA1", 70)
    first = line.import_item.license.import_items.get(serial_number=1)
    administrator = log_in("administrator")

    def take_out() -> HttpResponse:
        try:
            return settle(administrator, page(DISPUTED, line.pk), "take out", reason="never filed")
        finally:
            connection.close()

    with ThreadPoolExecutor(1) as people:
        with transaction.atomic():  # as a ledger does: its lines, then what is new on their bills
            BillOfEntryLine.objects.filter(pk=line.pk).update(cif_inr=1)
            answer = people.submit(take_out)
            wait_until(lambda: one("SELECT count(*) FROM pg_locks WHERE NOT granted"), "the other comes")
            BillOfEntryLine.objects.create(bill_of_entry=line.bill_of_entry, import_item=first, cif_fc=1)
        assert answer.result().status_code == 409
        assert "Try again." in answer.result().content.decode()
    assert BillOfEntryLine.objects.filter(bill_of_entry=line.bill_of_entry).count() == 2
    assert not Settlement.objects.exists()


def test_a_license_and_a_kind_are_asked_for(operator: Client) -> None:
    loaded(LICENSE)
    loaded(replace(LICENSE, number="0310000002", bills=()))
    typed("4712", PRINTED, "INNSA1", 70, license_id=1)
    typed("4713", PRINTED, "INNSA1", 71, license_id=2)
    assert [row[0] for row in read(operator.get(f"{LIST}?kind=disputed")).rows()] == ["0310000002", "0310000001"]
    assert [row[0] for row in read(operator.get(f"{LIST}?license=310000001")).rows()] == ["0310000001"]
    assert read(operator.get(f"{LIST}?kind=twin&license=0310000001")).rows() == []
    assert "There is no license 99." in read(operator.get(f"{LIST}?license=99")).text("//main")
    assert read(operator.get(f"{LIST}?kind=nonsense")).rows()
    assert operator.get("/match/nonsense/1/1/").status_code == 404
    assert operator.get("/match/disputed/1/99/").status_code == 404
    assert operator.get("/match/disputed/99/1/").status_code == 404
    assert operator.get(f"/match/disputed/1/{10**20}/").status_code == 404
    for address in (LIST, SETTLED):
        assert operator.get(address, {"license": "\0"}).status_code == 200


def test_many_are_shown_page_by_page(operator: Client) -> None:
    loaded(LICENSE)
    item = BillOfEntryLine.objects.get().import_item
    bills = BillOfEntry.objects.bulk_create(BillOfEntry(number=f"9{n}", date=PRINTED) for n in range(60))
    BillOfEntryLine.objects.bulk_create(
        BillOfEntryLine(bill_of_entry=bill, import_item=item, cif_fc=bill.pk) for bill in bills
    )
    assert len(read(operator.get(LIST)).rows()) == 50
    for last in ("2", "3", "9" * 30):
        shown = read(operator.get(f"{LIST}?page={last}"))
        assert len(shown.rows()) == 10
        assert "page 2 of 2" in shown.text("//caption")
    for first in ("0", "-1", "x", "\0"):
        assert len(read(operator.get(f"{LIST}?page={first}")).rows()) == 50


def test_the_report_of_the_night_leads_to_the_match_desk(operator: Client) -> None:
    loaded(LICENSE)
    typed("4712", PRINTED, "INNSA1", 70)
    drain()
    night.work(night.start(RunTrigger.MANUAL))
    assert (
        read(operator.get("/reconciliation/1/")).links()["Settle those that are still open"] == f"{LIST}?kind=disputed"
    )


def test_who_may_only_look_sees_no_form(log_in: LogIn) -> None:
    loaded(LICENSE)
    line = typed("4712", PRINTED, "INNSA1", 70).pk
    auditor = log_in("auditor")
    assert read(auditor.get(LIST)).tree.xpath("//main//tbody//a[starts-with(normalize-space(), 'Look')]")
    shown = read(auditor.get(page(DISPUTED, line)))
    assert not shown.tree.xpath("//main//form//button")
    assert settle(auditor, page(DISPUTED, line), "keep", reason="x").status_code == 403
    assert log_in("viewer").get(LIST).status_code == 403
    assert b"customs-part" not in log_in("viewer").get("/licenses/0310000001/").content
    assert not Settlement.objects.exists()


def test_a_form_from_elsewhere_does_nothing(operator: Client) -> None:
    loaded(LICENSE)
    line = typed("4712", PRINTED, "INNSA1", 70).pk
    operator.handler.enforce_csrf_checks = True
    assert settle(operator, page(DISPUTED, line), "wait").status_code == 403
    assert not Settlement.objects.exists()


def test_what_people_enter_is_text(operator: Client) -> None:
    loaded(NOTHING_YET)
    allot(10, 400, item_name="<img src=x>")
    sql("UPDATE license_company SET name = '<img src=y>' WHERE name <> ''")
    loaded(LICENSE)
    assert settle(operator, page(UNCONVERTED), "keep", reason="<img src=z>\0").status_code == 302
    for address in (LIST, SETTLED, page(UNCONVERTED)):
        assert b"<img" not in operator.get(address).content


def test_groups_of_an_older_version_may_settle_too(database: None) -> None:
    def granted(group: Group) -> list[str]:
        return sorted(group.permissions.filter(content_type__model="settlement").values_list("codename", flat=True))

    for group in Group.objects.all():
        group.permissions.remove(*group.permissions.filter(content_type__model="settlement"))
    import_module("desk.migrations.0008_settlements").grant(apps, connection.schema_editor())
    assert {group.name: granted(group) for group in Group.objects.all()} == {
        "viewer": [], "auditor": ["view_settlement"], "operator": ["add_settlement", "view_settlement"],
        "administrator": ["add_settlement", "view_settlement"],
    }  # fmt: skip
