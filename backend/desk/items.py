"""Items: what is left on the licenses of a norm, license by license and item name by item name.

All of it is what the engine has stored. Quantities are added up by unit. Values of the items of one license may be the
same money (docs/rules.md), so of a name with several items only the greatest counts, and nothing is ever added up over
the names of a license.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from django import forms
from django.core.paginator import Paginator
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.utils import timezone

from desk.files import NoFileError, check_size, file, sent, snapshot
from desk.licenses import DEFAULT_SORT, SORTS, all_licenses, in_order, totals, with_marks
from desk.lists import norms
from desk.sql import queries
from desk.views import page
from desk.workbook import MAX_COLUMNS, MAX_ROWS, Cell, Column, Workbook
from license.fields import MONEY_MAX
from license.formats import indian
from license.models import ExportItem, License

PAGE_SIZE = 50
ROWS_AT_ONCE = 1_000
OR_ELSE = "Choose a notification, or ask for a higher balance."
UNKNOWN = "unknown"
"""In the address: licenses without a norm."""
LICENSE = (
    Column("License"), Column("Exporter", width=30), Column("Dated", "date"), Column("Expires", "date"),
    Column("Notification"), Column("Currency", width=9), Column("Balance", "money", 18),
)  # fmt: skip
TOTALS = (
    Column("Item", width=30), Column("Unit"), Column("Available quantity", "quantity", 20), Column("Currency"),
    Column("Available value", "money", 20),
)  # fmt: skip
HINT = (
    "Where a license has several items of a name, their values may be the same money: the value is then that of the "
    "item with the most, and at least so much (≥) is left. Values of different names may be the same money too: "
    "only the balance says what a license has in all."
)

LEAST = "500.00"
"""What an active license has, where nothing else is asked for."""


class Asked(forms.Form):
    """What the address may ask for. Norms and notifications are those that there are."""

    norm = forms.ChoiceField(label="Norm")
    notification = forms.ChoiceField(label="Notification", required=False)
    minimum = forms.DecimalField(
        label="Balance at least",
        required=False,
        min_value=0,
        max_value=MONEY_MAX,
        decimal_places=2,
        widget=forms.TextInput(attrs={"inputmode": "decimal", "placeholder": LEAST}),
    )
    expired = forms.BooleanField(label="Expired too", required=False)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.norms = norms()
        numbers = License.objects.exclude(notification_number="").values_list("notification_number", flat=True)
        self.fields["norm"].choices = [  # type: ignore[attr-defined]  # of a ChoiceField
            ("", "–"), *((code, code) for code in self.norms), (UNKNOWN, "norm unknown"),
        ]  # fmt: skip
        self.fields["notification"].choices = [  # type: ignore[attr-defined]
            ("", "All"), *((number, number) for number in numbers.distinct().order_by("notification_number")),
        ]  # fmt: skip

    def norm_id(self) -> int | None:
        """None: licenses without a norm."""
        return self.norms.get(self.cleaned_data["norm"])

    def licenses(self) -> QuerySet[License]:
        """Active ones, unless a lower balance or expired ones are asked for."""
        said = self.cleaned_data
        exports = ExportItem.objects.filter(license=OuterRef("pk"))
        norm_id = self.norm_id()
        found = all_licenses().filter(
            Exists(exports.filter(norm=norm_id)) if norm_id else ~Exists(exports.filter(norm__isnull=False)),
            Q(balance__is_null=False) if said["minimum"] is None else Q(balance__balance_cif__gte=said["minimum"]),
        )
        if said["notification"]:
            found = found.filter(notification_number=said["notification"])
        return found if said["expired"] else found.filter(balance__is_expired=False)


@dataclass
class Left:
    """What a license has left of the items of a name: a cell of the table."""

    quantities: dict[str, Decimal] = field(default_factory=dict)
    """By unit."""
    value: Decimal = Decimal(0)
    items: int = 0
    is_at_least: bool = False
    """More may be available than `value`: there are several items, and nothing says whether their values are the same
    money."""


@dataclass
class Name:
    """An item name: a column of the table, with what is left over all licenses that were found."""

    pk: int
    name: str
    quantities: dict[str, Decimal] = field(default_factory=dict)
    """By unit."""
    values: dict[str, Decimal] = field(default_factory=dict)
    """By currency."""

    def unit(self) -> str | None:
        """The unit of all its quantities; None where there are several."""
        return next(iter(self.quantities)) if len(self.quantities) == 1 else None


def names(license_ids: Sequence[int], norm_id: int | None) -> list[Name]:
    """Those of the items of these licenses, by name."""
    found: dict[int, Name] = {}
    for row in queries.dicts("item_totals", license_ids=license_ids, norm_id=norm_id):
        name = found.setdefault(row["item_name_id"], Name(row["item_name_id"], row["name"]))
        if row["currency"] is None:
            name.quantities[row["unit"]] = row["quantity"]
        else:
            name.values[row["currency"]] = row["value"]
    return list(found.values())


def left(licenses: Sequence[License], norm_id: int | None) -> dict[int, dict[int | None, Left]]:
    """By license, by item name; under None the items that have no name of this norm."""
    cells: dict[int, dict[int | None, Left]] = {license.pk: {} for license in licenses}
    ids = list(cells)
    rows = queries.dicts("item_cells", license_ids=ids, norm_id=norm_id)
    for row in sorted(rows, key=lambda row: row["unit"]):  # the query has no order: its plan may change it
        cell = cells[row["license_id"]].setdefault(row["item_name_id"], Left())
        cell.quantities[row["unit"]] = row["quantity"]
        cell.value = max(cell.value, row["value"])
        cell.items += row["items"]
    for license in licenses:
        for cell in cells[license.pk].values():
            cell.is_at_least = cell.items > 1 and 0 < cell.value < license.balance.balance_cif
    return cells


def in_turn(ids: Sequence[int]) -> list[License]:
    """These licenses in this order."""
    found = all_licenses().in_bulk(ids)
    return [found[pk] for pk in ids]


@page("license.view_license", "ledger.view_licensebalance")
def items(request: HttpRequest) -> HttpResponseBase:
    """The table, a page of licenses at a time; its columns and its foot are of all that were found."""
    asked = Asked(request.GET or None)
    shown: dict[str, Any] = {"form": asked, "hint": HINT}
    if asked.is_valid():
        sort = request.GET.get("sort", DEFAULT_SORT)
        norm_id = asked.norm_id()
        with snapshot():
            found = asked.licenses()
            ids = list(in_order(found, sort).values_list("pk", flat=True))
            pages = Paginator(ids, PAGE_SIZE)
            this = pages.get_page(request.GET.get("page"))
            licenses = in_turn(list(this.object_list))
            columns = names(ids, norm_id)
            cells = left(licenses, norm_id)
            shown |= {
                "rows": [
                    (
                        license,
                        marks,
                        [(column, cells[license.pk].get(column.pk)) for column in columns],
                        cells[license.pk].get(None),
                    )
                    for license, marks in with_marks(licenses)
                ],
                "totals": totals(found),
            }
        shown |= {
            "columns": columns,
            "page": this,
            "pages": pages.get_elided_page_range(this.number, on_each_side=2, on_ends=1),
            "sort": sort if sort in SORTS else DEFAULT_SORT,
        }
    return render(request, "desk/items.html", shown)


@file
def items_xlsx(request: HttpRequest) -> HttpResponseBase:
    """The same as a workbook, of all licenses that were found: of each name a column for each unit, and one for the
    value."""
    asked = Asked(request.GET)
    if not asked.is_valid():
        raise NoFileError(
            " ".join(f"{asked[name].label}: {' '.join(map(str, said))}" for name, said in asked.errors.items())
        )
    norm_id = asked.norm_id()
    when = timezone.now()
    with snapshot():
        ids = list(in_order(asked.licenses(), request.GET.get("sort")).values_list("pk", flat=True))
        check_size("XLSX", "licenses", len(ids), MAX_ROWS, OR_ELSE)
        columns = names(ids, norm_id)
        headings = [*LICENSE, *_headings(columns), Column("Other items", "count")]
        check_size("XLSX", "columns", len(headings), MAX_COLUMNS, OR_ELSE)
        book = Workbook()
        table = book.table("Items", headings)
        for start in range(0, len(ids), ROWS_AT_ONCE):
            licenses = in_turn(ids[start : start + ROWS_AT_ONCE])
            cells = left(licenses, norm_id)
            for license in licenses:
                table.add(_row(license, columns, cells[license.pk]))
        table.filtered()
    sums = book.table("Totals", TOTALS)
    for column in columns:
        for unit, quantity in column.quantities.items():
            sums.add([column.name, unit, quantity, None, None])
        for currency, value in column.values.items():
            sums.add([column.name, None, None, currency, value])
    said = asked.cleaned_data
    book.about(when, {
        "Norm": said["norm"],
        "Notification": said["notification"] or "All",
        "Balance at least": LEAST if said["minimum"] is None else indian(said["minimum"]),
        "Expired too": "yes" if said["expired"] else "no",
        "Values": HINT,
    })  # fmt: skip
    return sent(book.finish(), f"items-{asked.cleaned_data['norm']}", "xlsx")


def _headings(columns: list[Name]) -> Iterator[Column]:
    for column in columns:
        for unit in column.quantities:
            yield Column(f"{column.name}, {unit or 'quantity'}", "quantity")
        yield Column(f"{column.name}, value", "money")


def _row(license: License, columns: list[Name], cells: dict[int | None, Left]) -> list[Cell]:
    row: list[Cell] = [
        license.license_number,
        str(license.exporter or ""),
        license.license_date,
        license.license_expiry_date,
        license.notification_number,
        license.currency,
        license.balance.balance_cif,
    ]
    for column in columns:
        cell = cells.get(column.pk)
        row += [cell.quantities.get(unit) if cell else None for unit in column.quantities]
        row.append(cell.value if cell else None)
    return [*row, cells[None].items if None in cells else None]
