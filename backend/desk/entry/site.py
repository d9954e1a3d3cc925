"""The site of data entry: who may enter it, and in which order it lists what can be entered."""

from collections.abc import Callable
from functools import update_wrapper
from typing import Any, TypeVar, cast

from django.contrib import admin
from django.core.exceptions import BadRequest, PermissionDenied
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.urls import URLPattern, URLResolver, path

from desk.entry import pick

SECTIONS = {
    "Licenses and what is drawn on them": ("License", "BillOfEntry", "Allotment"),
    "Lists": ("ItemName", "SionNorm", "HSCode", "Company", "Port"),
    "People": ("User", "Group"),
    "Programs": ("Token", "Webhook"),
}
LEFT_OUT = ("login", "logout", "view_on_site")
"""The pages have a login, a logout and addresses of their own."""

View = TypeVar("View", bound=Callable[..., HttpResponseBase])


class EntrySite(admin.AdminSite):
    """Open to everybody with a permission on something that is registered: what else one may do is asked there."""

    site_title = site_header = "Data entry"
    index_title = "Data entry"
    enable_nav_sidebar = False

    def has_permission(self, request: HttpRequest) -> bool:
        return any(any(entered.get_model_perms(request).values()) for entered in self._registry.values())

    def admin_view(self, view: View, cacheable: bool = False) -> View:
        """Refuses (403) whom Django's would lead to the login: nobody comes this far without having logged in. And an
        address (400) that would break each list and choice."""
        checked = super().admin_view(view, cacheable)

        def refuse_or_show(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
            if not self.has_permission(request):
                raise PermissionDenied
            if "%00" in request.META["QUERY_STRING"]:  # PostgreSQL has no text with it, and Django asks for it
                raise BadRequest("An address with a NUL character.")
            return checked(request, *args, **kwargs)

        return cast("View", update_wrapper(refuse_or_show, checked))

    def get_urls(self) -> list[URLPattern | URLResolver]:
        return [
            path("pick/item/", self.admin_view(pick.items), name="pick_item"),
            path("pick/allotment/", self.admin_view(pick.allotments), name="pick_allotment"),
            *(url for url in super().get_urls() if getattr(url, "name", None) not in LEFT_OUT),
        ]

    def get_app_list(self, request: HttpRequest, app_label: str | None = None) -> list[Any]:
        """By what they are for, not by the app that they are in."""
        entered = {model["object_name"]: model for app in super().get_app_list(request) for model in app["models"]}
        return [
            {"name": section, "app_label": section, "app_url": "", "has_module_perms": True, "models": models}
            for section, names in SECTIONS.items()
            if (models := [entered[name] for name in names if name in entered])
        ]


site = EntrySite(name="entry")
site.empty_value_display = "–"
# Bills, licenses and people are deleted one by one, each with what hangs on it shown.
site.disable_action("delete_selected")
