"""The lists of allotments and of bills of entry."""

import re
from collections import defaultdict
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import django_filters as filters
from django.core.paginator import Page
from django.db.models import Count, F, Func, Min, Q, QuerySet, Sum, Value
from django.forms import DateInput, SearchInput
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from desk.lists import RELEASED, companies, sorted_and_paged
from desk.standing import ALLOTTED, standings
from desk.views import page
from ledger.models import Allotment, AllotmentLine, AllotmentType, BillOfEntry, BillOfEntryLine, TransactionType
from license.formats import as_license_number
from license.models import License

MOST_ADDED_UP = 1_000
"""Documents. The lines of more take too long to add up for a page."""


def licenses_typed(typed: str) -> QuerySet[License]:
    """The license of a number as somebody typed it, if there is one."""
    if "\0" in typed:  # PostgreSQL has no text with it
        return License.objects.none()
    return License.objects.filter(license_number__in=(typed.strip(), as_license_number(typed)))


class AllotmentFilter(filters.FilterSet):  # type: ignore[misc]  # it has no types
    """What the address of the list may say. An answer that makes no sense filters nothing, and the form says so."""

    q = filters.CharFilter(
        method="search", label="Search", widget=SearchInput({"placeholder": "company, goods or number"})
    )
    license = filters.CharFilter(method="of_license", label="License", widget=SearchInput)
    state = filters.ChoiceFilter(
        choices=[("wanted", "To be allotted"), ("open", "Not yet released"), ("released", "Released")],
        method="in_state",
        label="State",
        empty_label="All",
    )
    type = filters.ChoiceFilter(
        choices=[(AllotmentType.ALLOTMENT, "To be imported"), (AllotmentType.ARO, "ARO: bought at home")],
        label="Type",
        empty_label="All",
    )

    class Meta:
        model = Allotment
        fields: list[str] = []

    def search(self, allotments: QuerySet[Allotment], _: str, typed: str) -> QuerySet[Allotment]:
        """By company, goods, or its number as it is called: 12, AT 12, Allotment 12."""
        words = typed.strip()
        number = words.rpartition(" ")[2]
        found = Q(company__in=companies(words)) | Q(item_name__icontains=words)
        return allotments.filter(found | Q(pk=int(number)) if re.fullmatch("[0-9]{1,18}", number) else found)

    def of_license(self, allotments: QuerySet[Allotment], _: str, typed: str) -> QuerySet[Allotment]:
        lines = AllotmentLine.objects.filter(import_item__license__in=licenses_typed(typed))
        return allotments.filter(pk__in=lines.values("allotment"))

    def in_state(self, allotments: QuerySet[Allotment], _: str, state: str) -> QuerySet[Allotment]:
        if state == "wanted":
            return allotments.filter(~RELEASED, required_quantity__gt=ALLOTTED)
        return allotments.filter(~RELEASED if state == "open" else RELEASED)


class BillOfEntryFilter(filters.FilterSet):  # type: ignore[misc]  # it has no types
    """What the address of the list may say. An answer that makes no sense filters nothing, and the form says so."""

    q = filters.CharFilter(
        method="search", label="Search", widget=SearchInput({"placeholder": "number, company or port"})
    )
    license = filters.CharFilter(method="of_license", label="License", widget=SearchInput)
    since = filters.DateFilter("date", "gte", label="From", widget=DateInput({"type": "date"}))
    until = filters.DateFilter("date", "lte", label="To", widget=DateInput({"type": "date"}))

    class Meta:
        model = BillOfEntry
        fields: list[str] = []

    def search(self, bills: QuerySet[BillOfEntry], _: str, typed: str) -> QuerySet[BillOfEntry]:
        """By number, with as many leading zeros as somebody cares to type, company or port."""
        words = typed.strip()
        return bills.alias(bare_number=Func(F("number"), Value("0"), function="ltrim")).filter(
            Q(number__icontains=words)
            | Q(bare_number=words.lstrip("0"))
            | Q(company__in=companies(words))
            | Q(port__code__istartswith=words)
        )

    def of_license(self, bills: QuerySet[BillOfEntry], _: str, typed: str) -> QuerySet[BillOfEntry]:
        lines = BillOfEntryLine.objects.filter(import_item__license__in=licenses_typed(typed))
        return bills.filter(pk__in=lines.values("bill_of_entry"))


ALLOTMENT_SORTS = {
    "number": F("pk").asc(),
    "-number": F("pk").desc(),
    "company": F("company__name").asc(),
    "-company": F("company__name").desc(),
    "goods": F("item_name").asc(),
    "-goods": F("item_name").desc(),
    "entered": F("created_at").asc(),
    "-entered": F("created_at").desc(),
    "expected": F("estimated_arrival_date").asc(nulls_last=True),
    "-expected": F("estimated_arrival_date").desc(nulls_last=True),
}
BILL_SORTS = {
    "number": F("number").asc(),
    "-number": F("number").desc(),
    "date": F("date").asc(nulls_last=True),
    "-date": F("date").desc(nulls_last=True),
    "port": F("port__code").asc(nulls_last=True),
    "-port": F("port__code").desc(nulls_last=True),
    "company": F("company__name").asc(nulls_last=True),
    "-company": F("company__name").desc(nulls_last=True),
}


@dataclass(frozen=True, slots=True)
class Amount:
    """What lines come to on the licenses of one currency."""

    currency: str
    cif_fc: Decimal
    licenses: int
    """How many licenses these are."""
    license_number: str
    """Of the first of them."""


def amounts(lines: QuerySet[Any], *by: str) -> dict[tuple[Any, ...], list[Amount]]:
    """By what stands in these fields of the lines: one for each currency. Different currencies are never added up."""
    found = lines.values_list(*by, "import_item__license__currency").annotate(
        Sum("cif_fc"), Count("import_item__license", distinct=True), Min("import_item__license__license_number")
    )
    together: dict[tuple[Any, ...], list[Amount]] = defaultdict(list)
    for row in found.order_by("import_item__license__currency"):
        together[row[: len(by)]].append(Amount(*row[len(by) :]))
    return together


@page("ledger.view_allotment")
def allotments(request: HttpRequest) -> HttpResponse:
    """The list: searched, filtered, sorted, with totals where not too many were found."""
    found = AllotmentFilter(
        request.GET, Allotment.objects.select_related("company", "release").prefetch_related("bills_of_entry")
    )
    shown = sorted_and_paged(request, found.qs, ALLOTMENT_SORTS, default="-number")
    added_up = _added_up(AllotmentLine.objects.all(), "allotment", found.qs, shown["page"])
    of_page = standings(shown["page"])
    added_up["documents"] = [(each, of_page[each.pk], of_it) for each, of_it in added_up["documents"]]
    return render(request, "desk/allotments.html", {"filter": found, **shown, **added_up})


@page("ledger.view_billofentry")
def bills_of_entry(request: HttpRequest) -> HttpResponse:
    """The list: searched, filtered, sorted, with totals where not too many were found."""
    bills = BillOfEntry.objects.select_related("port", "company").prefetch_related("allotments")
    found = BillOfEntryFilter(request.GET, bills)
    shown = sorted_and_paged(request, found.qs, BILL_SORTS, default="-date")
    debits = BillOfEntryLine.objects.filter(transaction_type=TransactionType.DEBIT)
    added_up = _added_up(debits, "bill_of_entry", found.qs, shown["page"])
    return render(request, "desk/bills_of_entry.html", {"filter": found, **shown, **added_up})


def _added_up(lines: QuerySet[Any], document: str, found: QuerySet[Any], page: Page[Any]) -> dict[str, Any]:
    """The documents of a page, each with its amounts, and the totals of all that was found: none of too many."""
    of_page = amounts(lines.filter(**{f"{document}__in": [each.pk for each in page]}), document)
    shown = {"documents": [(each, of_page.get((each.pk,), [])) for each in page], "most_added_up": MOST_ADDED_UP}
    if page.paginator.count <= MOST_ADDED_UP:
        of_all = amounts(lines.filter(**{f"{document}__in": found.order_by().values("pk")}))
        shown["totals"] = of_all.get((), [])
    return shown
