"""Nobody reads a page without having logged in."""

from collections.abc import Callable

from django.contrib.auth.middleware import LoginRequiredMiddleware
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django_htmx.http import HttpResponseClientRefresh


class LoginRequired(LoginRequiredMiddleware):
    """Leads to the login. A page that refreshes itself is loaded anew, which leads there as a whole: followed by htmx,
    the login would stand within the page."""

    def handle_no_permission(  # type: ignore[override]  # for htmx this is a redirect
        self, request: HttpRequest, view_func: Callable[..., HttpResponseBase]
    ) -> HttpResponse:
        if request.headers.get("HX-Request"):
            return HttpResponseClientRefresh()
        return super().handle_no_permission(request, view_func)
