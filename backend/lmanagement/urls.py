"""Where the pages, the API and what monitoring asks are."""

from django.urls import include, path

from api import urls as api

urlpatterns = [
    path("api/v1/", (api.patterns, api.app_name, api.namespace)),
    path("", include("monitor.urls")),
    path("", include("desk.urls")),
]
