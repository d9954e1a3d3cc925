"""A page of data entry that warns before an entry overdraws, and saves it all the same only when told to.

The entry is made as it stands, and the database asked what the rules then say of every license that its writes touch;
if that is worse than before, all is rolled back, down to the outbox, and the form shown again.
"""

import hashlib
from collections.abc import Callable
from typing import Any

from django.db.models import Model
from django.http import HttpRequest, QueryDict

from desk.entry.base import Context, EntryAdmin, refuse
from ledger.overdraw import Positions, newly_overdrawn, positions, touched_licenses
from license.models import License


class _Unknown(Exception):  # noqa: N818
    """Something is overdrawn, of licenses of which it is not known how they stood before."""

    def __init__(self, license_ids: set[int]) -> None:
        self.license_ids = license_ids


class _Overdraws(Exception):  # noqa: N818
    """The entry overdraws, and nobody has confirmed that."""

    def __init__(self, warnings: list[str]) -> None:
        self.warnings = warnings


class WarningAdmin(EntryAdmin):
    """Of what a balance depends on."""

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

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        super().save_related(request, form, formsets, change)
        self._check(request, created=None if change else form.instance)

    def delete_model(self, request: HttpRequest, obj: Model) -> None:
        super().delete_model(request, obj)
        self._check(request)

    def _warned(
        self, request: HttpRequest, view: Callable[[Context], Any], undo: Callable[[], None], context: Context
    ) -> Any:
        """The answer of the view; it starts again where how things stood before has to be looked up."""
        before: Positions = {}
        vars(request)["before"] = before
        while True:
            try:
                return view(context)
            except _Unknown as unknown:
                before |= positions(unknown.license_ids)
            except _Overdraws as found:
                undo()
                return view({
                    **(context or {}),
                    "overdraws": found.warnings,
                    "confirmation": _digest(found.warnings),
                    "errors": None,
                })  # fmt: skip

    def _check(self, request: HttpRequest, created: Model | None = None) -> None:
        before: Positions = vars(request)["before"]
        after = positions(touched_licenses())
        overdrawn = {
            license_id for license_id, of_it in after.items() if any(position.left < 0 for position in of_it.values())
        }
        if isinstance(created, License):
            before[created.pk] = {}
        if unknown := overdrawn - before.keys():
            raise _Unknown(unknown)
        warnings = newly_overdrawn(before, {license_id: after[license_id] for license_id in overdrawn})
        if warnings and request.POST.get("overdraw") != _digest(warnings):
            raise _Overdraws(warnings)


def _digest(warnings: list[str]) -> str:
    """What is confirmed is these numbers, not others that have come about since."""
    return hashlib.sha256("\n".join(warnings).encode()).hexdigest()
