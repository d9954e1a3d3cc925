"""What licenses and documents refer to: companies, ports, HS codes, norms, and item names with their match rules."""

from django.contrib import admin
from django.core.exceptions import ValidationError

from desk.entry.base import EntryAdmin, EntryForm, Lines
from desk.entry.site import site
from ledger.icegate import cells
from license import sheet_cells
from license.models import Company, HSCode, ItemName, MatchRule, Port, SionNorm


class CompanyForm(EntryForm):
    readers = {"iec": cells.iec}


@admin.register(Company, site=site)
class CompanyAdmin(EntryAdmin):
    form = CompanyForm
    list_display = ("iec", "name")
    search_fields = ("iec__startswith", "name")
    ordering = ("name", "iec")


class PortForm(EntryForm):
    readers = {"code": cells.port_code}


@admin.register(Port, site=site)
class PortAdmin(EntryAdmin):
    form = PortForm
    search_fields = ("code",)
    ordering = ("code",)


class HSCodeForm(EntryForm):
    readers = {"code": sheet_cells.hs_code}


@admin.register(HSCode, site=site)
class HSCodeAdmin(EntryAdmin):
    form = HSCodeForm
    search_fields = ("code__startswith",)
    ordering = ("code",)


class SionNormForm(EntryForm):
    readers = {"code": sheet_cells.norm}


@admin.register(SionNorm, site=site)
class SionNormAdmin(EntryAdmin):
    form = SionNormForm
    search_fields = ("code__istartswith",)
    ordering = ("code",)


class MatchRuleForm(EntryForm):
    readers = {"words": sheet_cells.words, "hs_prefix": sheet_cells.hs_prefix}


class MatchRules(Lines):
    model = MatchRule
    form = MatchRuleForm
    instead_of_deletion = "Only an administrator may delete a rule."


class ItemNameForm(EntryForm):
    readers = {"name": sheet_cells.item_name}

    def clean_name(self) -> str:
        name: str = self.cleaned_data["name"]
        if ItemName.objects.filter(name__iexact=name).exclude(pk=self.instance.pk).exists():
            raise ValidationError("There is an item name that differs in its capitals alone; to people it is the same.")
        return name


@admin.register(ItemName, site=site)
class ItemNameAdmin(EntryAdmin):
    form = ItemNameForm
    inlines = (MatchRules,)
    list_display = ("name", "sion_norm", "restriction_percentage")
    list_select_related = ("sion_norm",)
    search_fields = ("name",)
    search_help_text = "A part of a name"
    ordering = ("name",)
    autocomplete_fields = ("sion_norm",)
