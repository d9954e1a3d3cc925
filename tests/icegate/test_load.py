"""Ledgers become facts: set by set, all or nothing for each license, and twice is once."""

import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection, transaction
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from ledger.icegate.load import Loaded, Status, _load, batches, load
from ledger.icegate.parse import parse_bytes, parse_file
from ledger.models import BillOfEntry, BillOfEntryLine, LicenseBalance
from license.models import Company, ExportItem, ImportItem, Port, SionNorm
from license.models import License as OurLicense
from tests.conftest import TABLES, assert_balances_follow_facts, empty_tables, one, sql
from tests.engine.sessions import session
from tests.icegate.render import Bill, Item, License, Mess, csv_file, html_file, text_file

pytestmark = pytest.mark.usefixtures("database")

SAMPLES = Path(__file__).resolve().parents[2] / "samples"
GOOD_SAMPLES = sorted(path for path in SAMPLES.iterdir() if path.name.startswith(("dfia", "advance")))

BILL = Bill(2, "4711", date(2026, 2, 1), "INNSA1", Decimal(10), Decimal("400.00"), Decimal("33000.00"))
LICENSE = License(
    "0310000001",
    date(2026, 1, 1),
    "ABCDE1234F",
    Decimal("1000.00"),
    Decimal("83000.00"),
    (Item(1, Decimal("50.5"), Decimal("1000.00"), Decimal("83000.00")), Item(2, Decimal(100))),
    (BILL,),
    registration_number="0310000001",
    registration_date=date(2026, 1, 10),
    printed_on=date(2026, 3, 1),
)


def loaded(*licenses: License, render: Callable[..., bytes] = text_file, **options: Any) -> list[Loaded]:
    parsed = parse_bytes("ledger", render(licenses))
    assert parsed.problems == ()
    return load(parsed.ledgers, **options)


def the(outcomes: Iterable[Loaded], status: Status, *notes: str) -> None:
    """There is one outcome, of that status, and its notes contain these texts, one each."""
    [outcome] = outcomes
    assert outcome.status is status, outcome
    assert len(outcome.notes) == len(notes), outcome.notes
    for note, text in zip(outcome.notes, notes, strict=True):
        assert text in note


def snapshot() -> list[Any]:
    """All that is in the tables, changes included."""
    return [sql(f"SELECT t.*, t.ctid FROM {table} AS t ORDER BY t.ctid") for table in TABLES.replace(",", "").split()]


def lines() -> list[tuple[Any, ...]]:
    return sql("""
        SELECT b.number, b.date, p.code, i.serial_number, l.transaction_type, l.quantity, l.cif_fc, l.cif_inr, l.source,
            l.disputed_since
        FROM ledger_billofentryline AS l
        JOIN ledger_billofentry AS b ON b.id = l.bill_of_entry_id
        LEFT JOIN license_port AS p ON p.id = b.port_id
        JOIN license_importitem AS i ON i.id = l.import_item_id
        ORDER BY 1, 2, 3, 4
    """)


THE_LINE = (
    "4711", date(2026, 2, 1), "INNSA1", 2, "D", Decimal(10), Decimal(400), Decimal(33000), "icegate", None
)  # fmt: skip


def test_what_a_ledger_becomes(drained: Callable[[], None]) -> None:
    the(loaded(LICENSE), Status.CREATED)
    license = OurLicense.objects.select_related("exporter", "port").get()
    assert license.exporter is not None
    assert license.port is not None
    assert (license.license_number, license.license_date) == ("0310000001", date(2026, 1, 1))
    assert (license.license_expiry_date, license.is_expiry_presumed) == (date(2027, 1, 1), True)
    assert (license.registration_number, license.registration_date) == ("0310000001", date(2026, 1, 10))
    assert (license.scheme_code, license.notification_number, license.currency) == ("26", "025/2023", "USD")
    assert (license.exporter.iec, license.port.code, license.ledger_date) == ("ABCDE1234F", "INNSA1", date(2026, 3, 1))
    assert ExportItem.objects.values_list("cif_fc", "cif_inr", "net_quantity", "norm", "source").get() == (
        Decimal(1000), Decimal(83000), Decimal("150.5"), None, "icegate"
    )  # fmt: skip
    assert list(ImportItem.objects.order_by("pk").values_list("serial_number", "quantity", "cif_fc", "cif_inr")) == [
        (1, Decimal("50.5"), Decimal(1000), Decimal(83000)),
        (2, Decimal(100), Decimal(0), Decimal(0)),
    ]
    assert lines() == [THE_LINE]
    drained()
    assert LicenseBalance.objects.get().balance_cif == 600


@pytest.mark.parametrize("path", GOOD_SAMPLES, ids=lambda path: path.name)
def test_the_samples_are_loaded_and_customs_own_balance_agrees(path: Path, drained: Callable[[], None]) -> None:
    parsed = parse_file(path)
    assert parsed.problems == ()
    assert {outcome.status for outcome in load(parsed.ledgers)} == {Status.CREATED}
    drained()
    for ledger in parsed.ledgers:
        balance = LicenseBalance.objects.get(license__license_number=ledger.license_number)
        assert abs(balance.balance_cif - balance.overdrawn_cif - ledger.balance_cif_fc) <= 1


@pytest.mark.parametrize("path", GOOD_SAMPLES, ids=lambda path: path.name)
def test_twice_is_once(path: Path) -> None:
    load(parse_file(path).ledgers)
    before = snapshot()
    outcomes = load(parse_file(path).ledgers)
    assert {outcome.status for outcome in outcomes} == {Status.UNCHANGED}
    assert snapshot() == before  # not a row written, not a change recorded


def test_a_newer_ledger_is_followed() -> None:
    loaded(LICENSE)
    ours = OurLicense.objects.get()
    export = ExportItem.objects.get()
    norm = SionNorm.objects.create(code="E5")
    ExportItem.objects.update(norm=norm, description="cashew kernels")
    ImportItem.objects.filter(serial_number=2).update(description="raw cashew", restriction_percentage=5)
    newer = replace(
        LICENSE,
        cif_fc=Decimal("1200.00"),
        items=(*LICENSE.items, Item(3, Decimal(7))),
        bills=(replace(BILL, cif_fc=Decimal("390.00")), replace(BILL, number="4712", serial_number=3)),
        printed_on=date(2026, 4, 1),
    )
    the(loaded(newer), Status.UPDATED)
    assert OurLicense.objects.get(pk=ours.pk).ledger_date == date(2026, 4, 1)
    assert ExportItem.objects.values_list("pk", "cif_fc", "norm", "description").get() == (
        export.pk, Decimal(1200), norm.pk, "cashew kernels"
    )  # fmt: skip
    assert ImportItem.objects.get(serial_number=2).description == "raw cashew"
    assert ImportItem.objects.count() == 3
    assert [(line[0], line[3], line[6]) for line in lines()] == [("4711", 2, Decimal(390)), ("4712", 3, Decimal(400))]


def test_an_item_that_the_ledger_does_not_show_is_kept_and_named() -> None:
    loaded(replace(LICENSE, items=(*LICENSE.items, Item(3, Decimal(7)), Item(4, Decimal(8)))))
    the(loaded(LICENSE), Status.UPDATED, "not in the ledger, and kept: item 3, 4")
    assert ImportItem.objects.count() == 4


def test_an_older_ledger_changes_nothing() -> None:
    loaded(LICENSE)
    before = snapshot()
    older = replace(LICENSE, cif_fc=Decimal("900.00"), printed_on=date(2026, 2, 28))
    the(loaded(older), Status.OLDER, "printed on 28/02/2026, and we hold a ledger of 01/03/2026")
    assert snapshot() == before


def test_an_undated_ledger_is_trusted_only_if_it_mentions_something_as_new() -> None:
    loaded(LICENSE)
    before = snapshot()
    changed = replace(LICENSE, cif_fc=Decimal("1200.00"))
    the(loaded(changed, render=csv_file), Status.OLDER, "its newest entry is of 01/02/2026")
    assert snapshot() == before
    the(loaded(changed, render=csv_file, ledger_date=date(2026, 3, 2)), Status.UPDATED)
    with_newer_bill = replace(changed, bills=(BILL, replace(BILL, number="4712", date=date(2026, 3, 3))))
    the(loaded(with_newer_bill, render=csv_file), Status.UPDATED)
    assert OurLicense.objects.get().ledger_date == date(2026, 3, 2)


def test_undated_after_undated() -> None:
    loaded(replace(LICENSE, bills=(BILL, replace(BILL, number="4712", date=date(2026, 3, 3)))), render=csv_file)
    assert OurLicense.objects.get().ledger_date is None
    the(loaded(LICENSE, render=csv_file), Status.OLDER, "we hold a ledger of 03/03/2026")


@pytest.mark.parametrize(
    ("issued", "expires"),
    [
        (date(2024, 2, 29), date(2025, 2, 28)),
        (date(2025, 3, 31), date(2026, 3, 31)),
        (date(2025, 12, 31), date(2026, 12, 31)),
    ],
)
def test_twelve_months_are_presumed(issued: date, expires: date) -> None:
    loaded(replace(LICENSE, date=issued))
    license = OurLicense.objects.get()
    assert (license.license_expiry_date, license.is_expiry_presumed) == (expires, True)


def test_a_known_expiry_stays_and_a_presumed_one_follows_the_license_date() -> None:
    loaded(LICENSE)
    loaded(replace(LICENSE, date=date(2026, 1, 5)))
    assert OurLicense.objects.get().license_expiry_date == date(2027, 1, 5)
    OurLicense.objects.update(license_expiry_date=date(2028, 6, 30), is_expiry_presumed=False)
    loaded(LICENSE)
    license = OurLicense.objects.get()
    assert (license.license_expiry_date, license.is_expiry_presumed) == (date(2028, 6, 30), False)


def test_what_a_ledger_leaves_blank_stays() -> None:
    loaded(LICENSE)
    loaded(replace(LICENSE, registration_number="", registration_date=None, notification_number="", port_code=""))
    license = OurLicense.objects.select_related("port").get()
    assert license.port is not None
    assert (license.registration_number, license.registration_date) == ("0310000001", date(2026, 1, 10))
    assert (license.notification_number, license.port.code) == ("025/2023", "INNSA1")


@pytest.mark.parametrize(
    ("typed", "notes"),
    [
        (["999.50"], []),
        (["600.00", "401.00"], []),
        (["1002.00"], ["our export items add up to 1002.00, the ledger says CIF-FC 1000.00"]),
    ],
)
def test_typed_export_items_stay_and_are_not_added_to(typed: list[str], notes: list[str]) -> None:
    license = OurLicense.objects.create(license_number="0310000001", license_date="2026-01-01")
    for cif_fc in typed:
        ExportItem.objects.create(license=license, cif_fc=cif_fc)
    the(loaded(LICENSE), Status.UPDATED, *notes)
    assert sorted(ExportItem.objects.values_list("cif_fc", "source")) == sorted((Decimal(c), "manual") for c in typed)


def test_an_export_item_typed_beside_customs_own_is_reported() -> None:
    loaded(LICENSE)
    ExportItem.objects.create(license=OurLicense.objects.get(), cif_fc=50)
    the(loaded(LICENSE), Status.UNCHANGED, "our export items add up to 1050.00")


# a bill of ours, and what becomes of it when the ledger names 4711 of 1 Feb 2026 at INNSA1
DATE = date(2026, 2, 1)
NO_DATE = "had no date in our books; it is that of 01/02/2026"
BILLS = [
    # (number, date, port) before            after                                            note
    ([("4711", DATE, "INNSA1")], [("4711", DATE, "INNSA1")], None),
    ([("4711", DATE, None)], [("4711", DATE, "INNSA1")], None),
    ([("4711", None, "INNSA1")], [("4711", DATE, "INNSA1")], NO_DATE),
    ([("4711", None, None)], [("4711", DATE, "INNSA1")], NO_DATE),
    ([("04711", DATE, "INNSA1")], [("04711", DATE, "INNSA1")], None),
    ([("004711", None, None)], [("004711", DATE, "INNSA1")], NO_DATE),
    ([("4711", DATE, "INMUN1")], [("4711", DATE, "INMUN1")], "is of port INMUN1 in our books and of INNSA1"),
    ([("4711", None, "INMUN1")], [("4711", None, "INMUN1"), ("4711", DATE, "INNSA1")], None),
    ([("4711", date(2025, 2, 1), "INNSA1")], [("4711", date(2025, 2, 1), "INNSA1"), ("4711", DATE, "INNSA1")], None),
    ([("4711", DATE, "INMUN1"), ("4711", DATE, "INNSA1")], [("4711", DATE, "INMUN1"), ("4711", DATE, "INNSA1")], None),
    ([("4711", DATE, None), ("4711", DATE, "INNSA1")], [("4711", DATE, "INNSA1"), ("4711", DATE, None)], None),
]


@pytest.mark.parametrize(("before", "after", "note"), BILLS)
def test_which_bill_of_ours_it_is(before: list[Any], after: list[Any], note: str | None) -> None:
    for number, when, code in before:
        port = Port.objects.get_or_create(code=code)[0] if code else None
        BillOfEntry.objects.create(number=number, date=when, port=port)
    the(loaded(LICENSE), Status.CREATED, *([note] if note else []))
    found = sql(
        "SELECT b.number, b.date, p.code FROM ledger_billofentry b LEFT JOIN license_port p ON p.id = b.port_id "
        "ORDER BY b.number, b.date, p.code"
    )
    assert sorted(found, key=repr) == sorted(after, key=repr)
    assert len(lines()) == 1
    assert (lines()[0][2] == "INMUN1") is bool(note and "in our books and of" in note)


def test_two_incoming_bills_do_not_take_the_same_undated_one() -> None:
    BillOfEntry.objects.create(number="4711")
    loaded(replace(LICENSE, bills=(BILL, replace(BILL, date=date(2026, 2, 20), serial_number=1))))
    assert sorted((line[0], line[1], line[3]) for line in lines()) == [
        ("4711", date(2026, 2, 1), 2),
        ("4711", date(2026, 2, 20), 1),
    ]


def test_one_bill_stands_on_two_licenses() -> None:
    other = replace(LICENSE, number="0310000002")
    parsed = parse_bytes("ledger", text_file([LICENSE, other]))
    assert {outcome.status for outcome in load(parsed.ledgers)} == {Status.CREATED}
    assert BillOfEntry.objects.count() == 1
    assert BillOfEntryLine.objects.count() == 2


def test_a_typed_line_becomes_customs_own() -> None:
    loaded(replace(LICENSE, bills=()))
    bill = BillOfEntry.objects.create(number="4711", date=DATE)
    item = ImportItem.objects.get(serial_number=2)
    BillOfEntryLine.objects.create(bill_of_entry=bill, import_item=item, quantity=10, cif_fc=350)
    the(loaded(LICENSE), Status.UPDATED, "item 2, bill of entry 4711: typed as 10.000 for 350.00, now")
    assert lines() == [THE_LINE]


def test_a_line_that_the_ledger_no_longer_shows_is_disputed_and_still_counts(drained: Callable[[], None]) -> None:
    loaded(LICENSE)
    item = ImportItem.objects.get(serial_number=1)
    typed = BillOfEntry.objects.create(number="99", date=DATE)
    BillOfEntryLine.objects.create(bill_of_entry=typed, import_item=item, cif_fc=5)
    gone = replace(LICENSE, bills=(), printed_on=date(2026, 4, 1))
    ours_alone = "come to 5.00, those of the ledger to 0; not in the ledger: item 1, bill of entry 99 over 5.00"
    the(loaded(gone), Status.UPDATED, "item 2, bill of entry 4711 over 400.00 is no longer in the ledger", ours_alone)
    assert [(line[0], line[9]) for line in lines()] == [("4711", date(2026, 4, 1)), ("99", None)]
    drained()
    assert LicenseBalance.objects.get().balance_cif == 595
    the(loaded(gone), Status.UNCHANGED, ours_alone)
    the(loaded(replace(LICENSE, printed_on=date(2026, 5, 1))), Status.UPDATED, "not in the ledger: item 1")
    assert [(line[0], line[9]) for line in lines()] == [("4711", None), ("99", None)]


OTHER = replace(LICENSE, number="0310000002")


def typed(license: License, bill: tuple[str, date | None, str | None], cif_fc: int) -> None:
    """A license of ours with its two items, and a bill that somebody typed on its item 2."""
    ours = OurLicense.objects.create(license_number=license.number, license_date=license.date)
    number, when, code = bill
    port = Port.objects.get_or_create(code=code)[0] if code else None
    entry = BillOfEntry.objects.get_or_create(number=number, date=when, port=port)[0]
    item = ImportItem.objects.create(license=ours, serial_number=2)
    BillOfEntryLine.objects.create(bill_of_entry=entry, import_item=item, quantity=10, cif_fc=cif_fc)


@pytest.mark.parametrize("at_once", [True, False])
def test_what_else_is_loaded_at_the_same_time_does_not_matter(at_once: bool, drained: Callable[[], None]) -> None:
    """Two bills of one number and date at two ports, on two licenses: neither takes the other's."""
    typed(LICENSE, ("4711", DATE, "INNSA1"), 400)
    typed(OTHER, ("4711", DATE, "INMUN1"), 400)
    there = replace(OTHER, bills=(replace(BILL, port_code="INMUN1"),))
    for licenses in [[LICENSE, there]] if at_once else [[LICENSE], [there]]:
        assert [outcome.notes for outcome in loaded(*licenses)] == [()] * len(licenses)
    drained()
    assert [balance.debited_cif for balance in LicenseBalance.objects.all()] == [400, 400]


def test_the_bill_that_stands_on_the_item_already_is_the_one() -> None:
    typed(LICENSE, ("4711", DATE, "INMUN1"), 400)
    typed(OTHER, ("4711", DATE, "INNSA1"), 400)
    the(loaded(LICENSE), Status.UPDATED, "is of port INMUN1 in our books and of INNSA1 in this ledger")
    assert one("SELECT count(*) FROM ledger_billofentryline") == 2


def test_an_undated_bill_of_another_license_is_not_taken(drained: Callable[[], None]) -> None:
    typed(LICENSE, ("4711", None, None), 70)
    the(loaded(OTHER), Status.CREATED)
    assert [line[:2] for line in lines()] == [("4711", DATE), ("4711", None)]
    # its own license takes it
    mine = replace(BILL, date=date(2026, 2, 20), cif_fc=Decimal("70.00"))
    the(loaded(replace(LICENSE, bills=(mine,))), Status.UPDATED, "it is that of 20/02/2026")
    drained()
    assert sorted(balance.debited_cif for balance in LicenseBalance.objects.all()) == [70, 400]


def test_zeros_that_a_spreadsheet_has_eaten_make_no_second_debit(drained: Callable[[], None]) -> None:
    loaded(replace(LICENSE, bills=(replace(BILL, number="0012345"),)))
    the(loaded(replace(LICENSE, bills=(replace(BILL, number="12345"),))), Status.UNCHANGED)
    assert [line[0] for line in lines()] == ["0012345"]


def test_debits_that_customs_does_not_have_are_named() -> None:
    typed(LICENSE, ("99", DATE, None), 30)
    typed(OTHER, ("98", date(2026, 3, 2), None), 30)  # after the print: customs cannot know of it
    outcomes = loaded(LICENSE, OTHER)
    assert [outcome.notes for outcome in outcomes] == [
        (
            (
                "our debits up to 01/03/2026 come to 430.00, those of the ledger to 400.00; not in the ledger: item 2, "
                "bill of entry 99 over 30.00"
            ),
        ),
        (),
    ]


def test_a_dated_ledger_older_than_what_an_undated_one_mentions_changes_nothing() -> None:
    loaded(LICENSE)
    newer = replace(
        LICENSE, bills=(replace(BILL, cif_fc=Decimal(420)), replace(BILL, number="1", date=date(2026, 3, 9)))
    )
    the(loaded(newer, render=csv_file), Status.UPDATED)
    the(loaded(replace(LICENSE, printed_on=date(2026, 3, 5))), Status.OLDER, "we hold a ledger of 09/03/2026")
    assert OurLicense.objects.get().ledger_date == date(2026, 3, 1)


def test_an_expiry_date_that_somebody_set_stays_though_the_mark_stayed_too() -> None:
    loaded(LICENSE)
    OurLicense.objects.update(license_expiry_date=date(2027, 7, 1))
    the(loaded(replace(LICENSE, printed_on=date(2026, 4, 1))), Status.UPDATED)
    license = OurLicense.objects.get()
    assert (license.license_expiry_date, license.is_expiry_presumed) == (date(2027, 7, 1), False)


def test_a_print_date_to_come_is_not_believed() -> None:
    the(loaded(replace(LICENSE, printed_on=date(2099, 1, 1))), Status.CREATED, "printed on 01/01/2099, which is still")
    assert OurLicense.objects.get().ledger_date is None
    the(loaded(replace(LICENSE, cif_fc=Decimal(1100))), Status.UPDATED)


def test_a_given_date_of_print_before_what_it_mentions_is_refused() -> None:
    the(loaded(LICENSE, render=csv_file, ledger_date=date(2026, 1, 31)), Status.REFUSED, "is --ledger-date right?")
    assert sql("SELECT * FROM license_license") == []


def test_a_printed_date_before_what_it_mentions_is_told_of() -> None:
    early = replace(LICENSE, printed_on=date(2026, 1, 31))
    the(loaded(early), Status.CREATED, "printed on 31/01/2026, it mentions something of 01/02/2026")


@pytest.mark.parametrize("text", ["2026-01-01", "31/02/2026", "01/01/2099", "٠١/٠١/٢٠٢٦x"])
def test_a_wrong_ledger_date_is_refused(text: str) -> None:
    with pytest.raises(CommandError, match=r"is not a date; write it as DD/MM/YYYY|is still to come"):
        call_command("import_icegate", "--ledger-date", text, "none.csv")


def test_a_license_that_somebody_holds_is_left_and_the_others_are_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded(LICENSE, OTHER)
    with session() as other:
        other.execute("BEGIN")
        other.execute("SELECT FROM license_license WHERE license_number = %s FOR UPDATE", [LICENSE.number])
        newer = [replace(each, printed_on=date(2026, 4, 1)) for each in (LICENSE, OTHER)]
        outcomes = loaded(*newer)
    assert [outcome.status for outcome in outcomes] == [Status.REFUSED, Status.UPDATED]
    assert "somebody else holds it" in outcomes[0].notes[-1]


def test_one_who_was_first_with_the_same_bill_is_no_refusal() -> None:
    """Another session inserts the bill and commits while the load waits for it."""
    with session() as other, ThreadPoolExecutor() as threads:
        other.execute("BEGIN")
        other.execute("INSERT INTO license_port (code) VALUES ('INNSA1')")
        other.execute(
            "INSERT INTO ledger_billofentry (number, date, port_id) SELECT '4711', '2026-02-01', id FROM license_port"
        )
        loading = threads.submit(in_a_thread, lambda: loaded(LICENSE))
        waits = "SELECT pid FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
        while not sql(waits):
            time.sleep(0.01)
        other.execute("COMMIT")
        the(loading.result(), Status.CREATED)
    assert BillOfEntry.objects.count() == 1


def test_a_large_ledger_is_not_read_anew_for_each_of_its_debits() -> None:
    """Or the time for a load would grow with the square of its lines."""
    bills = tuple(replace(BILL, number=f"{4711 + n}", cif_fc=Decimal(1)) for n in range(200))
    ledgers = list(parse_bytes("ledger", text_file([replace(LICENSE, bills=bills)])).ledgers)
    for quantity in (10, 11):
        ledger = replace(ledgers[0], debits=tuple(replace(d, quantity=Decimal(quantity)) for d in ledgers[0].debits))
        with transaction.atomic():
            the(_load([ledger], None), Status.CREATED if quantity == 10 else Status.UPDATED)
            assert one("SELECT seq_scan FROM pg_stat_xact_all_tables WHERE relname = 'incoming_debit'") < 40


def test_one_transaction_loads_so_many_licenses_or_debits() -> None:
    [ledger] = parse_bytes("ledger", text_file([LICENSE])).ledgers
    of = {size: replace(ledger, debits=ledger.debits[:1] * size) for size in (0, 2_500, 2_501, 9_000)}
    sizes = [len(each) for each in batches([of[0]] * 201)]
    assert sizes == [200, 1]
    wanted = [[of[2_500], of[2_500]], [of[9_000]], [of[0], of[2_500]], [of[2_501]]]
    assert list(batches(each for batch in wanted for each in batch)) == wanted


def in_a_thread(work: Callable[[], list[Loaded]]) -> list[Loaded]:
    try:
        return work()
    finally:
        connection.close()


def test_totals_that_do_not_fit_are_loaded_only_by_force_and_reported_either_way() -> None:
    text = text_file([LICENSE]).replace(b"Bal.CIF-FC", b"Bal.CIF-FC").replace(b"\t600\t", b"\t700\t")
    parsed = parse_bytes("ledger", text)
    [ledger] = parsed.ledgers
    assert not ledger.totals_fit
    the(load([ledger]), Status.REFUSED, "is a page missing?")
    assert sql("SELECT * FROM license_license") == []
    the(load([ledger], force=True), Status.CREATED, "is a page missing?")


def test_a_license_that_the_database_refuses_keeps_no_other_from_being_loaded() -> None:
    sql("ALTER TABLE license_license ADD CONSTRAINT test_refusal CHECK (license_number <> '0310000002')")
    try:
        licenses = [replace(LICENSE, number=f"031000000{n}") for n in range(1, 6)]
        outcomes = load(parse_bytes("ledger", text_file(licenses)).ledgers)
    finally:
        sql("ALTER TABLE license_license DROP CONSTRAINT test_refusal")
    assert [outcome.status for outcome in outcomes] == [
        Status.CREATED, Status.REFUSED, Status.CREATED, Status.CREATED, Status.CREATED
    ]  # fmt: skip
    assert "test_refusal" in outcomes[1].notes[-1]
    assert one("SELECT count(*) FROM ledger_billofentryline") == 4


amounts = st.decimals(0, 99_999, places=2)
quantities = st.decimals(0, 9_999, places=3)


@st.composite
def license_lists(draw: st.DrawFn) -> list[License]:
    """Some licenses that share bills, as exporters' do."""
    licenses = []
    for number in range(draw(st.integers(1, 6))):
        items = tuple(Item(n, draw(quantities)) for n in range(1, draw(st.integers(1, 12)) + 1))
        bills = draw(
            st.lists(
                st.builds(
                    Bill,
                    serial_number=st.integers(1, len(items)),
                    number=st.sampled_from(["1234567", "2345678", "3456789"]),
                    date=st.dates(date(2026, 1, 1), date(2026, 1, 4)),
                    port_code=st.just("INNSA1"),
                    quantity=quantities,
                    cif_fc=amounts,
                    cif_inr=amounts,
                    type=st.sampled_from("EMD"),
                ),
                max_size=12,
                unique_by=lambda bill: (bill.serial_number, bill.number, bill.date),
            )
        )
        licenses.append(
            replace(
                LICENSE,
                number=f"03100{number:05}",
                cif_fc=draw(amounts),
                items=items,
                bills=tuple(bills),
                currency=draw(st.sampled_from(["USD", "EUR"])),
            )
        )
    return licenses


messes = st.builds(
    Mess,
    value_prefix=st.sampled_from(["", ": ", ":\u00a0"]),
    separators=st.sampled_from(["none", "western", "indian"]),
    has_lost_zeros=st.booleans(),
    are_bills_split=st.booleans(),
    rows_per_page=st.sampled_from([0, 5]),
)


@settings(
    max_examples=25,
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(licenses=license_lists(), mess=messes, render=st.sampled_from([csv_file, text_file, html_file]))
def test_customs_is_the_judge_of_made_up_ledgers(
    licenses: list[License], mess: Mess, render: Callable[..., bytes]
) -> None:
    from ledger.engine import drain

    empty_tables()
    for status in (Status.CREATED, Status.UNCHANGED):
        parsed = parse_bytes("ledger", render(licenses, mess))
        assert parsed.problems == ()
        assert {outcome.status for outcome in load(parsed.ledgers)} == {status}
    drain()
    assert_balances_follow_facts()
    for license in licenses:
        balance = LicenseBalance.objects.get(license__license_number=license.number)
        assert balance.debited_cif == sum((bill.cif_fc for bill in license.bills), Decimal(0))
        assert balance.balance_cif - balance.overdrawn_cif == license.cif_fc - balance.debited_cif


def test_the_command_says_what_was_not_loaded_and_loads_the_rest(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good, bad = tmp_path / "good.csv", tmp_path / "bad.csv"
    good.write_bytes(csv_file([LICENSE]))
    bad.write_bytes(csv_file([replace(LICENSE, number="0310000002"), replace(LICENSE, number="0310000003", iec="X")]))
    with pytest.raises(CommandError) as error:
        call_command("import_icegate", str(good), str(bad), str(tmp_path / "none.csv"))
    assert error.value.returncode == 1
    out, err = capsys.readouterr()
    assert "2 created" in out
    assert "1 not readable" in out
    assert f"{bad}:" in err
    assert "License 0310000003 is not loaded." in err
    assert "none.csv" in err
    assert sorted(OurLicense.objects.values_list("license_number", flat=True)) == ["0310000001", "0310000002"]
    assert Company.objects.count() == 1
    with pytest.raises(CommandError, match="Not everything was loaded"):
        call_command("import_icegate", str(tmp_path / "none.csv"))
    assert capsys.readouterr().out == "Licenses: none.\n"
