"""How far allotments are allotted: what they require, what their lines come to, and what remains."""

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from urllib.parse import urlencode

from django.db.models import OuterRef, Subquery, Sum
from django.db.models.functions import Coalesce

from ledger.models import Allotment, AllotmentLine
from license.formats import quantity

_SEE = ("license.view_license", "ledger.view_licensebalance", "ledger.view_allotment", "ledger.add_allotmentline")
NEW, MORE = (*_SEE, "ledger.add_allotment"), (*_SEE, "ledger.change_allotment")
"""The permissions to allot: by a new allotment, and more by one that there is."""
ALLOTTED = Coalesce(
    Subquery(
        AllotmentLine.objects.filter(allotment=OuterRef("pk"))
        .order_by()
        .values("allotment")
        .annotate(sum=Sum("quantity"))
        .values("sum")
    ),
    Decimal(0),
)
"""Of an allotment: the quantity that its lines come to."""


@dataclass(frozen=True, slots=True)
class Standing:
    """How far an allotment is allotted."""

    required: Decimal
    """0: nobody has said."""
    allotted: Decimal
    unit: str
    """Of all its lines; empty where they have several, or none has one."""

    @property
    def remaining(self) -> Decimal | None:
        """What is still to be allotted; below 0 where it is more than is required, None where nobody has said."""
        return self.required - self.allotted if self.required else None


def standings(allotments: Iterable[Allotment]) -> dict[int, Standing]:
    """Of each of them."""
    each = {allotment.pk: allotment for allotment in allotments}
    sums: dict[int, dict[str, Decimal]] = {pk: {} for pk in each}
    rows = AllotmentLine.objects.filter(allotment__in=list(each)).values_list("allotment", "import_item__unit")
    for pk, unit, allotted in rows.annotate(Sum("quantity")):
        sums[pk][unit] = allotted
    return {
        pk: Standing(
            required=each[pk].required_quantity,
            allotted=sum(of_unit.values(), Decimal(0)),
            unit=next(iter(of_unit)) if len(of_unit) == 1 else "",
        )
        for pk, of_unit in sums.items()
    }


def standing(allotment: Allotment) -> Standing:
    """Of this one."""
    return standings([allotment])[allotment.pk]


def more(allotment: Allotment, so_far: Standing) -> str:
    """The query by which Allot proposes what remains of it."""
    asked = {"allotment": allotment.pk, "item": allotment.item_name, "unit": so_far.unit}
    asked |= {
        name: quantity(number).replace(",", "")
        for name, number in (("quantity", so_far.remaining), ("price", allotment.unit_price))
        if number and number > 0
    }
    return urlencode({name: said for name, said in asked.items() if said})
