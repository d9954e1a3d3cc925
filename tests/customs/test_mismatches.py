"""Customs' ledgers against ours: each kind of mismatch is made, seen, and settled by one action."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal

import pytest
from django.contrib.auth.models import User
from django.db import connection, transaction
from django.utils import timezone

from ledger import customs
from ledger.customs import Bridge, ChangedError, Mismatch, bridge, convert, counts, keep, merge, mismatches, take_out
from ledger.icegate.load import load
from ledger.icegate.parse import parse_bytes
from ledger.models import (
    Allotment,
    AllotmentLine,
    AllotmentRelease,
    BillOfEntry,
    BillOfEntryLine,
    LicenseBalance,
    LicenseChange,
    MismatchKind,
    Settlement,
)
from license.clock import business_date
from license.models import Company, ExportItem, ImportItem
from reconcile import night
from reconcile.models import FindingKind, ReconciliationRun, RunTrigger
from reconcile.report import findings_of, words
from tests.conftest import one, sql
from tests.customs.world import (
    BILL,
    DISPUTED,
    IMBALANCE,
    IMPORTED,
    LICENSE,
    MADE,
    NO_PORT,
    NOTHING_YET,
    OTHER_DAY,
    OTHER_PORT,
    PRINTED,
    TODAY,
    TWIN,
    UNCONVERTED,
    allot,
    loaded,
    typed,
)  # fmt: skip
from tests.engine.sessions import wait_until
from tests.icegate.render import text_file


@pytest.fixture(autouse=True)
def meera(database: None) -> User:
    return User(username="meera")


def the(kind: MismatchKind) -> Mismatch:
    """The only mismatch that there is, which is of this kind."""
    assert counts() == dict.fromkeys(MismatchKind, 0) | {kind: 1}
    [found] = mismatches(kind)
    return found


def nothing_is_open() -> bool:
    return counts() == dict.fromkeys(MismatchKind, 0) and not any(mismatches(kind) for kind in MismatchKind)


def balance() -> Decimal:
    return LicenseBalance.objects.get().balance_cif


def run_night() -> ReconciliationRun:
    night.work(night.start(RunTrigger.MANUAL))
    return ReconciliationRun.objects.latest("pk")


# ── Allotments that a debit has used up ───────────────────────────────────────────────────────────────────────────────


def test_a_debit_that_was_loaded_uses_up_an_allotment(meera: User, drained: Callable[[], None]) -> None:
    loaded(NOTHING_YET)
    allotment = allot(10, 410)
    assert nothing_is_open()
    loaded(LICENSE)
    drained()
    assert balance() == 190  # it counts twice
    found = the(UNCONVERTED)
    assert (found.license_number, found.serial_number, found.amount, found.quantity) == ("0310000001", 2, 400, 10)
    assert found.sentence == (
        f"allotment 1 to Pune Mills is probably used by BE 4711 of {IMPORTED:%d %b %Y}, INNSA1, and not converted: "
        "USD 400.00 counts twice"
    )
    convert(found, BillOfEntry.objects.get().pk, keep_rest=False, by=meera)
    drained()
    assert balance() == 600
    assert nothing_is_open()
    settled = Settlement.objects.get()
    assert (
        settled.sentence == f"Allotment 1 to Pune Mills is converted into BE 4711 of {IMPORTED:%d %b %Y}: USD 410.00."
    )
    assert (settled.kind, settled.settled_by, settled.is_kept) == ("unconverted", "meera", False)
    assert list(allotment.bills_of_entry.values_list("number", flat=True)) == ["4711"]


def test_what_a_bill_has_taken_of_it_is_converted_and_the_rest_goes_on(
    meera: User, drained: Callable[[], None]
) -> None:
    loaded(NOTHING_YET)
    first = allot(30, 600)
    allot(7, 70, serial_number=1, into=first)
    loaded(LICENSE)
    convert(the(UNCONVERTED), BillOfEntry.objects.get().pk, keep_rest=True, by=meera)
    drained()
    assert balance() == 1000 - 400 - 400 - 70
    rest, taken = Allotment.objects.order_by("pk")
    parts = AllotmentLine.objects.order_by("allotment", "import_item__serial_number")
    assert list(parts.values_list("allotment", "import_item__serial_number", "quantity", "cif_fc", "cif_inr")) == [
        (rest.pk, 1, 7, 70, 5600), (rest.pk, 2, 20, 400, 32000), (taken.pk, 2, 10, 200, 16000),
    ]  # fmt: skip
    assert [list(each.bills_of_entry.values_list("number", flat=True)) for each in (rest, taken)] == [[], ["4711"]]
    assert (rest.required_quantity, taken.required_quantity, taken.company_id) == (20, 10, rest.company_id)
    assert taken.created_at == rest.created_at
    assert Settlement.objects.get().sentence.endswith(
        "has taken, USD 200.00, is Allotment 2, and converted; the rest goes on."
    )
    assert nothing_is_open()


def test_nothing_is_left_of_what_a_bill_has_taken_whole(meera: User) -> None:
    loaded(NOTHING_YET)
    allot(10, 500)
    loaded(LICENSE)
    convert(the(UNCONVERTED), BillOfEntry.objects.get().pk, keep_rest=True, by=meera)
    assert Allotment.objects.filter(bills_of_entry__number="4711").count() == Allotment.objects.count() == 1


def test_a_value_without_a_quantity_is_taken_by_its_value(meera: User, drained: Callable[[], None]) -> None:
    loaded(NOTHING_YET)
    allot(0, 500)
    loaded(LICENSE)
    convert(the(UNCONVERTED), BillOfEntry.objects.get().pk, keep_rest=True, by=meera)
    drained()
    assert balance() == 1000 - 400 - 100
    assert nothing_is_open()


def test_a_debit_without_a_quantity_takes_value_alone(meera: User, drained: Callable[[], None]) -> None:
    loaded(NOTHING_YET)
    allot(10, 500)
    loaded(replace(LICENSE, bills=(replace(BILL, quantity=Decimal(0)),)))
    convert(the(UNCONVERTED), BillOfEntry.objects.get().pk, keep_rest=True, by=meera)
    drained()
    assert list(AllotmentLine.objects.order_by("pk").values_list("quantity", "cif_fc", "cif_inr")) == [
        (10, 100, 8000), (0, 400, 32000),
    ]  # fmt: skip
    assert nothing_is_open()
    AllotmentLine.objects.filter(allotment=1).update(cif_fc=0)
    assert nothing_is_open()


def test_the_rupees_of_a_line_without_a_value_are_split_by_quantity(meera: User) -> None:
    loaded(NOTHING_YET)
    first = allot(30, 0)
    allot(10, 0, serial_number=1, into=first)
    AllotmentLine.objects.update(cif_inr=100)
    loaded(replace(LICENSE, bills=(BILL, replace(BILL, serial_number=1))))
    convert(the(UNCONVERTED), BillOfEntry.objects.get().pk, keep_rest=True, by=meera)
    assert list(AllotmentLine.objects.order_by("pk").values_list("allotment", "quantity", "cif_inr")) == [
        (1, 20, Decimal("66.67")), (2, 10, Decimal("33.33")), (2, 10, 100),
    ]  # fmt: skip


def test_of_several_bills_the_likeliest_is_proposed_and_another_may_be_the_one(meera: User) -> None:
    loaded(NOTHING_YET)
    allot(10, 400)
    near = replace(BILL, number="4712", quantity=Decimal(9), cif_fc=Decimal(380))
    far = replace(BILL, number="4713", quantity=Decimal(1), cif_fc=Decimal(50))
    loaded(replace(LICENSE, bills=(far, near, BILL)))
    found = the(UNCONVERTED)
    others = [other["bill_of_entry"] for other in found.details["others"]]
    assert [found.details["bill_of_entry"], *others] == ["4711", "4712", "4713"]
    with pytest.raises(ChangedError):
        convert(found, 99, keep_rest=False, by=meera)
    convert(found, BillOfEntry.objects.get(number="4712").pk, keep_rest=False, by=meera)
    assert nothing_is_open()
    assert Allotment.objects.get(bills_of_entry__number="4712")


def test_bills_that_have_not_used_it_are_asked_about_once(meera: User) -> None:
    loaded(NOTHING_YET)
    allot(10, 400)
    second = replace(BILL, number="4712")
    loaded(replace(LICENSE, bills=(BILL, second)))
    keep(the(UNCONVERTED), by=meera, reason="ship still at sea")
    assert nothing_is_open()
    assert sorted(Settlement.objects.values_list("sentence", "reason")) == [
        (f"Allotment 1 to Pune Mills: BE {number} of {IMPORTED:%d %b %Y}, INNSA1 has not used it.", "ship still at sea")
        for number in ("4711", "4712")
    ]
    loaded(replace(LICENSE, bills=(BILL, second, replace(BILL, number="4713")), printed_on=TODAY))
    found = the(UNCONVERTED)
    assert (found.details["bill_of_entry"], found.details["others"]) == ("4713", [])


def test_a_bill_is_proposed_as_far_as_no_other_allotment_accounts_for_it(meera: User) -> None:
    loaded(NOTHING_YET)
    open_one, converted = allot(100, 900), allot(6, 200)
    loaded(LICENSE)
    bill = BillOfEntry.objects.get()
    converted.bills_of_entry.add(bill)
    found = the(UNCONVERTED)
    assert (found.subject_id, found.amount, found.quantity) == (open_one.pk, 200, 4)
    convert(found, bill.pk, keep_rest=True, by=meera)
    assert AllotmentLine.objects.get(allotment=open_one).quantity == 96
    assert nothing_is_open()


def test_a_twentieth_that_is_left_of_a_debit_uses_up_nothing() -> None:
    loaded(NOTHING_YET)
    allot(100, 900)
    converted = allot(9, 400)
    AllotmentLine.objects.filter(allotment=converted).update(quantity="9.5")
    loaded(LICENSE)
    converted.bills_of_entry.add(BillOfEntry.objects.get())
    assert nothing_is_open()
    AllotmentLine.objects.filter(allotment=converted).update(quantity="9.4")
    the(UNCONVERTED)


def test_what_no_debit_can_have_used_is_not_asked_about() -> None:
    loaded(NOTHING_YET)
    allot(10, 400, type="ARO")
    AllotmentRelease.objects.create(allotment=allot(10, 400))
    allot(10, 400, serial_number=1)  # of which nothing is debited
    loaded(LICENSE)
    allot(10, 400, created_at=timezone.now())  # made when the debit was known
    assert nothing_is_open()
    late = allot(10, 400, created_at=timezone.now() - timedelta(days=1))
    sql("UPDATE ledger_billofentryline SET entered_at = NULL")  # of before this was kept: by its bill's day
    assert [found.subject_id for found in mismatches(UNCONVERTED)] == []
    sql("UPDATE ledger_billofentry SET date = %s", business_date() - timedelta(1))
    assert [found.subject_id for found in mismatches(UNCONVERTED)] == [late.pk]


def test_a_bill_of_long_before_the_allotment_has_not_used_it() -> None:
    loaded(NOTHING_YET)
    allot(10, 400)
    loaded(replace(LICENSE, bills=(replace(BILL, date=MADE - timedelta(31)),)))
    assert nothing_is_open()
    sql("UPDATE ledger_billofentry SET date = date + 1")
    the(UNCONVERTED)


# ── Debits that customs does not have ─────────────────────────────────────────────────────────────────────────────────


def test_a_debit_that_the_ledger_shows_no_more_is_taken_out(meera: User, drained: Callable[[], None]) -> None:
    loaded(LICENSE)
    loaded(replace(LICENSE, bills=(), printed_on=TODAY))
    drained()
    assert balance() == 600
    found = the(DISPUTED)
    said = f"BE 4711 of {IMPORTED:%d %b %Y}, INNSA1: USD 400.00 for 10.000; not in the ledger since {TODAY:%d %b %Y}"
    assert (found.serial_number, found.sentence) == (2, said)
    take_out(found, by=meera, reason="cancelled at the port")
    drained()
    assert balance() == 1000
    assert nothing_is_open()
    assert not BillOfEntry.objects.exists()
    assert Settlement.objects.values_list("sentence", "reason").get() == (
        f"{said}: taken out.",
        "cancelled at the port",
    )


def test_a_typed_debit_that_no_ledger_shows_is_one_too() -> None:
    loaded(LICENSE)
    typed("4712", PRINTED, "INNSA1", 70)
    typed("4713", PRINTED + timedelta(1), "INNSA1")  # of which the ledger cannot know
    typed("4714", PRINTED, "INNSA1", 0).delete()
    sql("UPDATE ledger_billofentryline SET quantity = 0 WHERE cif_fc = 0")
    found = the(DISPUTED)
    assert found.sentence == (
        f"BE 4712 of {PRINTED:%d %b %Y}, INNSA1: USD 70.00 for 10.000; not in the ledger of {PRINTED:%d %b %Y}"
    )
    typed("4715", None, None, 71)  # of no day that anybody knows
    assert [each.details["bill_of_entry"] for each in mismatches(DISPUTED)] == ["4715", "4712"]


def test_a_bill_with_more_on_it_stays_when_a_debit_is_taken_out(meera: User) -> None:
    loaded(LICENSE)
    line = typed("4712", PRINTED, "INNSA1")
    BillOfEntryLine.objects.create(
        bill_of_entry=line.bill_of_entry, import_item=line.import_item, transaction_type="C", cif_fc=1
    )
    take_out(the(DISPUTED), by=meera, reason="typed twice")
    assert list(line.bill_of_entry.lines.values_list("transaction_type", flat=True)) == ["C"]


def test_a_debit_that_stands_is_shown_again_only_with_other_figures(meera: User) -> None:
    loaded(LICENSE)
    line = typed("4712", PRINTED, "INNSA1")
    keep(the(DISPUTED), by=meera, reason="a manual bill")
    loaded(replace(LICENSE, printed_on=TODAY))
    assert nothing_is_open()
    BillOfEntryLine.objects.filter(pk=line.pk).update(cif_fc=401)
    the(DISPUTED)


def test_a_debit_that_waits_for_the_next_ledger_is_shown_again_with_it(meera: User) -> None:
    loaded(LICENSE)
    typed("4712", PRINTED, "INNSA1")
    keep(the(DISPUTED), by=meera, reason="just filed", until_next_ledger=True)
    assert Settlement.objects.get().sentence.endswith(
        f"it stays as it is, until there is a ledger newer than that of {PRINTED:%d %b %Y}."
    )
    loaded(LICENSE)
    assert nothing_is_open()
    loaded(replace(LICENSE, printed_on=TODAY))
    the(DISPUTED)


# ── One bill, twice ───────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("ours", [OTHER_PORT, OTHER_DAY, NO_PORT])
def test_one_bill_with_two_ports_or_dates_becomes_one(
    ours: tuple[str, date, str | None], meera: User, drained: Callable[[], None]
) -> None:
    loaded(LICENSE)
    bill = typed(*ours, 390).bill_of_entry
    BillOfEntry.objects.filter(pk=bill.pk).update(exchange_rate="83.5", company=Company.objects.get())
    typed(*ours, 50, serial_number=1)
    allotment = allot(10, 40, created_at=timezone.now())
    allotment.bills_of_entry.add(bill)
    drained()
    assert balance() == 1000 - 400 - 390 - 50
    found = the(TWIN)
    assert found.amount == 440
    assert [(line["cif_fc"], line["their_cif_fc"]) for line in found.details["lines"]] == [
        ("50.00", None), ("390.00", "400.00"),
    ]  # fmt: skip
    merge(found, by=meera)
    drained()
    theirs = BillOfEntry.objects.get()
    assert (theirs.number, theirs.date, f"{theirs.port}") == ("4711", IMPORTED, "INNSA1")
    assert (theirs.exchange_rate, theirs.company) == (Decimal("83.5"), Company.objects.get(iec="ABCDE1234F"))
    assert list(allotment.bills_of_entry.all()) == [theirs]
    assert balance() == 1000 - 400 - 50
    assert the(DISPUTED).amount == 50  # on an item that customs' bill does not have
    assert Settlement.objects.get().sentence.endswith(
        f"with USD 440.00 is probably BE 4711 of {IMPORTED:%d %b %Y}, INNSA1 of customs: made one."
    )


def test_bills_of_one_number_that_share_neither_day_nor_port_are_two() -> None:
    loaded(LICENSE)
    typed("4711", IMPORTED - timedelta(1), "INMUN1")
    the(DISPUTED)


def test_two_bills_that_customs_shows_both_are_two() -> None:
    loaded(replace(LICENSE, bills=(BILL, replace(BILL, serial_number=1, date=OTHER_DAY[1]))))
    typed(*OTHER_DAY)
    the(DISPUTED)


def test_what_customs_shows_of_our_bill_on_another_license_stays_with_it(meera: User) -> None:
    loaded(LICENSE)
    typed(*OTHER_DAY, 390)
    loaded(replace(LICENSE, number="0310000002", bills=(replace(BILL, date=OTHER_DAY[1]),)))
    merge(the(TWIN), by=meera)
    assert list(BillOfEntryLine.objects.order_by("pk").values_list("bill_of_entry__date", "source")) == [
        (IMPORTED, "icegate"), (OTHER_DAY[1], "icegate"),
    ]  # fmt: skip


def test_a_debit_of_another_license_that_nobody_confirms_is_not_lost(meera: User, drained: Callable[[], None]) -> None:
    loaded(LICENSE)
    theirs = BillOfEntry.objects.get()
    loaded(replace(LICENSE, number="0310000002", bills=()))
    typed(*OTHER_DAY, 390)
    elsewhere = typed(*OTHER_DAY, 77, license_id=2)
    BillOfEntryLine.objects.create(bill_of_entry=theirs, import_item=elsewhere.import_item, quantity=5, cif_fc=55)
    merge(mismatches(TWIN)[0], by=meera)
    assert list(BillOfEntryLine.objects.order_by("pk").values_list("bill_of_entry", "cif_fc")) == [
        (theirs.pk, 400), (elsewhere.bill_of_entry_id, 77), (theirs.pk, 55),
    ]  # fmt: skip
    assert mismatches(TWIN) == []
    assert {found.amount for found in mismatches(DISPUTED)} == {55, 77}
    drained()


def test_the_port_of_ours_is_not_taken_over_where_a_third_bill_has_it(meera: User) -> None:
    loaded(LICENSE)
    theirs = BillOfEntry.objects.get()
    port, theirs.port = theirs.port, None
    theirs.save()
    BillOfEntry.objects.create(number="4711", date=IMPORTED, port=port)
    typed(*OTHER_DAY, 390)
    merge(the(TWIN), by=meera)
    assert list(BillOfEntry.objects.order_by("pk").values_list("date", "port__code")) == [
        (IMPORTED, None), (IMPORTED, "INNSA1"),
    ]  # fmt: skip


@pytest.mark.parametrize("ours", [OTHER_PORT, OTHER_DAY, NO_PORT])
def test_the_next_ledger_makes_no_second_bill_of_what_was_made_one(
    ours: tuple[str, date, str | None], meera: User
) -> None:
    loaded(LICENSE)
    typed(*ours, 390)
    merge(the(TWIN), by=meera)
    LicenseChange.objects.all().delete()
    for printed_on in (PRINTED, TODAY):
        loaded(replace(LICENSE, printed_on=printed_on))
        assert nothing_is_open()
    assert not LicenseChange.objects.filter(source="ledger_billofentryline").exists()
    assert BillOfEntry.objects.count() == BillOfEntryLine.objects.count() == 1


def test_a_debit_that_was_taken_out_comes_again_when_a_ledger_shows_it(
    meera: User, drained: Callable[[], None]
) -> None:
    loaded(LICENSE)
    loaded(replace(LICENSE, bills=(), printed_on=PRINTED + timedelta(1)))
    take_out(the(DISPUTED), by=meera, reason="cancelled")
    loaded(replace(LICENSE, printed_on=TODAY))
    drained()
    assert balance() == 600
    assert nothing_is_open()


def test_two_bills_are_two_and_ours_is_asked_about_as_such(meera: User) -> None:
    loaded(LICENSE)
    typed(*OTHER_PORT)
    keep(the(TWIN), by=meera, reason="two ships")
    the(DISPUTED)


# ── Balances ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_balance_that_differs_from_customs_and_why(meera: User, drained: Callable[[], None]) -> None:
    loaded(NOTHING_YET)
    ExportItem.objects.update(source="manual", cif_fc=1200)
    loaded(LICENSE)
    sql("UPDATE ledger_billofentryline SET cif_fc = 390 WHERE source = 'icegate'")
    typed("4712", PRINTED, "INNSA1", 70)
    typed("4713", TODAY, "INNSA1", 30)
    allot(1, 15, serial_number=1)
    drained()
    assert bridge(1) == Bridge(
        as_of=PRINTED, is_reckoned=False, customs_balance_cif=Decimal(600), totals=Decimal(0), entitlement=Decimal(200),
        edited=Decimal(10), unconfirmed=Decimal(-70), later=Decimal(-30), allotted=Decimal(-15), raw=Decimal(695),
    )  # fmt: skip
    assert the_parts_add_up()
    [found] = mismatches(IMBALANCE)
    assert found.sentence == (
        "210.00 more than the USD 600.00 of customs: our export items add up to other than its CIF-FC by 200.00; its "
        "debits were changed since they were loaded by 10.00"
    )
    keep(found, by=meera, reason="enhancement is on its way", until_next_ledger=True)
    assert mismatches(IMBALANCE) == []
    loaded(replace(LICENSE, printed_on=TODAY))  # puts its debit right
    drained()
    [found] = mismatches(IMBALANCE)
    assert found.amount == 200
    keep(found, by=meera, reason="as agreed")
    loaded(replace(LICENSE, printed_on=TODAY))
    assert mismatches(IMBALANCE) == []
    ExportItem.objects.update(cif_fc=1001)  # within what customs rounds
    drained()
    assert mismatches(IMBALANCE) == []
    ExportItem.objects.update(cif_fc="1001.01")
    drained()
    assert [found.amount for found in mismatches(IMBALANCE)] == [Decimal("1.01")]


def the_parts_add_up() -> bool:
    found = bridge(1)
    assert found is not None
    parts = (found.totals, found.entitlement, found.edited, found.unconfirmed, found.later, found.allotted)
    return found.customs_balance_cif + sum(parts) == found.raw


def test_a_ledger_whose_own_totals_do_not_fit(drained: Callable[[], None]) -> None:
    text = text_file([LICENSE]).replace(b"\t600\t", b"\t500\t").replace(b"\t600\n", b"\t500\n")
    assert text != text_file([LICENSE])
    load(parse_bytes("ledger", text).ledgers, force=True)
    drained()
    assert (
        the(IMBALANCE).sentence
        == "100.00 more than the USD 500.00 of customs: its own debits do not come to that by 100.00"
    )
    assert the_parts_add_up()


def test_a_ledger_without_a_balance_is_reckoned_from_its_debits(drained: Callable[[], None]) -> None:
    loaded(replace(LICENSE, has_balances=False), force=True)
    drained()
    assert nothing_is_open()
    found = bridge(1)
    assert found is not None
    assert (found.is_reckoned, found.customs_balance_cif) == (True, 600)


def test_no_ledger_no_mismatch(drained: Callable[[], None]) -> None:
    loaded(LICENSE)
    sql("DELETE FROM ledger_customsbalance")
    sql("UPDATE license_license SET ledger_date = NULL, ledger_as_of = NULL")
    typed("4712", PRINTED, "INNSA1")
    ExportItem.objects.update(cif_fc=5000)
    drained()
    assert nothing_is_open()
    assert bridge(1) is None


# ── Whoever settles it ────────────────────────────────────────────────────────────────────────────────────────────────


def test_what_has_changed_since_it_was_seen_is_not_settled(meera: User) -> None:
    loaded(LICENSE)
    typed("4712", PRINTED, "INNSA1")
    seen = the(DISPUTED)
    BillOfEntryLine.objects.filter(pk=seen.subject_id).update(cif_fc=399)
    actions: tuple[Callable[[], None], ...] = (
        lambda: take_out(seen, by=meera, reason=""),
        lambda: keep(seen, by=meera, reason=""),
    )
    for action in actions:
        with pytest.raises(ChangedError):
            action()
    assert not Settlement.objects.exists()
    take_out(the(DISPUTED), by=meera, reason="")
    with pytest.raises(ChangedError):
        take_out(seen, by=meera, reason="")


def test_of_two_who_settle_the_same_in_the_same_second_one_does(meera: User) -> None:
    loaded(NOTHING_YET)
    allot(30, 600)
    loaded(LICENSE)
    seen, bill = the(UNCONVERTED), BillOfEntry.objects.get().pk

    def settle(_: int) -> bool:
        try:
            convert(seen, bill, keep_rest=True, by=meera)
        except ChangedError:
            return False
        finally:
            connection.close()
        return True

    with ThreadPoolExecutor(4) as people:
        assert sorted(people.map(settle, range(4))) == [False, False, False, True]
    assert Allotment.objects.count() == 2
    assert Settlement.objects.count() == 1


def test_of_two_who_settle_one_allotment_of_two_licenses_one_does(meera: User, drained: Callable[[], None]) -> None:
    second = replace(LICENSE, number="0310000002", bills=(), printed_on=MADE)
    loaded(NOTHING_YET)
    allotment = allot(30, 600)
    loaded(second)
    item = ImportItem.objects.get(license=2, serial_number=2)
    AllotmentLine.objects.create(allotment=allotment, import_item=item, quantity=30, cif_fc=600)
    loaded(LICENSE)
    loaded(replace(LICENSE, number="0310000002"))
    seen, bill = mismatches(UNCONVERTED), BillOfEntry.objects.get().pk
    assert [found.license_id for found in seen] == [1, 2]

    def settle(found: Mismatch) -> bool:
        try:
            convert(found, bill, keep_rest=True, by=meera)
        except ChangedError:
            return False
        finally:
            connection.close()
        return True

    with ThreadPoolExecutor(2) as people:
        assert sorted(people.map(settle, seen)) == [False, True]
    drained()
    assert list(AllotmentLine.objects.order_by("pk").values_list("allotment", "quantity")) == [
        (1, 20), (1, 20), (2, 10), (2, 10),
    ]  # fmt: skip
    assert nothing_is_open()


def test_who_converts_and_who_saves_the_bill_with_the_allotment_do_not_wait_for_each_other(meera: User) -> None:
    loaded(NOTHING_YET)
    allotment = allot(10, 400)
    loaded(LICENSE)
    seen, bill = the(UNCONVERTED), BillOfEntry.objects.get()

    def settle() -> None:
        try:
            with pytest.raises(ChangedError):
                convert(seen, bill.pk, keep_rest=False, by=meera)
        finally:
            connection.close()

    with ThreadPoolExecutor(1) as people:
        with transaction.atomic():  # as data entry does: the bill, then its links
            BillOfEntry.objects.select_for_update(no_key=True).get(pk=bill.pk)
            settled = people.submit(settle)
            wait_until(lambda: one("SELECT count(*) FROM pg_locks WHERE NOT granted"), "the other comes")
            bill.allotments.set([allotment])
        settled.result()


def test_a_license_is_asked_about_alone(meera: User) -> None:
    loaded(LICENSE)
    typed("4712", PRINTED, "INNSA1")
    assert [each.license_id for each in mismatches(DISPUTED, [1])] == [1]
    assert mismatches(DISPUTED, [2]) == []
    assert counts([2]) == dict.fromkeys(MismatchKind, 0)


def test_the_night_tells_what_is_open(meera: User, drained: Callable[[], None]) -> None:
    loaded(NOTHING_YET)
    allot(10, 400)
    ExportItem.objects.update(source="manual", cif_fc=1200)
    loaded(LICENSE)
    typed(*OTHER_PORT)
    typed("4712", PRINTED, "INNSA1", 70)
    drained()
    run = run_night()
    for kind in MismatchKind:
        [open_one] = mismatches(kind)
        [finding] = findings_of(run, FindingKind(kind))
        assert words(finding, run.business_date) == open_one.sentence
        assert (finding.license_number, finding.amount) == ("0310000001", open_one.amount)
        keep(open_one, by=meera, reason="known")
    run = run_night()
    told = {kind.value: number for kind in MismatchKind if (number := run.finding_counts.get(kind.value))}
    assert told == {"disputed": 1}  # the bill that is no twin any more
    assert customs.counts()[DISPUTED] == 1


def test_the_night_tells_the_largest_first(drained: Callable[[], None]) -> None:
    for number, entitlement in (("0310000001", 990), ("0310000002", 800), ("0310000003", 1100)):
        loaded(replace(LICENSE, number=number))
        ExportItem.objects.filter(license__license_number=number).update(cif_fc=entitlement)
        license_id = ExportItem.objects.latest("pk").license_id
        typed(f"99{entitlement}", PRINTED, "INNSA1", entitlement, license_id=license_id)
    drained()
    run = run_night()
    for kind, amounts in ((IMBALANCE, [-200, 100, -10]), (DISPUTED, [1100, 990, 800])):
        assert [found.amount for found in findings_of(run, FindingKind(kind))] == amounts
        assert [found.amount for found in mismatches(kind)] == amounts
