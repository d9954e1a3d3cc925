"""Allot: what is wanted of an input is split over licenses that have it, tried, and reserved: all of it or nothing.

The address says what is wanted, as on Find; the form says how much of each item. What is left of it, the proposal, and
what would be left after are counted from facts by ledger.allotting. Nothing is written but by the button that says so.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, cast
from uuid import UUID, uuid4

from django import forms
from django.contrib import messages
from django.contrib.admin.models import ADDITION, CHANGE, LogEntry
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied, ValidationError
from django.db.models import Q, QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_http_methods

from desk.entry.base import Amount, Day
from desk.entry.wording import speak_plainly
from desk.find import NO_UNIT, Asked, mistakes
from desk.lists import companies
from desk.standing import MORE, NEW, standing
from ledger import allotting
from ledger.allotting import (
    OVERDRAW,
    AllottedAlreadyError,
    RefusedError,
    Rest,
    Share,
    most,
    must_reserve,
    propose,
    value_of,
    what_if,
)
from ledger.find import find, totals
from ledger.icegate import cells
from ledger.models import Allotment, AllotmentType
from ledger.overdraw import OverdrawsError
from license.clock import business_date
from license.fields import MONEY_MAX, QUANTITY_MAX
from license.formats import indian, quantity
from license.models import Company, ImportItem

MOST_TRIED = 500
"""Items that a proposal is made of, whose license expires first first."""
FURTHER = 50
"""Items that are offered besides."""
RECENT = 200
"""The last allotments, whose companies are offered."""
SIMILAR = 5


class Wish(Asked):
    """What the address asks for: as on Find, and how much."""

    use_required_attribute = False

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["quantity"].required = True
        self.fields["quantity"].error_messages["required"] = "Say how much is wanted."

    def clean_quantity(self) -> Decimal:
        wanted: Decimal = self.cleaned_data["quantity"]
        if not wanted:
            raise ValidationError("Say how much is wanted.")
        return wanted

    def unit_price(self) -> Decimal:
        """0: nobody has said."""
        return self.cleaned_data["price"] or Decimal(0)


class NewAllotment(forms.Form):
    """For whom it is, and what."""

    use_required_attribute = False  # one may look what would be left before one knows

    company = forms.CharField(
        label="Company",
        max_length=300,
        widget=forms.TextInput({"list": "companies", "autocomplete": "off", "placeholder": "name or IEC"}),
    )
    type = forms.ChoiceField(label="Type", choices=AllotmentType.choices)
    goods = forms.CharField(label="Goods", required=False, max_length=255)
    expected = Day(
        label="Expected",
        required=False,
        widget=forms.DateInput({"placeholder": "DD/MM/YYYY", "autocomplete": "off"}),
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for field in self.fields.values():
            speak_plainly(field)

    def mistakes(self) -> list[str]:
        return mistakes(self)

    def clean_company(self) -> Company:
        typed = " ".join(self.cleaned_data["company"].split())
        found = list(called(typed)[: SIMILAR + 1])
        if len(found) > 1:
            raise ValidationError(f"Several companies are called “{typed}”: write the IEC. {_some(found)}")
        if found:
            return found[0]
        similar = list(companies(typed).order_by("name", "iec")[: SIMILAR + 1])
        raise ValidationError(
            f"No company has the name or the IEC “{typed}”. "
            + (f"Is it one of these? {_some(similar)}" if similar else "Correct it, or add the company first.")
        )


def called(typed: str) -> QuerySet[Company]:
    """The companies of this IEC, of this name, or of both, one after the other."""
    name, _, iec = typed.rpartition(" ")
    found = Q(name__iexact=typed) | Q(name__iexact=name, iec=iec.upper())
    with suppress(cells.CellError):
        found |= Q(iec=cells.iec(typed))
    return Company.objects.filter(found).order_by("iec")


def _some(found: Sequence[Company]) -> str:
    return "; ".join(map(str, found[:SIMILAR])) + ("; …" if len(found) > SIMILAR else "")


class LineForm(forms.Form):
    """How much of an item. A value that nobody has typed comes of the unit price."""

    quantity = Amount(label="Quantity", required=False, max_value=QUANTITY_MAX, decimal_places=3)
    value = Amount(label="Value", required=False, max_value=MONEY_MAX, decimal_places=2)

    def __init__(self, item: ImportItem, price: Decimal, **kwargs: Any) -> None:
        super().__init__(prefix=f"item-{item.pk}", **kwargs)
        self.item, self.unit_price = item, price
        for field in self.fields.values():
            speak_plainly(field)
            of = f"License {item.license.license_number}, item {item.serial_number}"
            field.widget.attrs["aria-label"] = f"{field.label} of {of}"

    def clean(self) -> dict[str, Any]:
        said = self.cleaned_data
        if not self.errors and said["quantity"] and said["value"] is None:
            said["value"] = value_of(said["quantity"], self.unit_price) if self.unit_price else None
            if said["value"] is None:
                self.add_error("value", "Type a value, for no unit price is given.")
            elif said["value"] > MONEY_MAX:
                self.add_error("value", "That comes to more than a license has room for.")
        return said

    def share(self) -> Share | None:
        """None where there is nothing to reserve."""
        said = self.cleaned_data
        if not (said["quantity"] or said["value"]):
            return None
        return Share(self.item.pk, said["quantity"] or Decimal(0), said["value"] or Decimal(0))


@dataclass(frozen=True, slots=True)
class Line:
    """An item in the form."""

    item: ImportItem
    form: LineForm
    left: Rest
    most: Decimal
    """How much of what is wanted it can take alone."""
    after: Rest | None
    """What would be left of it."""
    is_expired: bool


@require_http_methods(["GET", "HEAD", "POST"])
def allot(request: HttpRequest) -> HttpResponseBase:
    """A proposal, what would come of it, and the allotment."""
    if not request.user.has_perms(MORE if "allotment" in request.GET else NEW):
        raise PermissionDenied
    draft = Draft(request)
    if request.method == "POST" and request.POST.get("do") == "allot" and (done := draft.allot()):
        return redirect("allotment", done)
    return draft.shown()


class Draft:
    """What one request says, and what is to be told of it."""

    def __init__(self, request: HttpRequest) -> None:
        self.request = request
        self.user = cast("User", request.user)  # who has a permission is logged in
        self.does = request.POST.get("do", "propose") if request.method == "POST" else "propose"
        self.allotment = _existing(request)
        self.wish = Wish(request.GET if request.GET.keys() - {"allotment"} else None)
        self.about = None if self.allotment else self._about()
        self.forms: list[LineForm] = []
        self.told: dict[str, Any] = {}
        self.mistakes: list[str] = []
        self.is_mixed = False
        if self.allotment:
            try:
                must_reserve(self.allotment)
            except RefusedError as error:
                self.mistakes.append(str(error))
        if self.wish.is_valid() and not self.mistakes:
            self.forms = list(self._proposed()) if self.does == "propose" else list(self._typed())

    def _about(self) -> NewAllotment:
        """What was typed is only held against anything when it is to be saved."""
        if self.does == "allot":
            return NewAllotment(self.request.POST)
        words = self.request.GET.get("item", "")
        goods = "" if re.match(r"\s*[0-9]", words) else words
        return NewAllotment(initial={"goods": goods, **self.request.POST.dict()})

    def _proposed(self) -> Iterator[LineForm]:
        wanted, said, price = self.wish.wanted(), self.wish.cleaned_data, self.wish.unit_price()
        sums = totals(wanted)
        self.wish.offer(sums)
        self.told = {"totals": sums, "is_clear": len(sums.quantities) == len(sums.values) == 1}
        if not self.told["is_clear"]:
            return
        self.told["tried"] = min(sums.items, MOST_TRIED)
        found = [each.import_item_id for each in find(wanted, count=MOST_TRIED)]
        shares = {share.import_item_id: share for share in propose(found, said["quantity"], price)}
        further = [pk for pk in found if pk not in shares][:FURTHER]
        for item in _items([*shares, *further]):
            share = shares.get(item.pk)
            filled = {"quantity": share.quantity, "value": share.cif_fc if price else None} if share else {}
            yield LineForm(item, price, initial=filled)

    def _typed(self) -> Iterator[LineForm]:
        posted = [pk for pk in self.request.POST.getlist("item") if re.fullmatch(r"[0-9]{1,18}", pk, re.ASCII)]
        items = list(_items(dict.fromkeys(map(int, posted[: MOST_TRIED + FURTHER]))))
        self.is_mixed = len({(item.unit, item.license.currency) for item in items}) > 1
        if self.is_mixed:
            self.mistakes.append("These items are not all of one unit and one currency. Propose anew.")
        for item in items:
            yield LineForm(item, self.wish.unit_price(), data=self.request.POST)

    def _shares(self) -> list[Share] | None:
        """What is to be reserved; None where something that was typed makes no sense."""
        if self.is_mixed:
            return None
        if self.does == "propose":
            return [
                Share(form.item.pk, form.initial["quantity"], form.initial["value"] or Decimal(0))
                for form in self.forms
                if form.initial
            ]
        if not all(form.is_valid() for form in self.forms):
            return None
        return [share for form in self.forms if (share := form.share())]

    def allot(self) -> int | None:
        """The allotment that has been made, or has got more; None where nothing was done, and the page says why."""
        shares, request = self._shares(), self.request
        is_known = self.about is None or self.about.is_valid()
        if shares is None or self.mistakes or not is_known or not self.wish.is_valid():
            return None
        wanted, comes_to = self.wish.cleaned_data["quantity"], _sum(share.quantity for share in shares)
        if not self.allotment and comes_to > wanted:
            self.mistakes.append(
                f"{quantity(wanted)} is wanted, and the lines come to {quantity(comes_to)}. Allot less, or say above "
                "that more is wanted."
            )
            return None
        try:
            done = allotting.allot(
                self.allotment or self._new(),
                shares,
                by=self.user,
                confirmation=request.POST.get("overdraw", ""),
                key=self._key(),
            )
        except AllottedAlreadyError as before:
            messages.warning(request, "The form was sent twice, and allotted once: this is what it came to then.")
            return before.allotment_id
        except Allotment.DoesNotExist:
            raise Http404("There is no such allotment any more.") from None
        except RefusedError as error:
            self.mistakes.append(str(error))
        except OverdrawsError as error:
            self.told |= {"overdraws": error.sentences, "confirmation": error.confirmation()}
        else:
            self._tell(done, shares)
            return done.pk
        return None

    def _key(self) -> UUID:
        if key := _as_key(self.request):
            return key
        raise RefusedError("The form was not complete, and nothing is allotted. Look at it, and try again.")

    def _new(self) -> Allotment:
        said = self.about.cleaned_data if self.about else {}
        return Allotment(
            company=said["company"],
            type=said["type"],
            item_name=said["goods"],
            estimated_arrival_date=said["expected"],
            required_quantity=self.wish.cleaned_data["quantity"],
            unit_price=self.wish.unit_price() or None,
        )

    def _tell(self, done: Allotment, shares: list[Share]) -> None:
        """Who has done it: in the history of data entry, and at the head of the page that is led to."""
        [form] = self.forms[:1]
        what = (
            f"{quantity(_sum(share.quantity for share in shares))} {form.item.unit}".strip()
            + f" for {form.item.license.currency} {indian(_sum(share.cif_fc for share in shares))}"
        )
        LogEntry.objects.log_actions(
            self.user.pk,
            [done],
            CHANGE if self.allotment else ADDITION,
            f"Allotted {what}.",
        )
        messages.success(self.request, f"Allotted: {what}.")

    def shown(self) -> HttpResponse:
        """The page, with what was typed, and what is left now."""
        shares = self._shares()
        after, overdraws = what_if(shares) if shares else ({}, [])
        left = allotting.left(form.item.pk for form in self.forms)
        forms = [form for form in self.forms if form.item.pk in left]
        proposed = None if shares is None else _sum(share.quantity for share in shares)
        return render(
            self.request,
            "desk/allot.html",
            {
                "form": self.wish,
                "about": self.about,
                "allotment": self.allotment,
                "standing": standing(self.allotment) if self.allotment else None,
                "lines": [self._line(form, left[form.item.pk], after.get(form.item.pk)) for form in forms],
                "mistakes": self.mistakes,
                "would_overdraw": overdraws,
                "may_overdraw": self.request.user.has_perm(OVERDRAW),
                "proposed": proposed,
                "value": None if shares is None else _sum(share.cif_fc for share in shares),
                "missing": self.wish.cleaned_data["quantity"] - proposed if forms and proposed is not None else None,
                "first": forms[0].item if forms else None,
                "key": _as_key(self.request) or uuid4(),
                "companies": _recent() if self.about else [],
                "no_unit": NO_UNIT,
                **self.told,
            },
        )

    def _line(self, form: LineForm, left: Rest, after: Rest | None) -> Line:
        item, wanted = form.item, self.wish.cleaned_data["quantity"]
        can = most(wanted, self.wish.unit_price(), left.available_quantity, left.available_value, item.unit)
        expires = item.license.license_expiry_date
        return Line(item, form, left, can, after, bool(expires and expires < business_date()))


def _existing(request: HttpRequest) -> Allotment | None:
    """The allotment that the address names; None where it is to be a new one."""
    asked = request.GET.get("allotment")
    if asked is None:
        return None
    if not re.fullmatch(r"[0-9]{1,18}", asked, re.ASCII):
        raise Http404(f"There is no allotment {asked!r}.")
    return get_object_or_404(Allotment.objects.select_related("company"), pk=asked)


def _items(ids: Iterable[int]) -> Iterator[ImportItem]:
    """Those that there are, in this order, with what is shown of them."""
    ids = list(ids)
    found = ImportItem.objects.select_related("license__exporter", "hs_code").in_bulk(ids)
    return (found[pk] for pk in ids if pk in found)


def _as_key(request: HttpRequest) -> UUID | None:
    """By which the form is known; None where it has none."""
    try:
        return UUID(request.POST.get("key", ""))
    except ValueError:
        return None


def _recent() -> QuerySet[Company]:
    """The companies of the last allotments."""
    last = Allotment.objects.order_by("-pk").values("company")[:RECENT]
    return Company.objects.filter(pk__in=last).order_by("name", "iec")


def _sum(numbers: Iterable[Decimal]) -> Decimal:
    return sum(numbers, Decimal(0))
