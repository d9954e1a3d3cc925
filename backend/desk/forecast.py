"""The forecast of the licenses that the list would find: what the next midnights turn, and what is left whatever comes
of the open allotments. It adds up what the engine has stored and people have entered; nothing here is a rule."""

from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal

from django.db.models import Count, DateField, F, QuerySet, Sum, Value
from django.db.models.functions import Greatest
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from desk.licenses import LicenseFilter
from desk.views import page
from ledger.models import AllotmentLine
from license.clock import business_date
from license.models import License

HORIZONS = (30, 90, 365)
"""Days. The first is shown where nothing else is asked for."""


@dataclass(slots=True)
class Turn:
    """What one midnight turns, in one currency: the last instant of `last_day`."""

    last_day: date
    currency: str
    licenses: int = 0
    """That expire then, with balance left."""
    balance_cif: Decimal = Decimal(0)
    """Theirs."""
    allotments: int = 0
    """That are given up then."""
    allotted_cif: Decimal = Decimal(0)
    """What they reserve on these licenses, and is free again."""


@dataclass(frozen=True, slots=True)
class Outlook:
    """Licenses of one currency that have not expired. Amounts of different currencies are never added up."""

    currency: str
    licenses: int
    if_all_are_used: Decimal
    """Left if every open allotment comes in: what is reserved counts as used, so that is the balance."""
    if_none_is: Decimal
    """Left if none of them does."""


def turns(licenses: QuerySet[License], today: date, days: int) -> list[Turn]:
    """Of the midnights at the end of today and of so many days after it, those that turn something. What should have
    been given up by now is so at the next one."""
    found: dict[tuple[date, str], Turn] = {}

    def turn(last_day: date, currency: str) -> Turn:
        return found.setdefault((last_day, currency), Turn(last_day, currency))

    until = today + timedelta(days=days)
    expiring = licenses.filter(license_expiry_date__range=(today, until), balance__is_null=False)
    of_day = expiring.order_by().values_list("license_expiry_date", "currency")
    for last_day, currency, count, balance in of_day.annotate(Count("pk"), Sum("balance__balance_cif")):
        entry = turn(last_day, currency)
        entry.licenses, entry.balance_cif = count, balance
    reserving = AllotmentLine.objects.filter(
        import_item__license__in=licenses.order_by().values("pk"),
        allotment__last_day__lte=until,
        allotment__bills_of_entry=None,
        allotment__release=None,
    )
    next_one = Greatest("allotment__last_day", Value(today, DateField()))
    given_up = reserving.values_list(next_one, "import_item__license__currency")
    for last_day, currency, count, allotted in given_up.annotate(Count("allotment", distinct=True), Sum("cif_fc")):
        entry = turn(last_day, currency)
        entry.allotments, entry.allotted_cif = count, allotted
    return [found[key] for key in sorted(found)]


def outlook(licenses: QuerySet[License]) -> list[Outlook]:
    """One for each currency."""
    raw = F("balance__balance_cif") - F("balance__overdrawn_cif") + F("balance__allotted_cif")
    sums = licenses.filter(balance__is_expired=False).order_by().values_list("currency")
    each = sums.annotate(Count("pk"), Sum("balance__balance_cif"), if_none_is=Sum(Greatest(raw, Decimal(0))))
    return [Outlook(*row) for row in each.order_by("currency")]


@page("license.view_license", "ledger.view_licensebalance", "ledger.view_allotment")
def forecast(request: HttpRequest) -> HttpResponse:
    """The page: the filter of the list of licenses, and so many days."""
    found = LicenseFilter(request.GET, queryset=License.objects.all())
    asked = request.GET.get("days", "")
    days = int(asked) if asked in map(str, HORIZONS) else HORIZONS[0]
    shown = {
        "filter": found,
        "days": days,
        "horizons": HORIZONS,
        "outlook": outlook(found.qs),
        "turns": turns(found.qs, business_date(), days),
    }
    return render(request, "desk/forecast.html", shown)
