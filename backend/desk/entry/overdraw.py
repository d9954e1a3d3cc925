"""A page of data entry that warns before an entry overdraws, and saves it all the same only when told to.

The entry is made as it stands, and the database asked what the rules then say of every license that its writes touch;
if that is worse than before, all is rolled back, down to the outbox, and the form shown again.
"""

from collections.abc import Callable
from typing import Any

from django.db.models import Model
from django.http import HttpRequest, QueryDict

from desk.entry.base import Context, EntryAdmin
from desk.entry.meanwhile import refuse
from ledger.overdraw import OverdrawsError, after, before, confirm, newly_overdrawn
from license.models import License


class _Unknown(Exception):  # noqa: N818
    """Something is overdrawn, of licenses of which it is not known how they stood before."""

    def __init__(self, license_ids: set[int]) -> None:
        self.license_ids = license_ids


class WarningAdmin(EntryAdmin):
    """Of what a balance depends on."""

    def may_overdraw(self, request: HttpRequest) -> bool:
        """Whether this person may confirm what overdraws. What has happened, anybody must be able to enter."""
        return True

    def changeform_view(
        self, request: HttpRequest, object_id: str | None = None, form_url: str = "", extra_context: Context = None
    ) -> Any:
        def save(context: Context) -> Any:
            return super(WarningAdmin, self).changeform_view(request, object_id, form_url, context)

        return self._warned(request, save, lambda: refuse(request, "Not confirmed."), extra_context)

    def delete_view(self, request: HttpRequest, object_id: str, extra_context: Context = None) -> Any:
        def delete(context: Context) -> Any:
            return super(WarningAdmin, self).delete_view(request, object_id, context)

        def forget() -> None:
            request.POST = QueryDict()

        return self._warned(request, delete, forget, extra_context)

    def save_model(self, request: HttpRequest, obj: Model, form: Any, change: bool) -> None:
        self._look(request)
        super().save_model(request, obj, form, change)

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        super().save_related(request, form, formsets, change)
        self._check(request, form.instance, _name(form.instance), is_new=not change)

    def delete_model(self, request: HttpRequest, obj: Model) -> None:
        self._look(request)
        entry = f"{_name(obj)}, deleted"
        super().delete_model(request, obj)
        self._check(request, obj, entry)

    def _warned(
        self, request: HttpRequest, view: Callable[[Context], Any], undo: Callable[[], None], context: Context
    ) -> Any:
        """The answer of the view; it starts again where how things stood before has to be looked up."""
        asked_of: set[int] = set()
        vars(request)["asked_of"] = asked_of
        while True:
            try:
                return view(context)
            except _Unknown as unknown:
                asked_of |= unknown.license_ids
            except OverdrawsError as overdraws:
                undo()
                return view({
                    **(context or {}),
                    "overdraws": overdraws.sentences,
                    "may_overdraw": self.may_overdraw(request),
                    "confirmation": overdraws.confirmation(),
                    "errors": None,
                })  # fmt: skip

    def _look(self, request: HttpRequest) -> None:
        """Right before the first write, when the row that is changed is locked: all entries lock in this order."""
        asked_of = vars(request)["asked_of"]
        vars(request)["before"] = before(asked_of) if asked_of else {}

    def _check(self, request: HttpRequest, obj: Model, entry: str, *, is_new: bool = False) -> None:
        known, found = vars(request)["before"], after()
        overdrawn = {
            license_id for license_id, of_it in found.items() if any(position.left < 0 for position in of_it.values())
        }
        if overdrawn - known.keys() - ({obj.pk} if is_new and isinstance(obj, License) else set()):
            raise _Unknown(set(found))
        confirm(
            newly_overdrawn(known, {license_id: found[license_id] for license_id in overdrawn}),
            entry=entry,
            by=request.user.get_username(),
            confirmation=request.POST.get("overdraw", "") if self.may_overdraw(request) else "",
        )


def _name(obj: Model) -> str:
    return f"License {obj}" if isinstance(obj, License) else str(obj)
