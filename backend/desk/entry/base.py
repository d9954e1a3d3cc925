"""What the forms of data entry share: how numbers, dates and codes are read, how a choice is labelled without a query
of its own, and lists that never count everything."""

import logging
import re
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING, Any, ClassVar

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.options import BaseModelAdmin
from django.contrib.admin.widgets import (
    AdminDateWidget,
    AutocompleteSelect,
    AutocompleteSelectMultiple,
    RelatedFieldWidgetWrapper,
)
from django.core.exceptions import ValidationError
from django.core.paginator import Paginator
from django.db import IntegrityError, models
from django.http import HttpRequest
from django.shortcuts import redirect
from django.utils.functional import cached_property

from desk.entry import wording
from desk.entry.deletion import dependents
from desk.entry.meanwhile import Guarded, GuardedRows, refuse
from ledger.icegate import cells
from license import formats
from license.models import Source
from license.sheet_cells import CellError

if TYPE_CHECKING:  # Django's own classes take no parameters
    ModelAdmin = admin.ModelAdmin[Any]
    TabularInline = admin.TabularInline[Any, Any]
    ModelForm = forms.ModelForm[Any]
    EveryPaginator = Paginator[Any]
    _Base = BaseModelAdmin[Any]
else:
    ModelAdmin, TabularInline, ModelForm = admin.ModelAdmin, admin.TabularInline, forms.ModelForm
    EveryPaginator, _Base = Paginator, object

logger = logging.getLogger(__name__)

Context = dict[str, Any] | None

EARLIEST_YEAR, LATEST_YEAR = 1990, 2099
"""Of a date in this trade; as of one in a ledger."""
PERCENT = {"max_value": 100}


class Amount(forms.DecimalField):
    """A number as people of this trade write it, 1,11,302.61 too, and not below 0."""

    def __init__(self, **options: Any) -> None:
        options["widget"] = forms.TextInput(attrs={"inputmode": "decimal", "autocomplete": "off", "class": "amount"})
        super().__init__(**{"min_value": 0, **options})

    def to_python(self, value: Any) -> Decimal | None:  # type: ignore[override]  # the stubs derive it from integers
        if isinstance(value, str) and value.strip():
            try:
                value = cells.signed_amount(cells.clean(value))
            except cells.CellError as error:
                raise ValidationError(f"“{value}” {error}.") from None
        return super().to_python(value)

    def prepare_value(self, value: Any) -> Any:
        """What is stored, as it is shown elsewhere; what was typed stays as it was typed."""
        return formats.shown(value, self.decimal_places or 0) if isinstance(value, Decimal) else value


class Day(forms.DateField):
    """A date, the day first."""

    default_error_messages = {"invalid": "This is not a date; write it as DD/MM/YYYY."}

    def validate(self, value: date | None) -> None:
        super().validate(value)
        if value and not EARLIEST_YEAR <= value.year <= LATEST_YEAR:
            raise ValidationError(f"The year is {value.year}; correct it.")


class EntryForm(ModelForm):
    """A form whose codes are read as those of ledgers and sheets are, with what these say of a bad one; and whose rows
    from customs' ledger cannot be changed where the ledger would write them anew."""

    readers: ClassVar[dict[str, Callable[[str], object]]] = {}
    """By field: what its text means. What nobody has changed is not read again."""
    of_ledger: ClassVar[tuple[str, ...]] = ()
    """The fields that a row from customs' ledger has from there."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if getattr(self.instance, "source", None) == Source.ICEGATE:
            for name in self.fields.keys() & set(self.of_ledger):
                self.fields[name].disabled = True
        for name, field in self.fields.items():
            field.label = formats.label(field.label)
            wording.speak_plainly(field)
            widget = getattr(field.widget, "widget", field.widget)
            if isinstance(widget, _Labelled):
                widget.known = self._known(name)

    def _known(self, name: str) -> dict[str, str]:
        """What the row has been read with, or is proposed with."""
        of_model = self._meta.model._meta.get_field(name)
        if isinstance(self.initial.get(name), models.Model):
            rows = [self.initial[name]]
        elif isinstance(of_model, models.ForeignKey):
            rows = [getattr(self.instance, name)] if of_model.is_cached(self.instance) else []
        else:
            rows = getattr(self.instance, "_prefetched_objects_cache", {}).get(name, [])
        label: Callable[[Any], str] = self.fields[name].label_from_instance  # type: ignore[attr-defined]
        return {str(row.pk): label(row) for row in rows if row}

    def clean(self) -> dict[str, Any] | None:
        cleaned = super().clean()
        for name, read in self.readers.items():
            typed = self.cleaned_data.get(name)
            if typed and name in self.changed_data:
                try:
                    self.cleaned_data[name] = read(cells.clean(typed))
                except (cells.CellError, CellError) as error:
                    self.add_error(name, f"“{typed}” {error}.")
        return cleaned


class _Labelled:
    """A choice by typing that labels what is chosen by what its row has been read with, if it can."""

    known: dict[str, str]

    def optgroups(self, name: str, value: Any, attr: Any = None) -> Any:
        """Of what was posted only what can be the id of a row: Django's asks the database for anything."""
        chosen = [str(each) for each in value if re.fullmatch(r"[0-9]{1,18}", str(each), re.ASCII)]
        if not self.known.keys() >= set(chosen):
            return super().optgroups(name, chosen, attr)  # type: ignore[misc]
        empty = [] if self.is_required or self.allow_multiple_selected else [("", "")]  # type: ignore[attr-defined]
        options = [*empty, *((each, self.known[each]) for each in chosen)]
        return [(None, [
            self.create_option(name, key, label, key in chosen, index)  # type: ignore[attr-defined]
            for index, (key, label) in enumerate(options)
        ], 0)]  # fmt: skip


class Choice(_Labelled, AutocompleteSelect):
    """One, by typing."""


class Choices(_Labelled, AutocompleteSelectMultiple):
    """Several, by typing."""


class Bounded(EveryPaginator):
    """Counts no further than to MOST: who wants what comes later looks for it."""

    MOST = 1000

    @cached_property
    def count(self) -> int:
        found = self.object_list[: self.MOST]
        return found.count() if isinstance(found, models.QuerySet) else len(found)


class _Fields(_Base):
    """How the fields of a model are typed."""

    formfield_overrides = {
        models.DecimalField: {"form_class": Amount},
        models.DateField: {"form_class": Day, "widget": AdminDateWidget(attrs={"placeholder": "DD/MM/YYYY"})},
        models.TextField: {"widget": forms.Textarea(attrs={"rows": 1})},
    }

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        if db_field.name == "restriction_percentage":
            kwargs |= PERCENT
        field = super().formfield_for_dbfield(db_field, request, **kwargs)
        if field and isinstance(field.widget, RelatedFieldWidgetWrapper):  # what is missing may be added on the way
            field.widget.can_change_related = field.widget.can_delete_related = field.widget.can_view_related = False
        return field

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        if db_field.name in self.get_autocomplete_fields(request):
            kwargs.setdefault("widget", Choice(db_field, self.admin_site))
        return super().formfield_for_foreignkey(db_field, request, **kwargs)

    def formfield_for_manytomany(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        if db_field.name in self.get_autocomplete_fields(request):
            kwargs.setdefault("widget", Choices(db_field, self.admin_site))
        return super().formfield_for_manytomany(db_field, request, **kwargs)


class Exactly(_Base):
    """A list whose address may filter it by what is exactly so. Django allows every lookup, and PostgreSQL fails at a
    pattern that is none."""

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest) -> bool:
        return lookup.endswith("__exact") and super().lookup_allowed(lookup, value, request)


class EntryAdmin(Guarded, Exactly, _Fields, ModelAdmin):
    """A page of data entry."""

    form = EntryForm
    paginator = Bounded
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    list_per_page = 50
    change_list_template = "desk/entry/change_list.html"
    change_form_template = "desk/entry/change_form.html"
    delete_confirmation_template = "desk/entry/delete_confirmation.html"

    def changeform_view(
        self, request: HttpRequest, object_id: str | None = None, form_url: str = "", extra_context: Context = None
    ) -> Any:
        """What the forms let pass and the database refuses is said in the form too."""
        try:
            return super().changeform_view(request, object_id, form_url, extra_context)
        except IntegrityError as error:
            logger.warning("an entry was refused: %s", error)
            refuse(request, COLLIDES)
            return super().changeform_view(request, object_id, form_url, extra_context)

    def delete_view(self, request: HttpRequest, object_id: str, extra_context: Context = None) -> Any:
        """Of what has come to be used since its page was looked at, that page says by what."""
        try:
            return super().delete_view(request, object_id, extra_context)
        except IntegrityError:
            self.message_user(request, "Nothing is deleted: it is in use by now.", messages.ERROR)
            return redirect(request.path)

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        goes, keeps = dependents(objs[0], self.admin_site)
        return goes, {}, set(), keeps


COLLIDES = (
    "Nothing is saved: somebody has entered the same meanwhile, or deleted what this refers to; or two rows exchange "
    "what only one of them may have, which takes two steps. Open the page anew and look."
)


class Rows(GuardedRows):
    """What came from customs' ledger is not deleted."""

    def get_unique_error_message(self, unique_check: Any) -> str:
        fields = (field for field in self.fk.model._meta.fields if field.name in {*unique_check} - {self.fk.name})
        return formats.label(f"Two rows have the same {' and '.join(str(field.verbose_name) for field in fields)}.")

    def get_form_error(self) -> str:
        return "Another row says this already."

    def clean(self) -> None:
        super().clean()
        if any(getattr(form.instance, "source", None) == Source.ICEGATE for form in self.deleted_forms):
            raise ValidationError("A line from customs' ledger stays: what customs says counts.")


class Lines(_Fields, TabularInline):
    """Rows of a page, each a line of a table."""

    form = EntryForm
    formset = Rows
    template = "desk/entry/lines.html"
    extra = 0
    instead_of_deletion = "Only an administrator may delete a row: set its quantity and amounts to 0 instead."
