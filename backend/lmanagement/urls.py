"""Where the pages and the API are."""

from django.urls import include, path

from api import urls as api

urlpatterns = [
    path("api/v1/", (api.patterns, api.app_name, api.namespace)),
    path("", include("desk.urls")),
]
