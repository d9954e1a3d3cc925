"""Allotting: what is reserved is there, counted from facts, whoever else reserves in the same second."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from decimal import Decimal
from threading import Barrier
from typing import Any
from uuid import UUID

import pytest
from django.contrib.auth.models import Permission, User
from django.db import connection

from ledger.allotting import (
    AllottedAlreadyError,
    RefusedError,
    Share,
    allot,
    give_up,
    left,
    most,
    take_up_again,
)  # fmt: skip
from ledger.engine import Outcome
from ledger.models import (
    Allotment,
    AllotmentLine,
    AllotmentRelease,
    Allotting,
    BillOfEntry,
    BillOfEntryLine,
    Overdraw,
)  # fmt: skip
from ledger.overdraw import OverdrawsError
from license.models import ExportItem, ImportItem, ItemName, SionNorm
from license.units import rounded_down
from tests.conftest import sql
from tests.engine.sessions import Engine, make_licenses, wait_until
from tests.web.conftest import forget_people

pytestmark = pytest.mark.usefixtures("database")


@pytest.fixture(autouse=True)
def licenses(database: None) -> Iterator[None]:
    """Two of 1,000.00 with items of 10; license 1 has a second item, 3. Allotments 1 and 2."""
    make_licenses(2)
    ImportItem.objects.create(pk=3, license_id=1, serial_number=2, quantity=10, unit="KGS")
    yield
    forget_people()


@pytest.fixture
def operator() -> User:
    return User.objects.create_user("meera")


@pytest.fixture
def senior() -> User:
    user = User.objects.create_user("arjun")
    user.user_permissions.add(Permission.objects.get(codename="overdraw_allotment"))
    return user


def share(item: int, quantity: str, cif_fc: str) -> Share:
    return Share(item, Decimal(quantity), Decimal(cif_fc))


def of(pk: int) -> Allotment:
    return Allotment(pk=pk)


def lines() -> list[Any]:
    return sql(
        "SELECT allotment_id, import_item_id, quantity::text, cif_fc::text FROM ledger_allotmentline ORDER BY 1, 2"
    )


def sentences(allotting: Callable[[], Any]) -> list[str]:
    with pytest.raises(OverdrawsError) as refused:
        allotting()
    return list(refused.value.sentences)


# ── What is there, and what is not ────────────────────────────────────────────────────────────────────────────────────


def test_exactly_what_is_left_is_reserved_and_the_balance_follows(operator: User, drained: Callable[[], None]) -> None:
    allot(of(1), [share(1, "4", "300"), share(2, "10", "1000")], by=operator)
    allot(of(1), [share(1, "6", "700")], by=operator)  # on top of what it has there
    assert lines() == [(1, 1, "10.000", "1000.00"), (1, 2, "10.000", "1000.00")]
    drained()


@pytest.mark.parametrize(
    ("wanted", "told"),
    [
        (
            [("10.001", "1")],
            ["item 1: quantity 10 left, this entry takes 10.001 more: it would be overdrawn by 0.001."],
        ),
        (
            [("1", "1000.01")],
            ["balance USD 1,000.00 left, this entry takes 1,000.01 more: it would be overdrawn by 0.01."],
        ),
    ],
)
def test_a_hair_more_is_not(wanted: list[tuple[str, str]], told: list[str], operator: User) -> None:
    found = sentences(lambda: allot(of(1), [share(1, *each) for each in wanted], by=operator))
    assert [sentence.removeprefix("License 1, ").removeprefix("License 1: ") for sentence in found] == told
    assert lines() == []
    assert sql("SELECT * FROM ledger_licensechange WHERE source = 'ledger_allotmentline'") == []


def test_all_or_nothing(operator: User) -> None:
    with pytest.raises(OverdrawsError):
        allot(of(1), [share(1, "1", "1"), share(2, "11", "1")], by=operator)
    assert lines() == []


def test_the_pool_of_a_restriction_is_respected(operator: User) -> None:
    norm = SionNorm.objects.create(code="E5")
    name = ItemName.objects.create(name="Sugar", sion_norm=norm, restriction_percentage=10)
    ExportItem.objects.filter(license=1).update(norm=norm)
    for item in (1, 3):
        ImportItem.objects.get(pk=item).item_names.add(name)
    allot(of(1), [share(1, "1", "60")], by=operator)
    [told] = sentences(lambda: allot(of(2), [share(3, "1", "40.01")], by=operator))
    assert told.startswith("License 1, items 1, 2: pool (10 % by norm E5) USD 40.00 left, this entry takes 40.01 more")
    allot(of(2), [share(3, "1", "40")], by=operator)


def test_a_new_allotment_is_saved_with_its_lines_or_not_at_all(operator: User) -> None:
    new = Allotment(company_id=1, item_name="Sugar")
    with pytest.raises(OverdrawsError):
        allot(new, [share(1, "11", "1")], by=operator)
    assert (new.pk, Allotment.objects.count()) == (None, 2)
    made = allot(new, [share(1, "10", "1")], by=operator)
    assert lines() == [(made.pk, 1, "10.000", "1.00")]
    assert Allotment.objects.get(pk=made.pk).item_name == "Sugar"


def test_what_is_not_worked_off_yet_counts(operator: User) -> None:
    """Facts are counted, not what is stored of them."""
    bill = BillOfEntry.objects.get(pk=1)
    BillOfEntryLine.objects.create(bill_of_entry=bill, import_item_id=1, quantity=1, cif_fc=600)
    assert "USD 400.00 left" in sentences(lambda: allot(of(1), [share(3, "1", "400.01")], by=operator))[0]


def test_an_item_that_was_overdrawn_before_does_not_stand_in_the_way_of_another(operator: User) -> None:
    AllotmentLine.objects.create(allotment_id=2, import_item_id=1, quantity=11)
    allot(of(1), [share(3, "1", "1")], by=operator)
    with pytest.raises(OverdrawsError):
        allot(of(1), [share(1, "0.001", "0")], by=operator)


# ── What makes no sense ───────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("shares", "why"),
    [
        ([], "nothing to allot"),
        ([share(1, "0", "0")], "nothing to allot"),
        ([share(1, "-1", "5")], "neither is below 0"),
        ([share(1, "NaN", "5")], "neither is below 0"),
        ([share(1, "1", "Infinity")], "neither is below 0"),
        ([share(1, "0.0004", "5")], "three decimal places"),
        ([share(1, "1", "5.001")], "and a value two"),
        ([share(1, "1", "10000000000000")], "neither has more digits"),
        ([share(1, "1", "1"), share(1, "2", "2")], "named twice"),
        ([share(99, "1", "1")], "gone"),
        ([share(1, "5", "1"), share(2, "4.001", "1")], "requires 12, of which 9 remain .* this is 9.001"),
    ],
)  # fmt: skip
def test_bad_shares_are_refused_in_words(shares: list[Share], why: str, operator: User) -> None:
    Allotment.objects.filter(pk=1).update(required_quantity=12)
    AllotmentLine.objects.create(allotment_id=1, import_item_id=3, quantity=3)
    before = lines()
    with pytest.raises(RefusedError, match=why):
        allot(of(1), shares, by=operator)
    assert lines() == before


def test_a_released_allotment_takes_nothing(operator: User) -> None:
    Allotment.objects.get(pk=1).bills_of_entry.add(1)
    with pytest.raises(RefusedError, match="Allotment 1 is released by a bill of entry"):
        allot(of(1), [share(1, "1", "1")], by=operator)
    with pytest.raises(Allotment.DoesNotExist):
        allot(of(99), [share(1, "1", "1")], by=operator)


# ── More than there is ────────────────────────────────────────────────────────────────────────────────────────────────


def test_only_who_may_overdraws_and_it_is_written_down(operator: User, senior: User) -> None:
    wanted = [share(1, "11", "1500")]
    with pytest.raises(OverdrawsError) as told:
        allot(of(1), wanted, by=senior)
    with pytest.raises(OverdrawsError):
        allot(of(1), wanted, by=operator, confirmation=told.value.confirmation())
    with pytest.raises(OverdrawsError):  # these numbers, and no others
        allot(of(1), [share(1, "12", "1500")], by=senior, confirmation=told.value.confirmation())
    assert (lines(), Overdraw.objects.count()) == ([], 0)
    allot(of(1), wanted, by=senior, confirmation=told.value.confirmation())
    assert lines() == [(1, 1, "11.000", "1500.00")]
    assert sql("SELECT license_id, entry, sentence, confirmed_by FROM ledger_overdraw ORDER BY id") == [
        (1, "Allotment 1", sentence, "arjun") for sentence in told.value.sentences
    ]
    assert len(told.value.sentences) == 2


# ── Given up, and taken up again ──────────────────────────────────────────────────────────────────────────────────────


def test_what_is_given_up_is_free_and_is_reserved_again_only_if_it_is_there(
    operator: User, senior: User, drained: Callable[[], None]
) -> None:
    allot(of(1), [share(1, "10", "600")], by=operator)
    give_up(of(1), by=operator)
    give_up(of(1), by=senior)  # it is already
    assert sql("SELECT allotment_id, released_by FROM ledger_allotmentrelease") == [(1, "meera")]
    with pytest.raises(RefusedError, match="Allotment 1 is given up"):
        allot(of(1), [share(3, "1", "1")], by=operator)
    drained()
    allot(of(2), [share(3, "1", "500")], by=operator)
    told = sentences(lambda: take_up_again(of(1), by=operator))
    assert told == [
        "License 1: balance USD 500.00 left, this entry takes 600.00 more: it would be overdrawn by 100.00."
    ]
    assert AllotmentRelease.objects.exists()
    Allotment.objects.filter(pk=1).update(last_day="2026-01-31")
    with pytest.raises(OverdrawsError) as refused:
        take_up_again(of(1), by=senior)
    take_up_again(of(1), by=senior, confirmation=refused.value.confirmation())
    assert not AllotmentRelease.objects.exists()
    assert Allotment.objects.get(pk=1).last_day is None  # else the next night would give it up again
    assert Overdraw.objects.get().entry == "Allotment 1"
    drained()


def test_what_a_bill_has_released_is_not_given_up(operator: User) -> None:
    Allotment.objects.get(pk=1).bills_of_entry.add(1)
    give_up(of(1), by=operator)
    assert not AllotmentRelease.objects.exists()


# ── Two people in the same second ─────────────────────────────────────────────────────────────────────────────────────


def waiting_for_a_turn() -> list[Any]:
    return sql("SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted")


@pytest.mark.parametrize(
    ("first", "second", "gone"),
    [
        (share(1, "10", "1"), share(1, "0.5", "1"), "item 1: quantity 0 left"),
        (share(1, "1", "1000"), share(1, "1", "1"), "balance USD 0.00 left"),
        (share(1, "1", "1000"), share(3, "1", "1"), "balance USD 0.00 left"),  # another item of the same license
    ],
)  # fmt: skip
def test_the_second_is_told_what_the_first_has_left(first: Share, second: Share, gone: str, operator: User) -> None:
    def work(allotment: int, wanted: Share) -> Outcome:
        allot(of(allotment), [wanted], by=operator)
        return Outcome()

    with Engine(lambda: work(1, first), after="lock_drawing") as one, Engine(lambda: work(2, second)) as two:
        wait_until(waiting_for_a_turn, "the second waits for its turn")
        one.finish()
        with pytest.raises(OverdrawsError, match=gone):
            two.finish()
    assert [line[:2] for line in lines()] == [(1, first.import_item_id)]


def test_other_licenses_do_not_wait(operator: User) -> None:
    def work() -> Outcome:
        allot(of(1), [share(1, "1", "1")], by=operator)
        return Outcome()

    with Engine(work, after="lock_drawing") as one:
        allot(of(2), [share(2, "1", "1")], by=operator)
        one.finish()
    assert len(lines()) == 2


@pytest.mark.parametrize("items", [(1, 1), (1, 3), (3, 1)])
def test_many_at_once_get_no_more_than_there_is(items: tuple[int, int], operator: User) -> None:
    """Eight people, three shares of 400.00 fit into two licenses of 1,000.00 twice each; items in any order."""
    Allotment.objects.bulk_create(Allotment(pk=n, company_id=1) for n in range(3, 11))
    start = Barrier(8)

    def try_to(allotment: int) -> bool:
        with closing(connection):
            of_license_1 = share(items[allotment % 2], "1", "400")
            shares = [of_license_1, share(2, "1", "400")]
            start.wait()
            try:
                allot(of(allotment), shares if allotment % 3 else shares[::-1], by=operator)
            except OverdrawsError:
                return False
            return True

    with ThreadPoolExecutor(8) as people:
        won = list(people.map(try_to, range(3, 11)))
    assert sum(won) == 2
    assert sorted({allotment for allotment, *_ in lines()}) == [
        n for n, has in zip(range(3, 11), won, strict=True) if has
    ]


# ── Sent twice ────────────────────────────────────────────────────────────────────────────────────────────────────────

KEY = UUID("5ca1ab1e-0000-4000-8000-000000000001")


def test_what_is_sent_twice_is_allotted_once(operator: User) -> None:
    made = allot(Allotment(company_id=1), [share(1, "1", "1")], by=operator, key=KEY)
    for again in (Allotment(company_id=1), of(2)):
        with pytest.raises(AllottedAlreadyError) as told:
            allot(again, [share(1, "1", "1")], by=operator, key=KEY)
        assert told.value.allotment_id == made.pk
    assert lines() == [(made.pk, 1, "1.000", "1.00")]
    assert Allotment.objects.count() == 3
    allot(of(made.pk), [share(1, "1", "1")], by=operator, key=UUID(int=2))
    assert sql("SELECT allotment_id, allotted_by FROM ledger_allotting") == [(made.pk, "meera")] * 2


def test_what_was_refused_may_be_sent_again(operator: User) -> None:
    with pytest.raises(OverdrawsError):
        allot(of(1), [share(1, "11", "1")], by=operator, key=KEY)
    allot(of(1), [share(1, "10", "1")], by=operator, key=KEY)


@pytest.mark.parametrize("is_new", [True, False])
def test_a_double_click_waits_for_the_first_and_allots_nothing(is_new: bool, operator: User) -> None:
    def work() -> Outcome:
        allot(Allotment(company_id=1) if is_new else of(1), [share(1, "1", "1")], by=operator, key=KEY)
        return Outcome()

    with Engine(work, after="lock_drawing") as one, Engine(work) as two:
        wait_until(lambda: sql("SELECT 1 FROM pg_locks WHERE NOT granted"), "the second waits")
        one.finish()
        with pytest.raises(AllottedAlreadyError):
            two.finish()
    assert [line[1:] for line in lines()] == [(1, "1.000", "1.00")]
    assert (Allotment.objects.count(), Allotting.objects.count()) == (3 if is_new else 2, 1)


def test_what_has_been_deleted_meanwhile_is_told(operator: User) -> None:
    with pytest.raises(RefusedError, match="deleted meanwhile"):
        allot(Allotment(company_id=99), [share(1, "1", "1")], by=operator, key=KEY)
    assert (lines(), Allotting.objects.count()) == ([], 0)


# ── How much an item can take ─────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("wanted", "price", "quantity", "value", "unit", "can"),
    [
        ("100", "0", "60", "0", "KGS", "60"),
        ("50", "0", "60", "0", "KGS", "50"),
        ("100", "3", "60", "100", "KGS", "33.333"),
        ("100", "3", "60", "100", "NOS", "33"),
        ("100", "3", "60", "100", " nos.", "33"),
        ("100", "0.001", "60.9999", "100", "", "60.999"),
        ("100", "1", "0.999", "100", "KGS", "0"),
        ("100", "1", "1", "0.5", "KGS", "0.5"),
        ("100", "7", "60", "0", "KGS", "0"),
    ],
)  # fmt: skip
def test_the_most_that_an_item_can_take(
    wanted: str, price: str, quantity: str, value: str, unit: str, can: str
) -> None:
    found = most(
        Decimal(wanted),
        Decimal(price),
        Decimal(quantity),
        Decimal(value),
        unit,
    )
    assert found == Decimal(can)


def test_quantities_are_rounded_down() -> None:
    assert [str(rounded_down(Decimal("7.9999"), unit)) for unit in ("KGS", "Nos", "Pcs.", "MTS")] == [
        "7.999", "7", "7", "7.999",
    ]  # fmt: skip


def test_what_is_left_is_counted_from_facts() -> None:
    AllotmentLine.objects.create(allotment_id=1, import_item_id=1, quantity=4, cif_fc=300)
    assert {pk: (rest.available_quantity, rest.available_value) for pk, rest in left([1, 3, 99]).items()} == {
        1: (6, 700), 3: (10, 700),
    }  # fmt: skip
    assert left([]) == {}
