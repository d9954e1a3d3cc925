"""Balances as of a date: of one license with all that they were made of, or of every license."""

from collections.abc import Iterator
from dataclasses import fields

from django import forms
from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.http import Http404, HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.utils import timezone

from desk.balance_sheet import Sheet
from desk.files import NoFileError, file, named, sent_sheets
from desk.lists import PAGE_SIZE
from desk.statement import statement
from desk.trail import TRAIL
from desk.views import page
from desk.workbook import Cell, Column, csv_lines
from ledger.as_of import Balance, Moment, UnknownError, balances
from ledger.explain import explain_as_of
from ledger.sql import queries
from license.formats import day
from license.models import License

SEES = ("license.view_license", "ledger.view_licensebalance", TRAIL)
COLUMNS = (
    Column("License"), Column("Exporter"), Column("Currency"), Column("Dated"), Column("Expires"), Column("Credit"),
    Column("Debited"), Column("Allotted"), Column("Balance"), Column("Overdrawn"), Column("Null"), Column("Expired"),
    Column("Shown then"),
)  # fmt: skip


class AsOfForm(forms.Form):
    """Until which day documents count, and on which day it was known."""

    until = forms.DateField(required=False, label="Documents until", widget=forms.DateInput({"type": "date"}))
    known = forms.DateField(required=False, label="As known at the end of", widget=forms.DateInput({"type": "date"}))

    def clean(self) -> dict[str, object]:
        """With the `moment` that both mean."""
        said = super().clean() or {}
        try:
            return said | {"moment": Moment.of(said.get("until"), said.get("known"))}
        except UnknownError as error:
            raise forms.ValidationError(f"{error}") from None

    def words(self) -> str:
        """As of when: by the documents until 31 Mar 2026, as known at the end of 2 Apr 2026."""
        until, known = self.cleaned_data.get("until"), self.cleaned_data.get("known")
        documents = f"by the documents until {day(until)}" if until else "by all documents"
        return f"{documents}, as known {f'at the end of {day(known)}' if known else 'now'}"


@page(*SEES)
def as_of(request: HttpRequest) -> HttpResponse:
    """Every license, page by page."""
    form = AsOfForm(request.GET)
    shown: dict[str, object] = {"form": form}
    if form.is_valid():
        ids = Paginator(queries.column("as_of_licenses"), PAGE_SIZE)
        this = ids.get_page(request.GET.get("page"))
        shown |= {
            "words": form.words(),
            "page": this,
            "pages": ids.get_elided_page_range(this.number, on_each_side=2, on_ends=1),
            "rows": list(balances(form.cleaned_data["moment"], list(this.object_list))),
        }
    return render(request, "desk/as_of.html", shown, status=200 if form.is_valid() else 400)


@page(*SEES)
def license_as_of(request: HttpRequest, number: str) -> HttpResponse:
    """One license, with its items and its statement."""
    form = AsOfForm(request.GET)
    shown: dict[str, object] = {"form": form, "number": number}
    if "\0" in number:  # PostgreSQL has no text with it
        raise Http404("There is no such license.")
    if form.is_valid():
        shown["words"] = form.words()
        try:
            explained = explain_as_of(number, form.cleaned_data["moment"])
        except License.DoesNotExist:
            if not queries.column("as_of_license_ids", license_number=number):
                raise Http404(f"There is no license {number}.") from None
        else:
            shown |= {"license": explained.license, "balance": explained, "statement": statement(explained)}
    return render(request, "desk/license_as_of.html", shown, status=200 if form.is_valid() else 400)


@file
def license_as_of_sheet(request: HttpRequest, number: str, kind: str) -> HttpResponseBase:
    """Its balance sheet as of that date: `pdf` or `xlsx`."""
    form = asked(request)
    if "\0" in number:  # PostgreSQL has no text with it
        raise Http404("There is no such license.")
    try:
        explained = explain_as_of(number, form.cleaned_data["moment"])
    except License.DoesNotExist:
        raise Http404(f"There was no license {number!r}.") from None
    return sent_sheets([Sheet(explained, timezone.now(), form.words())], name_of(f"balance-{number}", form), kind)


@file
def as_of_csv(request: HttpRequest) -> HttpResponseBase:
    """Every license as a file, read while it is sent."""
    form = asked(request)
    lines = csv_lines(COLUMNS, rows(form.cleaned_data["moment"]))
    headers = named(name_of("balances", form), "csv")
    return StreamingHttpResponse(lines, content_type="text/csv; charset=utf-8", headers=headers)


def asked(request: HttpRequest) -> AsOfForm:
    """What the address of a file says. Raises NoFileError, and PermissionDenied for whom it is not."""
    if not request.user.has_perm(TRAIL):
        raise PermissionDenied
    form = AsOfForm(request.GET)
    if not form.is_valid():
        raise NoFileError(" ".join(f"{error}" for errors in form.errors.values() for error in errors))
    return form


def name_of(what: str, form: AsOfForm) -> str:
    """Of a file: balances-until-2026-03-31."""
    days = [f"{name}-{form.cleaned_data[name]}" for name in ("until", "known") if form.cleaned_data.get(name)]
    return "-".join([what, *days])


def rows(moment: Moment) -> Iterator[list[Cell]]:
    """In the order of COLUMNS."""
    names = [field.name for field in fields(Balance)]
    for balance in balances(moment):
        values = [getattr(balance, name) for name in names]
        yield [("yes" if value else "no") if isinstance(value, bool) else value for value in values]
