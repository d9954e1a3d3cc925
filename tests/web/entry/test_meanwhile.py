"""Of two who change the same thing, the second is told."""

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial

import pytest
from django.contrib.auth.models import Group, User
from django.db import connection, transaction
from django.http import HttpResponse
from django.test import Client

from ledger.engine import drain
from ledger.models import Allotment, AllotmentLine, BillOfEntry, BillOfEntryLine
from license.models import Company, ExportItem, ImportItem, ItemName, License, MatchRule
from tests.conftest import one, sql
from tests.web.conftest import LogIn, read
from tests.web.entry.conftest import (
    NUMBER,
    allotment_of,
    bill_of,
    change,
    confirmation,
    delete,
    errors,
    facts,
    form,
    item,
    post,
    saved,
    warnings,
)

SAVE = {"_save": "Save"}


def is_refused(response: HttpResponse) -> None:
    shown = read(response)
    [why] = shown.texts("//div[@role='alert']")
    assert why.startswith("Nothing is saved: this has changed since you opened it."), why
    assert errors(response) == [why]
    assert not shown.tree.xpath("//p[@class='errornote']")


@pytest.fixture
def bill() -> BillOfEntry:
    """With three lines."""
    bill = bill_of("1")
    for serial in (2, 3):
        BillOfEntryLine.objects.create(bill_of_entry=bill, import_item=item(serial), cif_fc=serial)
    return bill


def test_the_second_is_told_who_was_first_and_keeps_what_he_typed(log_in: LogIn) -> None:
    page = change(License.objects.first())
    arjun = log_in("operator")
    typed = form(arjun, page)
    saved(post(log_in("administrator"), page, file_number="16"))
    before = facts()
    for _ in range(2):  # pressing Save again does not help
        response = arjun.post(page, {**typed, "file_number": "17", **SAVE})
        is_refused(response)
        assert facts() == before
        shown = read(response)
        at = one(
            "SELECT to_char(action_time AT TIME ZONE 'Asia/Kolkata', 'DD Mon YYYY, HH24:MI') FROM django_admin_log"
        )
        assert f"Last saved here by administrator on {at};" in errors(response)[0]
        assert shown.links("//ul[contains(@class, 'errorlist')]//a") == {"Open it anew": page}
        assert shown.tree.xpath("//input[@name='file_number']/@value") == ["17"]
        typed["opened_with"] = shown.tree.xpath("//input[@name='opened_with']/@value")
    assert License.objects.get(pk=1).file_number == "16"
    saved(post(arjun, page, file_number="17"))


WRITES: dict[str, str] = {
    "the document": "UPDATE ledger_billofentry SET exchange_rate = 83",
    "a line": "UPDATE ledger_billofentryline SET quantity = 5 WHERE import_item_id = 2",
    "a line more": "INSERT INTO ledger_billofentryline (bill_of_entry_id, import_item_id) VALUES (1, 4)",
    "a line less": "DELETE FROM ledger_billofentryline WHERE import_item_id = 2",
    "another line in its place": "UPDATE ledger_billofentryline SET import_item_id = 4 WHERE import_item_id = 2",
    "an allotment": "INSERT INTO ledger_allotment_bills_of_entry (allotment_id, billofentry_id) VALUES (1, 1)",
    "all lines": "DELETE FROM ledger_billofentryline",
}
"""By what is written meanwhile, past all forms."""


@pytest.mark.parametrize("written", WRITES)
def test_whoever_changes_it_and_however_it_is_noticed(written: str, bill: BillOfEntry, operator: Client) -> None:
    allotment_of("1")
    typed = form(operator, change(bill))
    sql(WRITES[written])
    before = facts()
    response = operator.post(change(bill), {**typed, "lines-2-cif_fc": "7.00", **SAVE})
    is_refused(response)
    assert "Last saved here by nobody yet;" in errors(response)[0]
    assert facts() == before
    shown = read(response)
    for n, amount in enumerate(("1.00", "2.00", "7.00")):
        assert shown.tree.xpath(f"//input[@name='lines-{n}-cif_fc']/@value") == [amount]


def test_a_ledger_and_a_name_of_an_item_are_noticed_too(operator: Client) -> None:
    license = License.objects.get(license_number=NUMBER)
    typed = {**form(operator, change(license)), "file_number": "17", **SAVE}
    item(3).item_names.clear()
    is_refused(operator.post(change(license), typed))
    typed |= form(operator, change(license)) | {"file_number": "17"}
    License.objects.filter(pk=license.pk).update(ledger_as_of="2026-04-01")  # by which the number is the ledger's
    is_refused(operator.post(change(license), typed))


def test_what_the_engine_stores_and_what_nobody_sees_is_no_change(operator: Client) -> None:
    license = License.objects.get(license_number=NUMBER)
    typed = form(operator, change(license))
    bill_of("10")
    drain()
    license.save()  # at another time
    saved(operator.post(change(license), {**typed, "file_number": "17", **SAVE}))


def test_who_changes_nothing_is_not_told(operator: Client) -> None:
    """As when Save is pressed twice."""
    page = change(License.objects.first())
    typed = {**form(operator, page), "file_number": "17", **SAVE}
    saved(operator.post(page, typed))
    saved(operator.post(page, typed))


@pytest.mark.parametrize("odd", ["", "x", "\0", "9" * 5000])
def test_a_form_that_does_not_say_how_old_it_is_is_not_saved(odd: str, operator: Client) -> None:
    page = change(License.objects.first())
    is_refused(post(operator, page, opened_with=odd, file_number="17"))


def test_rules_of_a_name_and_lists(operator: Client) -> None:
    name, company = ItemName.objects.get(), Company.objects.get()
    MatchRule.objects.create(item_name=name, words="a")
    for of, typed, meanwhile in (
        (name, {"restriction_percentage": "5"}, lambda: MatchRule.objects.update(words="b")),
        (company, {"name": "Pune"}, lambda: Company.objects.update(name="Poona")),
    ):
        posted = {**form(operator, change(of)), **typed, **SAVE}
        meanwhile()
        is_refused(operator.post(change(of), posted))


def test_nobody_is_let_in_again_by_an_old_form(administrator: Client) -> None:
    arjun, group = User.objects.create(username="arjun"), Group.objects.create(name="clerks")
    typed, of_group = form(administrator, change(arjun)), form(administrator, change(group))
    User.objects.filter(pk=arjun.pk).update(is_active=False)
    is_refused(administrator.post(change(arjun), {**typed, "first_name": "Arjun", **SAVE}))
    assert not User.objects.get(pk=arjun.pk).is_active
    saved(post(administrator, change(group), permissions=[1]))
    is_refused(administrator.post(change(group), {**of_group, "name": "desk", **SAVE}))
    saved(post(administrator, change(group), name="desk"))
    assert group.permissions.count() == 1
    group.delete()


def test_what_was_warned_of_is_confirmed_for_what_was_there(operator: Client) -> None:
    page = change(License.objects.first())
    bill_of("1000")
    less = {**form(operator, page), "export_items-0-cif_fc": "900", **SAVE}
    warned = operator.post(page, less)
    assert warnings(warned)
    ImportItem.objects.filter(pk=1).update(quantity=5)
    is_refused(operator.post(page, {**less, "overdraw": confirmation(warned)}))
    assert ExportItem.objects.get(pk=1).cif_fc == 1200


# ── At the same instant ───────────────────────────────────────────────────────────────────────────────────────────────


def in_a_thread(work: Callable[[], HttpResponse]) -> HttpResponse:
    try:
        return work()
    finally:
        connection.close()


def wait_for(waiting: int) -> None:
    """Until so many wait for a lock."""
    deadline = time.monotonic() + 20
    while one("SELECT count(*) FROM pg_locks WHERE NOT granted") < waiting:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def at_once(held: str, *posts: Callable[[], HttpResponse]) -> list[HttpResponse]:
    """All of these, once all wait for what this statement holds."""
    with ThreadPoolExecutor() as threads:
        with transaction.atomic():
            sql(held)
            answers: list[Future[HttpResponse]] = [threads.submit(in_a_thread, each) for each in posts]
            wait_for(len(posts))
        return [answer.result() for answer in answers]


def test_of_two_saves_at_once_one_is_refused(bill: BillOfEntry, log_in: LogIn) -> None:
    page = change(bill)
    clients = [log_in(role) for role in ("operator", "administrator")]
    typed = [{**form(client, page), f"lines-{n}-quantity": f"{n + 1}", **SAVE} for n, client in enumerate(clients)]
    answers = at_once(
        "SELECT FROM ledger_billofentry FOR UPDATE",
        *(partial(client.post, page, posted) for client, posted in zip(clients, typed, strict=True)),
    )
    assert sorted(answer.status_code for answer in answers) == [200, 302]
    [refused] = (answer for answer in answers if answer.status_code == 200)
    is_refused(refused)
    winner = [answer.status_code for answer in answers].index(302)
    quantities = sql("SELECT quantity::int FROM ledger_billofentryline ORDER BY id")
    assert quantities == [(n + 1 if n == winner else 0,) for n in range(3)]


def test_a_line_that_a_ledger_is_writing(bill: BillOfEntry, operator: Client) -> None:
    typed = {**form(operator, change(bill)), "lines-1-cif_fc": "7", **SAVE}
    held = "UPDATE ledger_billofentryline SET quantity = 5 WHERE import_item_id = 2"
    [answer] = at_once(held, lambda: operator.post(change(bill), typed))
    is_refused(answer)


# ── What is gone ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_what_is_deleted_meanwhile_is_said_to_be_gone(bill: BillOfEntry, log_in: LogIn) -> None:
    administrator, operator = log_in("administrator"), log_in("operator")
    allotment = allotment_of("1")
    typed = [(of, {**form(operator, change(of)), **SAVE}) for of in (bill, allotment)]
    saved(administrator.post(delete(bill), {"post": "yes"}))
    Allotment.objects.filter(pk=allotment.pk).delete()
    at = one("SELECT to_char(action_time AT TIME ZONE 'Asia/Kolkata', 'DD Mon YYYY, HH24:MI') FROM django_admin_log")
    told = (f"BE 4711 of 01 Feb 2026 was deleted by administrator on {at}.", "There is none.")
    for (of, posted), why in zip(typed, told, strict=True):
        for client, page, sent in ((operator, change(of), posted), (administrator, delete(of), {"post": "yes"})):
            *_, said = read(client.post(page, sent, follow=True)).texts("//ul[@class='messagelist']/li")
            assert said == f"Nothing is saved. {why}"
        assert read(operator.get(change(of), follow=True)).text("//ul[@class='messagelist']") == why
    assert not AllotmentLine.objects.exists()


def test_what_is_deleted_at_the_same_instant(bill: BillOfEntry, administrator: Client) -> None:
    typed = {**form(administrator, change(bill)), "exchange_rate": "83", **SAVE}
    held = "DELETE FROM ledger_billofentryline; DELETE FROM ledger_billofentry"
    answers = at_once(
        held,
        lambda: administrator.post(change(bill), typed),
        lambda: administrator.post(delete(bill), {"post": "yes"}),
    )
    assert [answer.url for answer in answers] == ["/entry/ledger/billofentry/"] * 2
    assert not BillOfEntry.objects.exists()
