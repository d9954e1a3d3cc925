"""An allotment is given up, or taken up again: one page, which offers what the allotment is not yet."""

from django.contrib.auth.decorators import permission_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_http_methods

from desk.documents import amounts
from ledger import allotting
from ledger.models import Allotment
from ledger.overdraw import OverdrawsError


@require_http_methods(["GET", "HEAD", "POST"])
@permission_required(("ledger.view_allotment", "ledger.add_allotmentrelease"), raise_exception=True)
def give_up(request: HttpRequest, pk: int) -> HttpResponse:
    """Asks first; a POST does it. What overdraws is taken up again only by who may, and confirms the numbers."""
    allotment = get_object_or_404(Allotment.objects.select_related("company", "release"), pk=pk)
    is_released = allotment.bills_of_entry.exists()
    is_given_up = hasattr(allotment, "release")
    shown: dict[str, object] = {}
    if request.method == "POST" and not is_released:
        try:
            if request.POST.get("do") == "give up":
                allotting.give_up(allotment, by=request.user)
            elif request.POST.get("do") == "take up":
                confirmation = request.POST.get("overdraw", "")
                allotting.take_up_again(allotment, by=request.user, confirmation=confirmation)
            return redirect("allotment", pk)
        except OverdrawsError as overdraws:
            shown = {
                "overdraws": overdraws.sentences,
                "confirmation": overdraws.confirmation(),
                "may_overdraw": request.user.has_perm(allotting.OVERDRAW),
            }
    shown |= {
        "allotment": allotment,
        "is_released": is_released,
        "is_given_up": is_given_up,
        "amounts": amounts(allotment.lines.all()).get((), []),
    }
    return render(request, "desk/give_up.html", shown)
