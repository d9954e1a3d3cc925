"""Nobody reads a page without having logged in."""

from collections.abc import Callable
from ipaddress import ip_address

from django.conf import settings
from django.contrib.auth.middleware import LoginRequiredMiddleware
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django_htmx.http import HttpResponseClientRefresh


class LoginRequired(LoginRequiredMiddleware):
    """Leads to the login. A page that refreshes itself is loaded anew, which leads there as a whole: followed by htmx,
    the login would stand within the page."""

    def get_login_url(self, view_func: Callable[..., HttpResponseBase]) -> str:  # noqa: ARG002
        """There is one; Django's admin would have another."""
        return settings.LOGIN_URL

    def handle_no_permission(  # type: ignore[override]  # for htmx this is a redirect
        self, request: HttpRequest, view_func: Callable[..., HttpResponseBase]
    ) -> HttpResponse:
        if request.headers.get("HX-Request"):
            return HttpResponseClientRefresh()
        return super().handle_no_permission(request, view_func)


def client_address(request: HttpRequest) -> str:
    """Whose wrong passwords these are. Who connects is believed, and nobody else: but for the one proxy that
    TRUSTED_PROXY names, which puts last into X-Forwarded-For who has connected to it."""
    connected = str(request.META.get("REMOTE_ADDR", ""))
    if connected and connected == settings.TRUSTED_PROXY:
        try:
            return str(ip_address(request.headers.get("X-Forwarded-For", "").rpartition(",")[2].strip()))
        except ValueError:  # it says nothing, or not an address
            pass
    return connected
