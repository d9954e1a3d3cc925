"""Bills of entry and allotments, with their lines; an allotment is converted by the bill of entry that releases it."""

import re
from collections import Counter
from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import admin
from django.core.exceptions import ValidationError
from django.db.models import F, Func, QuerySet, Value
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html_join

from desk.entry.base import Choice, Choices, EntryForm, Lines, Rows
from desk.entry.deletion import listed
from desk.entry.overdraw import WarningAdmin
from desk.entry.pick import described, drawing_on, name_of
from desk.entry.site import site
from ledger.icegate import cells
from ledger.models import (
    Allotment,
    AllotmentLine,
    AllotmentRelease,
    AllotmentType,
    BillOfEntry,
    BillOfEntryLine,
    TransactionType,
)
from license.clock import business_date
from license.formats import day
from license.models import ImportItem, Source

if TYPE_CHECKING:  # Django's own classes take no parameters
    OneItem = forms.ModelChoiceField[ImportItem]
    SeveralAllotments = forms.ModelMultipleChoiceField[Allotment]
else:
    OneItem, SeveralAllotments = forms.ModelChoiceField, forms.ModelMultipleChoiceField


class ItemField(OneItem):
    def label_from_instance(self, obj: ImportItem) -> str:
        return name_of(obj)


class ItemChoice(Choice):
    def get_url(self) -> str:
        return reverse("entry:pick_item")

    def build_attrs(self, base_attrs: Any, extra_attrs: Any = None) -> Any:
        return {**super().build_attrs(base_attrs, extra_attrs), "data-minimum-input-length": 3}


class AllotmentsField(SeveralAllotments):
    def label_from_instance(self, obj: Allotment) -> str:
        return described(obj)


class AllotmentChoices(Choices):
    def get_url(self) -> str:
        return reverse("entry:pick_allotment")


class LineFormSet(Rows):
    """An item stands once in a document; beside its debit, customs' ledger may have a credit of it."""

    def clean(self) -> None:
        super().clean()
        kept = [form for form in self.forms if form not in self.deleted_forms]
        items = Counter(
            (item, getattr(form.instance, "transaction_type", None))
            for form in kept
            if (item := form.cleaned_data.get("import_item"))
        )
        for (item, _), times in items.items():
            if times > 1:
                raise ValidationError(f"{name_of(item)} stands {times} times; write it once, with the sum.")


class DocumentLines(Lines):
    """Lines that draw on import items."""

    formset = LineFormSet
    of_line: tuple[str, ...]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        lines = super().get_queryset(request).select_related("import_item__license")
        return lines.order_by("import_item__license__license_number", "import_item__serial_number")

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        if db_field.name == "import_item":
            kwargs |= {
                "form_class": ItemField,
                "queryset": ImportItem.objects.select_related("license"),
                "widget": ItemChoice(db_field, self.admin_site),
            }
        return super().formfield_for_foreignkey(db_field, request, **kwargs)

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        """Who may only look sees what an item is called, where others choose it."""
        item = "import_item" if self.has_change_permission(request, obj) else "item"
        return (item, *self.of_line)

    @admin.display(description="item")
    def item(self, line: Any) -> str:
        return name_of(line.import_item)


class BillOfEntryLineForm(EntryForm):
    of_ledger = ("import_item", "quantity", "cif_fc", "cif_inr")


class BillOfEntryLines(DocumentLines):
    model = BillOfEntryLine
    form = BillOfEntryLineForm
    of_line = ("quantity", "cif_fc", "cif_inr", "origin")
    readonly_fields = ("item", "origin")

    def get_extra(self, request: HttpRequest, obj: BillOfEntry | None = None, **kwargs: Any) -> int:
        return 0 if obj else max(1, len(converted_lines(request)))

    @admin.display(description="from")
    def origin(self, line: BillOfEntryLine) -> str:
        words = [line.get_source_display()] if line.pk else ["typed in"]
        if line.transaction_type == TransactionType.CREDIT:
            words.append("credit, counts nowhere")
        if line.disputed_since:
            words.append(f"not in customs' ledger of {day(line.disputed_since)}")
        return ", ".join(words)


class BillOfEntryForm(EntryForm):
    readers = {"number": cells.bill_number}

    allotments = AllotmentsField(
        Allotment.objects.select_related("company"),
        required=False,
        label="Releases allotments",
        help_text="What this bill takes the place of: they no longer reserve, on any of their licenses.",
        widget=AllotmentChoices(BillOfEntry._meta.get_field("allotments"), site),
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.linked = list(self.instance.allotments.select_related("company")) if self.instance.pk else []
        if "allotments" in self.fields:
            self.initial.setdefault("allotments", self.linked)
            widget = self.fields["allotments"].widget
            widget.known = {str(allotment.pk): described(allotment) for allotment in self.linked}

    def clean_allotments(self) -> QuerySet[Allotment]:
        chosen: QuerySet[Allotment] = self.cleaned_data["allotments"]
        for allotment in chosen:
            if allotment.type == AllotmentType.ARO and allotment not in self.linked:
                raise ValidationError(f"{allotment} is bought at home: an ARO never gets a bill of entry.")
        return chosen

    def _save_m2m(self) -> None:
        super()._save_m2m()  # type: ignore[misc]
        if "allotments" in self.cleaned_data:
            self.instance.allotments.set(self.cleaned_data["allotments"])


@admin.register(BillOfEntry, site=site)
class BillOfEntryAdmin(WarningAdmin):
    form = BillOfEntryForm
    inlines = (BillOfEntryLines,)
    list_display = ("number", "date", "port", "company")
    list_select_related = ("port", "company")
    ordering = ("-pk",)
    search_fields = ("number",)
    search_help_text = "The number of a bill, or of a license that it debits"
    autocomplete_fields = ("port", "company")
    readonly_fields = ("releases",)

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[BillOfEntry], search_term: str
    ) -> tuple[QuerySet[BillOfEntry], bool]:
        typed = "".join(search_term.split())
        if not typed:
            return queryset, False
        bare = BillOfEntry.objects.alias(bare=Func(F("number"), Value("0"), function="ltrim"))
        debiting = drawing_on(BillOfEntryLine, typed).values("bill_of_entry")
        found = bare.filter(bare=typed.upper().lstrip("0")).values("pk").union(debiting)
        return queryset.filter(pk__in=found), False

    def get_fields(self, request: HttpRequest, obj: BillOfEntry | None = None) -> Any:
        allotments = "releases" if obj and not self.has_change_permission(request, obj) else "allotments"
        return ("number", "date", "port", "company", "exchange_rate", allotments)

    def get_readonly_fields(self, request: HttpRequest, obj: BillOfEntry | None = None) -> tuple[str, ...]:
        """Number and date, by which customs' ledger finds the bill, stay."""
        is_of_ledger = obj is not None and obj.lines.filter(source=Source.ICEGATE).exists()
        return (*self.readonly_fields, *(("number", "date") if is_of_ledger else ()))

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        """What customs has debited stays when a line is deleted, and so when its bill is."""
        goes, counts, refused, keeps = super().get_deleted_objects(objs, request)
        of_ledger = BillOfEntryLine.objects.filter(bill_of_entry__in=objs, source=Source.ICEGATE)
        lines = listed(of_ledger, BillOfEntryLine, self.admin_site, kind="lines from customs' ledger")
        return goes, counts, refused, [*keeps, *lines]

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        allotment = to_convert(request)
        return {"company": allotment.company_id, "allotments": [allotment.pk]} if allotment else {}

    def get_formset_kwargs(self, request: HttpRequest, obj: Any, inline: Any, prefix: str) -> dict[str, Any]:
        kwargs = super().get_formset_kwargs(request, obj, inline, prefix)
        # what is posted is held against nothing: a line that stays as it was proposed is to be saved too
        return kwargs if request.method == "POST" or obj.pk else {**kwargs, "initial": converted_lines(request)}

    def get_view_on_site_url(self, obj: BillOfEntry | None = None) -> str | None:
        return reverse("bill_of_entry", args=[obj.pk]) if obj else None

    @admin.display(description="releases allotments")
    def releases(self, bill: BillOfEntry) -> str:
        return ", ".join(described(allotment) for allotment in bill.allotments.select_related("company")) or "–"


def to_convert(request: HttpRequest) -> Allotment | None:
    """The allotment that the page is asked to convert: one that reserves still, and may be converted."""
    asked = request.GET.get("allotment", "")
    if not (request.user.has_perm("ledger.view_allotment") and re.fullmatch(r"[0-9]{1,18}", asked, re.ASCII)):
        return None
    return Allotment.objects.filter(pk=asked, type=AllotmentType.ALLOTMENT, bills_of_entry=None, release=None).first()


def converted_lines(request: HttpRequest) -> list[Any]:
    """Its lines, as those of a bill of entry."""
    allotment = to_convert(request)
    lines = allotment.lines.select_related("import_item__license").order_by("pk") if allotment else []
    return [{name: getattr(line, name) for name in BillOfEntryLineForm.of_ledger} for line in lines]


class AllotmentLines(DocumentLines):
    model = AllotmentLine
    of_line = ("quantity", "cif_fc", "cif_inr")
    readonly_fields = ("item",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).select_related("allotment")  # a line is called by it

    def get_extra(self, request: HttpRequest, obj: Allotment | None = None, **kwargs: Any) -> int:
        return 0 if obj else 1


@admin.register(Allotment, site=site)
class AllotmentAdmin(WarningAdmin):
    inlines = (AllotmentLines,)
    fields = (
        "company", "type", "item_name", "required_quantity", "unit_price", "estimated_arrival_date", "last_day",
        "released",
    )  # fmt: skip
    readonly_fields = ("released",)
    list_display = ("__str__", "company", "item_name", "estimated_arrival_date")
    list_select_related = ("company",)
    list_filter = ("type",)
    ordering = ("-pk",)
    search_fields = ("pk",)
    search_help_text = "The number of an allotment, or of a license that it draws on"
    autocomplete_fields = ("company",)

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        """With a later last day, or none, it is taken up again."""
        super().save_model(request, obj, form, change)
        if "last_day" in form.changed_data and (obj.last_day is None or obj.last_day >= business_date()):
            for release in AllotmentRelease.objects.filter(allotment=obj):
                release.delete()

    def may_overdraw(self, request: HttpRequest) -> bool:
        return bool(request.user.has_perm("ledger.overdraw_allotment"))

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Allotment], search_term: str
    ) -> tuple[QuerySet[Allotment], bool]:
        typed = "".join(search_term.split())
        if not typed:
            return queryset, False
        found = drawing_on(AllotmentLine, typed).values("allotment")
        if re.fullmatch(r"[0-9]{1,18}", typed, re.ASCII):
            found = found.union(Allotment.objects.filter(pk=typed).values("pk"))
        return queryset.filter(pk__in=found), False

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> Any:
        return super().change_view(request, object_id, form_url, {
            **(extra_context or {}),
            "may_convert": request.user.has_perm("ledger.add_billofentry"),
        })  # fmt: skip

    def get_view_on_site_url(self, obj: Allotment | None = None) -> str | None:
        return reverse("allotment", args=[obj.pk]) if obj else None

    @admin.display(description="released by")
    def released(self, allotment: Allotment) -> str:
        bills = allotment.bills_of_entry.order_by("date", "number") if allotment.pk else []
        links = [(reverse("entry:ledger_billofentry_change", args=[bill.pk]), bill) for bill in bills]
        if links:
            return format_html_join(", ", '<a href="{}">{}</a>', links)
        given_up = AllotmentRelease.objects.filter(allotment=allotment.pk).first()
        return (
            f"given up {given_up.when_and_why()}: it reserves nothing" if given_up else "no bill of entry: it reserves"
        )
