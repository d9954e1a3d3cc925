"""What is chosen by typing a part of it: import items and open allotments, found by index among all there are.

An item is shown with what the engine has stored of it; the numbers of an entry are checked when it is saved.
"""

import re
from collections.abc import Iterable
from typing import TypeVar

from django.core.exceptions import PermissionDenied
from django.db.models import Q, QuerySet
from django.http import HttpRequest, JsonResponse

from desk.lists import RELEASED
from ledger.models import Allotment, AllotmentLine, AllotmentType, BillOfEntryLine, ImportItemBalance
from license.formats import as_license_number, indian, quantity
from license.models import ImportItem

Row = TypeVar("Row", ImportItem, Allotment)
Line = TypeVar("Line", AllotmentLine, BillOfEntryLine)

AT_ONCE = 20
LEAST_TYPED = 3
"""Characters, before anything is looked for."""


def by_license_number(typed: str, path: str = "") -> Q:
    """Licenses whose number begins with what was typed, or is it without the zeros that spreadsheets eat."""
    exactly = Q(**{f"{path}license_number": as_license_number(typed)})
    return Q(**{f"{path}license_number__startswith": typed.upper()}) | exactly


def drawing_on(lines: type[Line], typed: str) -> QuerySet[Line]:
    """The lines that draw on the license of this number; on this one alone, for the beginning of a number may mean
    all."""
    return lines._default_manager.filter(import_item__license__license_number=as_license_number(typed))


def items(request: HttpRequest) -> JsonResponse:
    """Import items for a list that is being typed in: `term` is the beginning of a license number, then perhaps a
    serial number or words of the description."""
    if not request.user.has_perms(("license.view_importitem", "ledger.view_importitembalance")):
        raise PermissionDenied
    found = ImportItem.objects.select_related("license").order_by("license__license_number", "serial_number")
    number, *words = re.split(r"[\s/,]+", _term(request)) or [""]
    found = found.filter(by_license_number(number, "license__")) if len(number) >= LEAST_TYPED else found.none()
    for word in words:
        is_serial_number = Q(serial_number=word) if re.fullmatch(r"[0-9]{1,6}", word, re.ASCII) else Q()
        found = found.filter(is_serial_number or Q(description__icontains=word))
    page, more = _page(request, found)
    return _answer(((item.pk, described) for item, described in with_balances(page)), more=more)


def with_balances(page: list[ImportItem]) -> list[tuple[ImportItem, str]]:
    """Each with what is left of it, as the engine has stored it."""
    stored = ImportItemBalance.objects.filter(
        license__in=[item.license_id for item in page], import_item__in=[item.pk for item in page]
    )
    balances = {balance.import_item_id: balance for balance in stored}
    return [(item, f"{name_of(item)} · {_left(item, balances.get(item.pk))}") for item in page]


def name_of(item: ImportItem) -> str:
    """0310000008 / 2 · Cashew kernels."""
    name = f"{item.license.license_number} / {item.serial_number}"
    return f"{name} · {item.description[:60]}" if item.description else name


def _left(item: ImportItem, balance: ImportItemBalance | None) -> str:
    if balance is None:
        return "no balance yet"
    what_is_left = " ".join(filter(None, [quantity(balance.available_quantity), item.unit]))
    return f"{what_is_left} and {item.license.currency} {indian(balance.available_value)} available"


def allotments(request: HttpRequest) -> JsonResponse:
    """Allotments that reserve, for a list that is being typed in: `term` is the number of one, the number of a
    license that it draws on, or a part of its company's name."""
    if not request.user.has_perm("ledger.view_allotment"):
        raise PermissionDenied
    found = Allotment.objects.filter(~RELEASED, type=AllotmentType.ALLOTMENT)
    if typed := _term(request):
        named = Q(pk=typed) if re.fullmatch(r"[0-9]{1,18}", typed, re.ASCII) else Q(company__name__icontains=typed)
        drawing = drawing_on(AllotmentLine, typed).values("allotment")
        found = found.filter(pk__in=Allotment.objects.filter(named).values("pk").union(drawing))
    page, more = _page(request, found.select_related("company").order_by("-pk"))
    return _answer(((allotment.pk, described(allotment)) for allotment in page), more=more)


def described(allotment: Allotment) -> str:
    """Allotment 12 to Pune Mills, Cashew kernels."""
    return ", ".join(filter(None, [f"{allotment} to {allotment.company}", allotment.item_name]))


def _term(request: HttpRequest) -> str:
    return request.GET.get("term", "").strip()


def _page(request: HttpRequest, found: "QuerySet[Row]") -> tuple[list[Row], bool]:
    """The page that was asked for, and whether there are more."""
    number = request.GET.get("page", "1")
    start = (int(number) - 1) * AT_ONCE if re.fullmatch(r"[1-9][0-9]{0,3}", number, re.ASCII) else 0
    rows = list(found[start : start + AT_ONCE + 1])
    return rows[:AT_ONCE], len(rows) > AT_ONCE


def _answer(found: Iterable[tuple[int, str]], *, more: bool) -> JsonResponse:
    results = [{"id": str(pk), "text": text} for pk, text in found]
    return JsonResponse({"results": results, "pagination": {"more": more}})
