"""The pages. Each asks for a permission, and for a handful of queries."""

from collections import defaultdict
from collections.abc import Callable
from datetime import datetime, time, timedelta
from decimal import Decimal

from django.conf import settings
from django.contrib.auth.decorators import permission_required
from django.core.paginator import Paginator
from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404, render
from django.utils import timezone
from django.views.decorators.http import require_safe

from desk.balance_sheet import MAX_SHEETS
from desk.licenses import DEFAULT_SORT, SORTS, STATES, LicenseFilter, all_licenses, counts, in_order, totals, with_marks
from desk.lists import PAGE_SIZE, RELEASED
from desk.standing import ALLOTTED, MORE, more, standing
from desk.statement import over_time, statement
from ledger import customs
from ledger.explain import explain
from ledger.models import Allotment, AllotmentType, BillOfEntry, Overdraw
from ledger.sql import queries as ledger
from license.clock import INDIA, business_date
from license.formats import day
from license.models import License
from reconcile import freshness
from reconcile.models import FindingKind, ReconciliationRun
from reconcile.night import is_owed
from reconcile.report import is_worrying, last_run, title

LOOKS = {
    "overdrawn": "bad", "quarantined": "bad", "expiring-30": "soon", "expiring-60": "", "expiring-90": "",
    "pending": "soon",
}  # fmt: skip
"""The states that ask for a look, and how each looks where it finds something."""
MAX_AGE = timedelta(seconds=60)
"""A change that is pending for longer is worth a warning."""

Page = Callable[..., HttpResponseBase]


def page(*permissions: str) -> Callable[[Page], Page]:
    """A page to read, for those who have all of these permissions. Others are refused (403)."""

    def decorate(function: Page) -> Page:
        return require_safe(permission_required(permissions, raise_exception=True)(function))

    return decorate


@page("license.view_license", "ledger.view_licensebalance")
def home(request: HttpRequest) -> HttpResponse:
    """What a morning needs. Each number leads to its list."""
    found = counts()
    reserving = Allotment.objects.filter(~RELEASED)
    shown = {
        "every": found["every"],
        "pending": found["pending"],
        "waiting": reserving.filter(type=AllotmentType.ALLOTMENT).count(),
        "wanted": reserving.filter(required_quantity__gt=ALLOTTED).count(),
        "to_look_at": [(state, LOOKS[state], STATES[state][0], found[state]) for state in LOOKS],
        "others": [(state, label, found[state]) for state, (label, _) in STATES.items() if state not in LOOKS],
    }
    if request.user.has_perm("reconcile.view_reconciliationrun"):
        run = last_run()
        now = freshness.look()
        shown |= {"run": run, "freshness": now, "complaints": [*now.complaints(MAX_AGE), *late_night(run)]}
        if run:
            kinds = [(kind.value, kind.label, run.finding_counts.get(kind)) for kind in FindingKind]
            shown |= {"run_title": title(run), "is_worrying": is_worrying(run), "kinds": kinds}
    return render(request, "desk/home.html", shown)


def late_night(last: ReconciliationRun | None) -> list[str]:
    """The complaint, if there is one, that no night of this business date has begun though there were runs before."""
    today = business_date()
    since_midnight = timezone.now() - datetime.combine(today, time.min, INDIA)
    is_late = since_midnight > timedelta(seconds=2 * settings.OWED_NIGHT_SECONDS)
    if last and is_late and is_owed(today):
        return [f"The night of {day(today)} has not begun: are beat and a worker up?"]
    return []


@page("license.view_license", "ledger.view_licensebalance")
def licenses(request: HttpRequest) -> HttpResponse:
    """The list: searched, filtered, sorted, with totals of all that was found."""
    found = LicenseFilter(request.GET, queryset=License.objects.all())
    sums = totals(found.qs)
    sort = request.GET.get("sort", DEFAULT_SORT)
    pages = Paginator(in_order(found.qs, sort).values("pk"), PAGE_SIZE)
    pages.count = sum(total.licenses for total in sums)  # asked for already
    this = pages.get_page(request.GET.get("page"))
    # all that is shown of them is read when it is known which fifty they are
    shown = in_order(all_licenses().filter(pk__in=this.object_list), sort)  # type: ignore[misc]  # a slice of a query
    return render(
        request,
        "desk/licenses.html",
        {
            "filter": found,
            "totals": sums,
            "page": this,
            "pages": pages.get_elided_page_range(this.number, on_each_side=2, on_ends=1),
            "licenses": with_marks(list(shown)),
            "sort": sort if sort in SORTS else DEFAULT_SORT,
            "today": business_date(),
            "most_sheets": MAX_SHEETS,
        },
    )


@page("license.view_license", "ledger.view_licensebalance")
def license(request: HttpRequest, number: str) -> HttpResponse:
    """One license. Asked by the page itself whether anything has changed since `state`, it answers 204 if not."""
    if "\0" in number:  # PostgreSQL has no text with it
        raise Http404("There is no such license.")
    pk = License.objects.filter(license_number=number).values_list("pk", flat=True).first()
    if pk is None:
        raise Http404(f"There is no license {number}.")
    # the day too: at midnight licenses expire
    state = ":".join([f"{business_date()}", *ledger.column("state_of_license", license_id=pk)])
    if request.headers.get("HX-Request") and request.GET.get("state") == state:
        return HttpResponse(status=204)
    try:
        explained = explain(number)
    except License.DoesNotExist:
        raise Http404(f"There is no license {number}.") from None
    entries = statement(explained)
    may_know = request.user.has_perm("ledger.view_overdraw")
    may_match = request.user.has_perm("ledger.view_settlement")
    return render(
        request,
        "desk/license_live.html" if request.headers.get("HX-Request") else "desk/license.html",
        {
            "license": explained.license,
            "balance": explained,
            "statement": entries,
            "over_time": over_time(entries, explained.today),
            "overdraws": Overdraw.objects.filter(license=pk).order_by("-pk") if may_know else (),
            "bridge": list(customs.bridge_in_words(pk)) if may_match else (),
            "mismatches": sum(customs.counts([pk]).values()) if may_match else 0,
            "state": state,
            "now": timezone.now(),
            "turns": explained.license.license_expiry_date == explained.today,
        },
    )


@page("ledger.view_billofentry")
def bill_of_entry(request: HttpRequest, pk: int) -> HttpResponse:
    """One bill of entry, with all that it took, of whichever license."""
    bill = get_object_or_404(BillOfEntry.objects.select_related("port", "company"), pk=pk)
    lines = bill.lines.select_related("import_item__license").order_by(
        "import_item__license__license_number", "import_item__serial_number"
    )
    return render(
        request, "desk/bill_of_entry.html", {"bill": bill, "lines": lines, "allotments": bill.allotments.order_by("pk")}
    )


@page("ledger.view_allotment")
def allotment(request: HttpRequest, pk: int) -> HttpResponse:
    """One allotment, with all that it reserves, how far it is allotted, and the bills of entry that released it."""
    found = get_object_or_404(Allotment.objects.select_related("company", "release"), pk=pk)
    lines = list(
        found.lines.select_related("import_item__license").order_by(
            "import_item__license__license_number", "import_item__serial_number"
        )
    )
    values: dict[str, Decimal] = defaultdict(Decimal)
    for line in lines:
        values[line.import_item.license.currency] += line.cif_fc
    so_far, bills = standing(found), found.bills_of_entry.order_by("date", "number")
    reserves = not (bills or hasattr(found, "release"))
    may_more = request.user.has_perms(MORE) and reserves and (so_far.remaining is None or so_far.remaining > 0)
    return render(
        request,
        "desk/allotment.html",
        {
            "allotment": found,
            "lines": lines,
            "standing": so_far,
            "values": dict(sorted(values.items())),
            "bills": bills,
            "more": more(found, so_far) if may_more else "",
            "allottings": found.allottings.order_by("allotted_at"),
        },
    )
