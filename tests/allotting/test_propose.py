"""A proposal: what is wanted, split over items so that all of it can be reserved; and what would be left."""

from collections.abc import Iterator
from decimal import Decimal

import pytest
from django.contrib.auth.models import User
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from ledger.allotting import Rest, Share, allot, propose, what_if
from ledger.models import Allotment, AllotmentLine, LicenseChange
from license.models import ExportItem, ImportItem, ItemName, SionNorm
from tests.conftest import sql
from tests.engine.sessions import make_licenses
from tests.web.conftest import forget_people

pytestmark = pytest.mark.usefixtures("database")


@pytest.fixture(autouse=True)
def licenses(database: None) -> Iterator[None]:
    """Four of 1,000.00 with an item of 10. On license 1 item 5 shares a pool of 100.00 with item 1."""
    make_licenses(4)
    norm = SionNorm.objects.create(code="E5")
    ExportItem.objects.filter(license=1).update(norm=norm)
    name = ItemName.objects.create(name="Sugar", sion_norm=norm, restriction_percentage=10)
    for item in (
        ImportItem.objects.get(pk=1),
        ImportItem.objects.create(pk=5, license_id=1, serial_number=2, quantity=10),
    ):
        item.item_names.add(name)
    sql("DELETE FROM ledger_licensechange")
    yield
    forget_people()


def shares(*wanted: tuple[int, str, str]) -> list[Share]:
    return [Share(item, Decimal(quantity), Decimal(cif_fc)) for item, quantity, cif_fc in wanted]


def proposed(items: list[int], wanted: str, price: str) -> list[tuple[int, str, str]]:
    found = propose(items, Decimal(wanted), Decimal(price))
    assert not AllotmentLine.objects.exists()
    assert not LicenseChange.objects.exists()
    return [(each.import_item_id, f"{each.quantity:.3f}", f"{each.cif_fc:.2f}") for each in found]


def test_by_quantity_in_the_order_that_was_given() -> None:
    assert proposed([3, 2, 4], "25", "1") == [(3, "10.000", "10.00"), (2, "10.000", "10.00"), (4, "5.000", "5.00")]
    assert proposed([3, 2], "25", "1") == [(3, "10.000", "10.00"), (2, "10.000", "10.00")]
    assert proposed([3, 99], "1", "0") == [(3, "1.000", "0.00")]


def test_by_value_and_rounded_down_to_the_unit() -> None:
    assert proposed([2, 3], "15", "130") == [(2, "7.692", "999.96"), (3, "7.308", "950.04")]
    ImportItem.objects.filter(pk=2).update(unit="NOS")
    sql("DELETE FROM ledger_licensechange")
    assert proposed([2, 3], "15", "130") == [(2, "7.000", "910.00"), (3, "7.692", "999.96")]


def test_items_of_a_pool_take_it_once() -> None:
    assert proposed([1, 5, 2], "12", "20") == [(1, "5.000", "100.00"), (2, "7.000", "140.00")]
    assert proposed([5, 1], "4", "20") == [(5, "4.000", "80.00")]
    assert proposed([5, 1], "6", "20") == [(5, "5.000", "100.00")]


def test_what_others_have_reserved_is_gone() -> None:
    AllotmentLine.objects.create(allotment_id=1, import_item_id=2, quantity=9, cif_fc=995)
    sql("DELETE FROM ledger_licensechange")
    found = propose([2, 3], Decimal(5), Decimal(10))
    assert [(each.import_item_id, each.quantity) for each in found] == [(2, Decimal("0.5")), (3, Decimal("4.5"))]


def test_what_would_be_left() -> None:
    rest, overdrawn = what_if(shares((1, "2", "60"), (5, "1", "30"), (3, "10", "999"), (99, "1", "1")))
    assert overdrawn == []
    assert rest == {
        1: Rest(1, Decimal("910.00"), Decimal("8.000"), Decimal("10.00")),
        5: Rest(1, Decimal("910.00"), Decimal("9.000"), Decimal("10.00")),
        3: Rest(3, Decimal("1.00"), Decimal("0.000"), Decimal("1.00")),
    }
    rest, overdrawn = what_if(shares((2, "11", "1")))
    assert overdrawn == [
        "License 2, item 1: quantity 10 left, this entry takes 11 more: it would be overdrawn by 1."
    ]  # fmt: skip
    assert what_if([]) == ({}, [])
    assert not AllotmentLine.objects.exists()
    assert not LicenseChange.objects.exists()


UNITS = {"KGS": Decimal("0.001"), "NOS": Decimal(1)}


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@example([1, 2, 3, 4, 5], Decimal("44.988"), Decimal("7.149"), ["KGS"] * 5, ["0"] * 5)  # 0.01 of the pool is left
@given(
    items=st.permutations([1, 2, 3, 4, 5]),
    wanted=st.decimals("0.001", 60, places=3),
    price=st.decimals(0, 500, places=3),
    units=st.lists(st.sampled_from(sorted(UNITS)), min_size=5, max_size=5),
    values=st.lists(st.sampled_from(["0", "0.01", "77.77", "900"]), min_size=5, max_size=5),
)
def test_all_that_is_proposed_can_be_reserved(
    items: list[int], wanted: Decimal, price: Decimal, units: list[str], values: list[str]
) -> None:
    """At once, without a confirmation; and nothing could have been more, but for what rounding to the cent left."""
    AllotmentLine.objects.all().delete()
    for pk, unit, value in zip(range(1, 6), units, values, strict=True):
        ImportItem.objects.filter(pk=pk).update(unit=unit, cif_fc=value)
    found = propose(items, wanted, price)
    assert sum(each.quantity for each in found) <= wanted
    if not found:
        return
    allot(Allotment(company_id=1), found, by=User.objects.get_or_create(username="meera")[0])
    if sum(each.quantity for each in found) < wanted - 1:
        for more in propose(items, Decimal(2), price):
            assert more.quantity == UNITS[units[more.import_item_id - 1]]
