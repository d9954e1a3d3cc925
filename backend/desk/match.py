"""The match desk: where customs' ledgers and ours differ, each settled by one action; and what was settled, by whom.

What differs and what an action does is `ledger.customs`; these pages show the evidence and ask.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import permission_required
from django.core.exceptions import PermissionDenied
from django.core.paginator import Page, Paginator
from django.db import OperationalError
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.http import urlencode
from django.views.decorators.http import require_http_methods

from desk.documents import licenses_typed
from desk.lists import PAGE_SIZE, paged
from desk.views import page
from ledger import customs
from ledger.allotting import Person
from ledger.customs import ChangedError, Mismatch
from ledger.models import AllotmentLine, MismatchKind, Settlement
from license.models import License

VIEW, SETTLE = "ledger.view_settlement", "ledger.add_settlement"
TAKE_OUT = "ledger.delete_billofentryline"
"""Who may delete a debit may take one out that customs does not have."""
CHANGED = "Nothing was done: this has changed since you opened it. It stands like this now."
BUSY = "Nothing was done: a ledger, or somebody else, is changing the same just now. Try again."
DEADLOCK = "40P01"
LAST = 10**9
"""A page beyond the last."""
MOST_OF_IT = Decimal("0.95")
"""Of an allotment: a bill that has taken so much has taken it; of one that has less, the rest may still come."""
REASON_LENGTH = 255
REASON = "Say why, in a few words: who comes after you will want to know."


@page(VIEW)
def matches(request: HttpRequest) -> HttpResponse:
    """What is open, kind by kind, of all licenses or of one."""
    typed = request.GET.get("license", "").strip()
    license_ids = list(licenses_typed(typed).values_list("pk", flat=True)) if typed else None
    asked = request.GET.get("kind", "")
    number = request.GET.get("page", "")
    found = customs.overview(
        MismatchKind(asked) if asked in MismatchKind else None,
        license_ids,
        start=(min(int(number), LAST) - 1) * PAGE_SIZE if re.fullmatch("[1-9][0-9]{0,99}", number) else 0,
        count=PAGE_SIZE,
    )
    pages: Paginator[Any] = Paginator(range(found.counts[found.kind] if found.kind else 0), PAGE_SIZE)
    this: Page[Any] = pages.get_page(number)
    shown: dict[str, Any] = {
        "kinds": [(each.value, each.label, number) for each, number in found.counts.items()],
        "kind": found.kind,
        "is_known": license_ids is None or bool(license_ids),
        "rows": found.mismatches,
        "page": this,
        "pages": pages.get_elided_page_range(this.number, on_each_side=2, on_ends=1),
    }
    return render(request, "desk/matches.html", shown)


@page(VIEW)
def settled(request: HttpRequest) -> HttpResponse:
    """What was settled, the newest first."""
    found = Settlement.objects.order_by("-pk")
    if typed := request.GET.get("license", "").strip():
        found = found.filter(license__in=licenses_typed(typed))
    shown = paged(request, found)
    return render(request, "desk/settled.html", {**shown, "rows": with_licenses(shown["page"])})


@require_http_methods(["GET", "HEAD", "POST"])
@permission_required(VIEW, raise_exception=True)
def mismatch(request: HttpRequest, what: str, license_pk: int, pk: int) -> HttpResponse:
    """One of them, with the evidence. A POST settles it, if it is still what was seen."""
    if what not in MismatchKind:
        raise Http404("There is no such kind.")
    kind = MismatchKind(what)
    license = get_object_or_404(License, pk=license_pk)
    found = customs.find(kind, license_pk, pk)
    refusal = ""
    if request.method == "POST":
        if not request.user.has_perm(SETTLE):
            raise PermissionDenied
        refusal = _settle(request, found)
        if not refusal:
            done = Settlement.objects.filter(kind=kind, subject_id=pk).latest("pk")
            messages.success(request, f"Settled: {done}")
            return redirect(f"{reverse('matches')}?{urlencode({'kind': kind.value})}")
        found = customs.find(kind, license_pk, pk)
    before = Settlement.objects.filter(kind=kind, subject_id=pk).order_by("-pk")
    if found is None and not before.exists():
        raise Http404("There is no such mismatch, and there was none that somebody settled.")
    shown = {
        "license": license,
        "kind": kind,
        "mismatch": found,
        "refusal": refusal,
        "reason": request.POST.get("reason", ""),
        "settlements": with_licenses(before),
        "may_take_out": request.user.has_perm(TAKE_OUT),
        **(_evidence(found) if found else {}),
    }
    return render(request, "desk/mismatch.html", shown, status=409 if refusal in (CHANGED, BUSY) else 200)


@dataclass(frozen=True, slots=True)
class _Settling:
    """What a form says besides what is to be done."""

    by: Person
    reason: str
    bill: int | None


ACTIONS: dict[MismatchKind, dict[str, Callable[[Mismatch, _Settling], None]]] = {
    MismatchKind.UNCONVERTED: {
        "convert": lambda found, form: _convert(found, form, keep_rest=False),
        "convert part": lambda found, form: _convert(found, form, keep_rest=True),
        "keep": lambda found, form: customs.keep(found, by=form.by, reason=form.reason),
    },
    MismatchKind.TWIN: {
        "merge": lambda found, form: customs.merge(found, by=form.by, reason=form.reason),
        "keep": lambda found, form: customs.keep(found, by=form.by, reason=form.reason),
    },
    MismatchKind.DISPUTED: {
        "wait": lambda found, form: customs.keep(found, by=form.by, reason=form.reason, until_next_ledger=True),
        "keep": lambda found, form: customs.keep(found, by=form.by, reason=form.reason),
        "take out": lambda found, form: customs.take_out(found, by=form.by, reason=form.reason),
    },
    MismatchKind.IMBALANCE: {
        "wait": lambda found, form: customs.keep(found, by=form.by, reason=form.reason, until_next_ledger=True),
        "keep": lambda found, form: customs.keep(found, by=form.by, reason=form.reason),
    },
}
"""What can be done with each kind, by what the form calls it."""


def _convert(found: Mismatch, form: _Settling, *, keep_rest: bool) -> None:
    customs.convert(found, form.bill or found.other_id or 0, keep_rest=keep_rest, by=form.by, reason=form.reason)


def _settle(request: HttpRequest, found: Mismatch | None) -> str:
    """Do what was asked for. Nothing, or why it was not done."""
    do, bill = request.POST.get("do", ""), request.POST.get("bill", "")
    form = _Settling(
        request.user,
        request.POST.get("reason", "").replace("\0", "").strip()[:REASON_LENGTH],  # PostgreSQL has no text with it
        int(bill) if re.fullmatch("[0-9]{1,18}", bill) else None,
    )
    if found is None or found.seen != request.POST.get("seen"):
        return CHANGED
    action = ACTIONS[found.kind].get(do)
    if action is None:
        return "Nothing was done."
    if do == "take out" and not request.user.has_perm(TAKE_OUT):
        raise PermissionDenied
    if do in ("keep", "take out") and not form.reason:
        return REASON
    try:
        action(found, form)
    except ChangedError:
        return CHANGED
    except OperationalError as error:
        if getattr(error.__cause__, "sqlstate", None) != DEADLOCK:
            raise
        return BUSY
    return ""


def with_licenses(settlements: Page[Settlement] | QuerySet[Settlement]) -> list[tuple[Settlement, License | None]]:
    """Each with its license, if that is still there."""
    found = list(settlements)
    licenses = License.objects.in_bulk({settlement.license_id for settlement in found})
    return [(settlement, licenses.get(settlement.license_id)) for settlement in found]


# ── Evidence ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def _evidence(found: Mismatch) -> dict[str, Any]:
    details = found.details
    match found.kind:
        case MismatchKind.UNCONVERTED:
            first = {**details, "bill_of_entry_id": found.other_id}
            reserved = AllotmentLine.objects.filter(allotment=found.subject_id).select_related("import_item__license")
            reserves = list(reserved.order_by("import_item__license__license_number", "import_item__serial_number"))
            numbers = [_numbers(line) for line in details["lines"]]
            return {
                "is_part": len(reserves) > len(numbers)
                or any(line["debited_quantity"] < MOST_OF_IT * line["quantity"] for line in numbers),
                "reserves": reserves,
                "made_on": datetime.fromisoformat(details["made_at"]),
                "expected": date.fromisoformat(details["expected"]) if details["expected"] else None,
                "bills": [
                    (
                        bill["bill_of_entry_id"],
                        customs.bill_in_words(bill["bill_of_entry"], bill["date"], bill["port"]),
                        [_numbers(line) for line in bill["lines"]],
                    )
                    for bill in (first, *details["others"])
                ],
            }
        case MismatchKind.TWIN:
            return {
                "ours": customs.bill_in_words(details["bill_of_entry"], details["date"], details["port"]),
                "theirs": customs.bill_in_words(
                    details["their_bill_of_entry"], details["their_date"], details["their_port"]
                ),
                "lines": [_numbers(line) for line in details["lines"]],
            }
        case MismatchKind.DISPUTED:
            return {"bill": customs.bill_in_words(details["bill_of_entry"], details["date"], details["port"])}
        case MismatchKind.IMBALANCE:
            return {"bridge": list(customs.bridge_in_words(found.license_id))}


def _numbers(line: dict[str, Any]) -> dict[str, Any]:
    """With numbers for what is text, since JSON has none that are exact."""
    return {
        name: Decimal(value) if isinstance(value, str) and name != "unit" else value for name, value in line.items()
    }
