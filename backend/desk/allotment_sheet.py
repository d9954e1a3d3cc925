"""What an allotment's sheet to print is made of: one snapshot of it."""

from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404
from django.utils import timezone

from desk.files import sent, snapshot
from desk.standing import standing
from desk.views import page
from ledger.models import Allotment


@page("ledger.view_allotment", "license.view_license")
def sheet(request: HttpRequest, pk: int) -> HttpResponseBase:
    """What the allotment reserves, of one snapshot."""
    from desk.allotment_pdf import as_pdf  # as in desk/files.py

    when = timezone.now()
    with snapshot():
        found = get_object_or_404(Allotment.objects.select_related("company", "release"), pk=pk)
        lines = list(
            found.lines.select_related("import_item__license__exporter", "import_item__license__port").select_related(
                "import_item__hs_code"
            )
            .order_by("import_item__license__license_number", "import_item__serial_number")
        )  # fmt: skip
        so_far, bills = standing(found), [str(bill) for bill in found.bills_of_entry.order_by("date", "number")]
        if not bills and hasattr(found, "release"):
            bills = [f"nobody: given up {found.release.when_and_why()}"]
    return sent(as_pdf(found, lines, so_far, bills, when, request.user.get_username()), str(found), "pdf")
