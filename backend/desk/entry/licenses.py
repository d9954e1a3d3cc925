"""Licenses, with their export and import items."""

from typing import Any

from django.contrib import admin
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.http import HttpRequest
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.html import format_html

from desk.entry.base import Context, EntryForm, Lines, Rows
from desk.entry.overdraw import WarningAdmin
from desk.entry.pick import by_license_number
from desk.entry.site import site
from ledger.icegate import cells
from ledger.models import AllotmentLine, BillOfEntryLine, ImportItemBalance
from license import sheet_cells
from license.formats import as_license_number, indian, quantity
from license.models import ExportItem, ImportItem, License


class LicenseForm(EntryForm):
    readers = {
        "license_number": cells.license_number,
        "registration_number": cells.registration_number,
        "notification_number": cells.notification_number,
        "scheme_code": cells.scheme_code,
        "currency": cells.currency,
    }

    def clean(self) -> dict[str, Any] | None:
        cleaned = super().clean()
        issued, expires = (self.cleaned_data.get(name) for name in ("license_date", "license_expiry_date"))
        if issued and expires and expires < issued:
            self.add_error("license_expiry_date", ValidationError("It cannot expire before its license date."))
        if "license_expiry_date" in self.changed_data:
            self.instance.is_expiry_presumed = False
        return cleaned


class ExportItemForm(EntryForm):
    of_ledger = ("net_quantity", "cif_fc", "cif_inr")


class ItemLines(Lines):
    """Of a license; a new one has a row of each to begin with."""

    def get_extra(self, request: HttpRequest, obj: License | None = None, **kwargs: Any) -> int:
        return 0 if obj else 1


class ExportItems(ItemLines):
    model = ExportItem
    form = ExportItemForm
    fields = ("norm", "description", "net_quantity", "fob_inr", "cif_fc", "cif_inr", "origin")
    readonly_fields = ("origin",)
    autocomplete_fields = ("norm",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[ExportItem]:
        return super().get_queryset(request).select_related("norm").order_by("pk")

    @admin.display(description="from")
    def origin(self, item: ExportItem) -> str:
        return item.get_source_display()


class ImportItemForm(EntryForm):
    readers = {"unit": sheet_cells.unit}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """What a new item has been proposed as its number is posted too: that alone is no item."""
        super().__init__(*args, **kwargs)
        self.fields["serial_number"].show_hidden_initial = self.instance.pk is None


class ImportItemRows(Rows):
    """An item that something draws on stays: its lines would go with it, and nobody would be shown which."""

    def clean(self) -> None:
        super().clean()
        deleted = [form.instance.pk for form in self.deleted_forms]
        for lines, document in ((BillOfEntryLine, "bill_of_entry"), (AllotmentLine, "allotment")):
            drawn = lines._default_manager.filter(import_item__in=deleted).select_related(document, "import_item")
            if line := drawn.order_by("pk").first():
                raise ValidationError(
                    f"Item {line.import_item.serial_number} stays: {getattr(line, document)} draws on it. "
                    "Delete the lines that draw on it first."
                )


class ImportItems(ItemLines):
    model = ImportItem
    form = ImportItemForm
    instead_of_deletion = "Only an administrator may delete an item: set its quantity to 0 instead."
    formset = ImportItemRows
    fields = (
        "serial_number", "description", "hs_code", "quantity", "unit", "cif_fc", "cif_inr", "restriction_percentage",
        "item_names", "available",
    )  # fmt: skip
    readonly_fields = ("available",)
    autocomplete_fields = ("hs_code", "item_names")

    class Media:
        js = ("desk/entry.js",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[ImportItem]:
        items = super().get_queryset(request).select_related("hs_code").prefetch_related("item_names")
        return items.order_by("serial_number")

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        if db_field.name == "serial_number":
            kwargs["min_value"] = 1
        return super().formfield_for_dbfield(db_field, request, **kwargs)

    @admin.display(description="available")
    def available(self, item: ImportItem) -> str:
        """As stored; read for the whole license at once."""
        if item.pk is None:
            return "–"
        if not hasattr(self, "_balances"):
            of_license = ImportItemBalance.objects.filter(license=item.license_id)
            self._balances = {balance.import_item_id: balance for balance in of_license}
        balance = self._balances.get(item.pk)
        if balance is None:
            return "no balance yet"
        return f"{quantity(balance.available_quantity)}, value {indian(balance.available_value)}"


@admin.register(License, site=site)
class LicenseAdmin(WarningAdmin):
    form = LicenseForm
    inlines = (ExportItems, ImportItems)
    list_display = ("license_number", "exporter", "license_date", "license_expiry_date", "purchase_status")
    list_select_related = ("exporter",)
    list_filter = ("purchase_status",)
    ordering = ("-pk",)
    search_fields = ("license_number",)
    search_help_text = "The beginning of a license number"
    autocomplete_fields = ("exporter", "port")
    readonly_fields = ("stored", "from_ledger", "presumed")

    def changelist_view(self, request: HttpRequest, extra_context: Context = None) -> Any:
        """Who looks for a whole number and nothing else is led to its license."""
        if request.GET.keys() == {"q"} and self.has_view_permission(request):
            wanted = License.objects.filter(license_number=as_license_number(request.GET["q"])).first()
            if wanted:
                return redirect("entry:license_license_change", wanted.pk)
        return super().changelist_view(request, extra_context)

    def get_formset_kwargs(self, request: HttpRequest, obj: Any, inline: Any, prefix: str) -> dict[str, Any]:
        kwargs = super().get_formset_kwargs(request, obj, inline, prefix)
        return {**kwargs, "initial": [{"serial_number": 1}]} if isinstance(inline, ImportItems) else kwargs

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[License], search_term: str
    ) -> tuple[QuerySet[License], bool]:
        typed = search_term.strip()
        return (queryset.filter(by_license_number(typed)) if typed else queryset), False

    def get_readonly_fields(self, request: HttpRequest, obj: License | None = None) -> tuple[str, ...]:
        """The number by which customs' ledger finds the license stays."""
        return (*self.readonly_fields, *(("license_number",) if obj and obj.ledger_as_of else ()))

    def get_fieldsets(self, request: HttpRequest, obj: License | None = None) -> Any:
        license = [
            "license_number", "license_date", "license_expiry_date", "scheme_code", "notification_number", "currency",
            "purchase_status", "exporter", "port", "file_number", "registration_number", "registration_date",
        ]  # fmt: skip
        if obj and obj.is_expiry_presumed:
            license.insert(3, "presumed")
        known = (
            [("What we know of it", {"fields": ["stored", *(["from_ledger"] if obj.ledger_as_of else [])]})]
            if obj
            else []
        )
        return [*known, (None, {"fields": license})]

    def get_view_on_site_url(self, obj: License | None = None) -> str | None:
        return reverse("license", args=[obj.license_number]) if obj else None

    @admin.display(description="balance")
    def stored(self, license: License) -> str:
        balance = getattr(license, "balance", None)
        if balance is None:
            return "none yet"
        return format_html(
            '<a href="{}">{} {}</a>: credit {}, debited {}, allotted {}{}',
            reverse("license", args=[license.license_number]), license.currency, indian(balance.balance_cif),
            indian(balance.credit_cif), indian(balance.debited_cif), indian(balance.allotted_cif),
            f", overdrawn by {indian(balance.overdrawn_cif)}" if balance.overdrawn_cif else "",
        )  # fmt: skip

    @admin.display(description="customs' ledger")
    def from_ledger(self, license: License) -> str:
        return (
            "Loaded. A newer one writes exporter, dates, registration, notification, scheme, currency, port, and "
            "quantity and CIF of the items anew; norms, descriptions, names and percentages are yours."
        )

    @admin.display(description="expiry")
    def presumed(self, license: License) -> str:
        return "Presumed, twelve months after the license date: check it, and type the one that is printed."
