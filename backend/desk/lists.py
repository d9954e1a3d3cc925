"""What every list of the desk does alike: it is sorted and shown page by page, as its address says."""

from collections.abc import Mapping
from typing import Any

from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.db.models.expressions import OrderBy
from django.http import HttpRequest

PAGE_SIZE = 50


def paged(request: HttpRequest, found: QuerySet[Any]) -> dict[str, Any]:
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
