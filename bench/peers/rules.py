"""The rules of docs/rules.md that the peers in Python share, plainly written."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal

NULL_BELOW = Decimal(500)
MARKERS = (Decimal(0), Decimal("0.01"), Decimal("0.10"))
CENT = Decimal("0.01")


@dataclass(slots=True)
class Item:
    """What of an import item decides about restrictions. `names` are (norm id, percentage) of its item names."""

    pk: int
    sheet_percentage: Decimal | None
    names: Iterable[tuple[int | None, Decimal]]
    used: Decimal


def smallest_pools(
    credit_cif: Decimal, norms: set[int], items: Iterable[Item], *, is_bound: bool
) -> dict[int, Decimal]:
    """What is left of the smallest pool of each restricted item of a license. `is_bound`: its names bind it."""
    used: dict[tuple[int | None, Decimal], Decimal] = defaultdict(Decimal)
    pools_of = {}
    for item in items:
        if item.sheet_percentage is not None:
            pools = {(None, item.sheet_percentage)} if item.sheet_percentage > 0 else set()
        else:
            pools = {(norm, percentage) for norm, percentage in item.names if is_bound and norm in norms and percentage}
        pools_of[item.pk] = pools
        for pool in pools:
            used[pool] += item.used
    return {
        pk: min((credit_cif * pool[1] / 100).quantize(CENT, ROUND_HALF_UP) - used[pool] for pool in pools)
        for pk, pools in pools_of.items()
        if pools
    }


def own_value(
    cif_fc: Decimal, used: Decimal, raw: Decimal, pool: Decimal | None, *, carries_total: bool
) -> Decimal:  # fmt: skip
    """The value of an import item by the first rule that applies, before floor and cap."""
    if pool is not None:
        return pool
    if carries_total or cif_fc in MARKERS:
        return raw
    return cif_fc - used
