"""Find: who has so much of an input, in quantity and in value, until when; page by page, and as a file.

All of it is what the engine has stored (ledger.find). Of each item it says how much of what is wanted it can take by
itself; what several items can take together only a proposal knows (desk.allot).
"""

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.core.paginator import Page, Paginator
from django.http import HttpRequest, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.utils import timezone

from desk.entry.base import Amount, Day
from desk.entry.wording import speak_plainly
from desk.files import NoFileError, check_size, file, named, sent, snapshot
from desk.licenses import all_licenses, with_marks
from desk.lists import PAGE_SIZE, norms
from desk.views import page
from desk.workbook import MAX_ROWS, Cell, Column, Workbook, csv_lines
from ledger import find as ledger
from ledger.allotting import most
from ledger.find import Found, Totals, Wanted
from ledger.models import Quarantine
from license.clock import business_date
from license.fields import QUANTITY_MAX
from license.formats import day, quantity
from reconcile.sql import queries

NO_UNIT = "–"
"""In the address, and to people: items whose unit nobody has said."""
MOST_NAMES = 100
"""Rows of the totals by norm and item name that a page shows. The workbook has all."""
AT_MOST = (
    "At most, because values of a license's items may be the same money: of a license no more than its balance counts, "
    "but what a restriction leaves to several items counts for each. A proposal says what they have together."
)

COLUMNS = (
    Column("License"), Column("Exporter", width=30), Column("Expires", "date"), Column("Norms"),
    Column("Item", "count", 6), Column("Description", width=40), Column("HS code", width=12),
    Column("Item names", width=30), Column("Available quantity", "quantity", 18), Column("Unit", width=8),
    Column("Available value", "money", 18), Column("Currency", width=9), Column("Can take", "quantity", 18),
    Column("State", width=24),
)  # fmt: skip
TOTALS = (
    Column("What", width=24), Column("Quantity", "quantity", 20), Column("Unit"), Column("Value, at most", "money", 20),
    Column("Currency"),
)  # fmt: skip
NAMES = (
    Column("Norms"), Column("Item name", width=30), Column("Licenses", "count"), Column("Quantity", "quantity", 20),
    Column("Unit"), Column("Value, at most", "money", 20), Column("Currency"),
)  # fmt: skip


class Asked(forms.Form):
    """What the address may ask for."""

    item = forms.CharField(
        label="Item",
        required=False,
        max_length=255,
        widget=forms.TextInput({"type": "search", "placeholder": "words, item name or HS code"}),
    )
    norm = forms.ChoiceField(label="Norm", required=False)
    quantity = Amount(label="Quantity wanted", required=False, max_value=QUANTITY_MAX, decimal_places=3)
    price = Amount(label="Unit price", required=False, max_value=QUANTITY_MAX, decimal_places=3)
    unit = forms.CharField(label="Unit", required=False, strip=False, max_length=20, widget=forms.Select)
    currency = forms.CharField(label="Currency", required=False, max_length=3, widget=forms.Select)
    valid = Day(
        label="Valid until at least",
        required=False,
        widget=forms.DateInput({"placeholder": "today", "autocomplete": "off"}),
    )
    expired = forms.BooleanField(label="Expired too", required=False)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for field in self.fields.values():
            speak_plainly(field)
        self.norms = norms()
        self.fields["norm"].choices = [("", "Any"), *((code, code) for code in self.norms)]  # type: ignore[attr-defined]
        self.offer(None)

    def clean(self) -> dict[str, Any]:
        said = self.cleaned_data
        if not self.errors and not said["norm"] and not Wanted(said["item"]).is_said():
            raise ValidationError("Say which item: by words, by its name or its HS code; or choose a norm.")
        return said

    def mistakes(self) -> list[str]:
        return mistakes(self)

    def wanted(self) -> Wanted:
        said = self.cleaned_data
        return Wanted(
            text=said["item"],
            norm_id=self.norms.get(said["norm"]),
            unit=("" if said["unit"] == NO_UNIT else said["unit"]) if said["unit"] else None,
            currency=said["currency"] or None,
            valid_on=None if said["expired"] else said["valid"] or business_date(),
        )

    def offer(self, found: Totals | None) -> None:
        """The units and currencies of what was found, and those that were asked for, may be chosen."""
        for name, there in (
            ("unit", [unit or NO_UNIT for unit in found.quantities] if found else []),
            ("currency", list(found.values) if found else []),
        ):
            asked = self.data.get(name)
            offered = [*there, asked] if asked and asked not in there else there
            self.fields[name].widget.choices = [("", "Any"), *((each, each) for each in offered)]

    def can_take(self, found: Found) -> Decimal | None:
        """How much of what is wanted; None where nobody has said how much is."""
        said = self.cleaned_data
        if not said["quantity"]:
            return None
        price = said["price"] or Decimal(0)
        return most(said["quantity"], price, found.available_quantity, found.available_value, found.unit)

    def in_words(self) -> dict[str, str]:
        """What was asked for, by label."""
        said = self.cleaned_data
        return {
            "Item": said["item"],
            "Norm": said["norm"] or "Any",
            "Unit": said["unit"] or "Any",
            "Currency": said["currency"] or "Any",
            "Quantity wanted": quantity(said["quantity"]) if said["quantity"] else "",
            "Unit price": quantity(said["price"]) if said["price"] else "",
            "Valid until at least": "Expired too" if said["expired"] else day(said["valid"] or business_date()),
        }


def mistakes(form: forms.BaseForm) -> list[str]:
    """What is wrong with it, each in a sentence that names its field."""
    return [
        f"{form.fields[name].label}: {said}"
        if name in form.fields and not str(said).startswith(str(form.fields[name].label))
        else str(said)
        for name, errors in form.errors.items()
        for said in errors
    ]


@page("license.view_license", "ledger.view_licensebalance")
def find(request: HttpRequest) -> HttpResponseBase:
    """What was found, whose license expires first first; totals of all of it."""
    asked = Asked(request.GET or None)
    shown: dict[str, Any] = {"form": asked, "at_most": AT_MOST, "no_unit": NO_UNIT}
    if asked.is_valid():
        wanted = asked.wanted()
        with snapshot():
            sums = ledger.totals(wanted)
            pages: Paginator[Any] = Paginator(range(sums.items), PAGE_SIZE)
            this: Page[Any] = pages.get_page(request.GET.get("page"))
            found = ledger.find(wanted, count=PAGE_SIZE, start=(this.number - 1) * PAGE_SIZE)
            licenses = all_licenses().filter(pk__in=[row.license_id for row in found])
            marks = {license.pk: said for license, said in with_marks(list(licenses))}
        asked.offer(sums)
        shown |= {
            "rows": [(row, marks.get(row.license_id, []), asked.can_take(row)) for row in found],
            "totals": sums,
            "names": sums.names[:MOST_NAMES],
            "more_names": max(0, len(sums.names) - MOST_NAMES),
            "page": this,
            "pages": pages.get_elided_page_range(this.number, on_each_side=2, on_ends=1),
        }
    return render(request, "desk/find.html", shown)


@file
def find_csv(request: HttpRequest) -> HttpResponseBase:
    """All that was found, in the order of the list."""
    lines = csv_lines(COLUMNS, _rows(_said(request)))
    return StreamingHttpResponse(lines, content_type="text/csv; charset=utf-8", headers=named("found", "csv"))


@file
def find_xlsx(request: HttpRequest) -> HttpResponseBase:
    """The same as a workbook, with the totals and what was asked for: all of one snapshot."""
    asked, when = _said(request), timezone.now()
    with snapshot():
        sums = ledger.totals(asked.wanted())
        check_size("XLSX", "items", sums.items, MAX_ROWS, "Ask for less, or take them as CSV.")
        book = Workbook()
        table = book.table("Items", COLUMNS)
        for row in _rows(asked):
            table.add(row)
        table.filtered()
    of_all = book.table("Totals", TOTALS)
    for unit, amount in sums.quantities.items():
        of_all.add(["All items", amount, unit or NO_UNIT, None, None])
    for currency, value in sums.values.items():
        of_all.add(["All licenses", None, None, value, currency])
    by_name = book.table("By item name", NAMES)
    for each in sums.names:
        by_name.add([
            each.norms, each.name, each.licenses, each.quantity, each.unit or NO_UNIT, each.value, each.currency,
        ])  # fmt: skip
    book.about(when, {**asked.in_words(), "Values": AT_MOST})
    return sent(book.finish(), "found", "xlsx")


def _said(request: HttpRequest) -> Asked:
    """What was asked for. Raises NoFileError where that makes no sense."""
    asked = Asked(request.GET)
    if not asked.is_valid():
        raise NoFileError(" ".join(asked.mistakes()))
    return asked


def _rows(asked: Asked) -> Iterator[list[Cell]]:
    pending = set(queries.column("pending"))
    quarantined = set(Quarantine.objects.values_list("pk", flat=True))
    for row in ledger.find_all(asked.wanted()):
        marks = {"in quarantine": row.license_id in quarantined, "change pending": row.license_id in pending}
        yield [
            row.license_number, row.exporter, row.license_expiry_date, ", ".join(row.norms), row.serial_number,
            row.description, row.hs_code, ", ".join(row.names), row.available_quantity, row.unit, row.available_value,
            row.currency, asked.can_take(row), ", ".join(mark for mark, is_so in marks.items() if is_so),
        ]  # fmt: skip
