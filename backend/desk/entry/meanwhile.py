"""Of two who change the same thing, the second is told: what the first has entered is not written over.

A form carries a digest of what the database held, when it was opened, of all that it shows. Whoever saves takes a lock
on the row and its lines first, then makes the digest anew of what is there now. So it does not matter who has changed
something, and how: people, a ledger, a sheet, plain SQL; and of two who save at the same instant one waits and is told.
"""

import hashlib
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.models import LogEntry
from django.contrib.contenttypes.models import ContentType
from django.core.exceptions import NON_FIELD_ERRORS, ValidationError
from django.db import connection
from django.db.models import Model, QuerySet
from django.forms.models import model_to_dict
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.formats import localize
from django.utils.html import format_html
from django.utils.timezone import localtime

if TYPE_CHECKING:  # Django's own classes take no parameters
    ModelForm = forms.ModelForm[Any]
    InlineFormSet = forms.BaseInlineFormSet[Any, Any, Any]
    _Admin = admin.ModelAdmin[Any]
else:
    ModelForm, InlineFormSet, _Admin = forms.ModelForm, forms.BaseInlineFormSet, object

Row = TypeVar("Row", bound=Model)


class Guarded(_Admin):
    """A page that is not saved over what has been saved since it was opened."""

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return _held(request, super().get_queryset(request))

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        form = super().get_form(request, obj, change=change, **kwargs)
        return type(form.__name__, (_OfRequest, form), {"request": request})

    def get_formset_kwargs(self, request: HttpRequest, obj: Any, inline: Any, prefix: str) -> dict[str, Any]:
        kwargs = super().get_formset_kwargs(request, obj, inline, prefix)
        return {**kwargs, "queryset": _held(request, kwargs["queryset"])}

    def render_change_form(self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        form = context["adminform"].form
        if form.instance.pk:
            context["opened_with"] = form.data.get("opened_with") if form.is_bound else form.stored()
        if form.has_error(NON_FIELD_ERRORS, "refused"):  # there is nothing to correct
            context |= {"errors": None, "refused": form.non_field_errors()}
        return super().render_change_form(request, context, *args, **kwargs)

    def _get_obj_does_not_exist_redirect(self, request: HttpRequest, opts: Any, object_id: str) -> HttpResponse:
        """Django names what is gone by an id that nobody knows."""
        last = _last_saved(self.model, object_id)
        deleted = f"{last.object_repr} was deleted by {_by(last)}." if last and last.is_deletion() else "There is none."
        nothing = "Nothing is saved. " if request.method == "POST" else ""
        self.message_user(request, nothing + deleted, messages.WARNING)
        return redirect(f"{self.admin_site.name}:{opts.app_label}_{opts.model_name}_changelist")


def _held(request: HttpRequest, rows: "QuerySet[Row]") -> "QuerySet[Row]":
    """These rows; if the request is to save, as others have left them, and nobody else's until that is done."""
    saves = request.method == "POST" and connection.in_atomic_block
    return rows.select_for_update(of=("self",), no_key=True) if saves else rows


def refuse(request: HttpRequest, why: str) -> None:
    """What this request enters is not saved, whatever its form says."""
    vars(request)["refused"] = why


class _OfRequest(ModelForm):
    """The form of such a page; its lines are known to it by the row that both are of."""

    request: HttpRequest

    def clean(self) -> Any:
        cleaned = super().clean()
        if why := vars(self.request).get("refused"):
            raise ValidationError(why, "refused")
        if self.instance.pk and self.data.get("opened_with") != self.stored() and self._changes():
            raise ValidationError(_told(self.instance, self.request.path), "refused")
        return cleaned

    def stored(self) -> str:
        """A digest of what the database holds of what the page shows."""
        shown: list[Any] = [_plain(self.initial, self.fields)]
        for rows in self._lines():
            fields = rows.form.base_fields
            stored = {row.pk: _plain(model_to_dict(row, fields), fields) for row in rows.stored()}
            shown.append(sorted(stored.items()))
        return hashlib.sha256(repr(shown).encode()).hexdigest()

    def _changes(self) -> bool:
        return self.has_changed() or any(rows.has_changed() for rows in self._lines())

    def _lines(self) -> list["GuardedRows"]:
        shown: list[GuardedRows] = self.instance.__dict__.get("lines_shown", [])
        return shown


def _plain(values: Mapping[str, Any], fields: Iterable[str]) -> list[Any]:
    found = (values.get(name) for name in fields)
    return [sorted(row.pk for row in value) if isinstance(value, list) else value for value in found]


def _last_saved(model: type[Model], pk: object) -> LogEntry | None:
    saves = LogEntry.objects.filter(content_type=ContentType.objects.get_for_model(model), object_id=f"{pk}")
    return saves.select_related("user").order_by("-action_time").first()


def _by(entry: LogEntry) -> str:
    return f"{entry.user} on {localize(localtime(entry.action_time))}"


def _told(row: Model, address: str) -> str:
    last = _last_saved(type(row), row.pk)
    return format_html(
        "Nothing is saved: this has changed since you opened it. Last saved here by {}; ledgers, sheets and programs "
        'change it too. <a href="{}" target="_blank">Open it anew</a> in another window, and enter there what is still '
        "wanted: what you typed stands here as it was.",
        _by(last) if last else "nobody yet",
        address,
    )


class GuardedRows(InlineFormSet):
    """The lines of such a page."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.instance.__dict__.setdefault("lines_shown", []).append(self)

    def stored(self) -> Any:
        return super().get_queryset()

    def get_queryset(self) -> Any:
        """Once posted, the row of each form. Django pairs forms and rows by their place: after somebody has deleted a
        row it would lose the last form."""
        posted = self.is_bound and "forms" in vars(self)
        return [form.instance for form in self.initial_forms] if posted else self.stored()
