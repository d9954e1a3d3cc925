"""What every list of the desk does alike: it is searched, sorted and shown page by page, as its address says."""

from collections.abc import Mapping, Sequence
from typing import Any

from django.core.paginator import Paginator
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.db.models.expressions import OrderBy
from django.db.models.functions import Length
from django.http import HttpRequest

from ledger.models import Allotment, AllotmentRelease
from license.models import Company, SionNorm

PAGE_SIZE = 50
RELEASED = Exists(Allotment.bills_of_entry.through.objects.filter(allotment=OuterRef("pk"))) | Exists(
    AllotmentRelease.objects.filter(allotment=OuterRef("pk"))
)
"""Of an allotment: it reserves no longer."""


def companies(words: str) -> QuerySet[Company]:
    """By a part of the name, or the beginning of the IEC."""
    return Company.objects.filter(Q(name__icontains=words) | Q(iec__istartswith=words))


def norms() -> dict[str, int]:
    """All that there are, as people count them: code to id."""
    return dict(SionNorm.objects.order_by(Length("code"), "code").values_list("code", "pk"))


def paged(request: HttpRequest, found: QuerySet[Any] | Sequence[Any]) -> dict[str, Any]:
    """The page that the address asks for, or the nearest: `page`, and for `desk/pages.html` the numbers of `pages`."""
    paginator = Paginator(found, PAGE_SIZE)
    page = paginator.get_page(request.GET.get("page"))
    return {"page": page, "pages": paginator.get_elided_page_range(page.number, on_each_side=2, on_ends=1)}


def sorted_and_paged(
    request: HttpRequest, found: QuerySet[Any], sorts: Mapping[str, OrderBy], default: str
) -> dict[str, Any]:
    """The same, sorted by one of `sorts`, whose name is `sort`; the newest first among equals."""
    sort = request.GET.get("sort", "")
    sort = sort if sort in sorts else default
    return {"sort": sort, **paged(request, found.order_by(sorts[sort], "-pk"))}
