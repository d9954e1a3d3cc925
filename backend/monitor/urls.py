"""Where monitoring asks. None of it leads to the login: it decides by itself who may read."""

from django.urls import path

from monitor import views

app_name = "monitor"
urlpatterns = [
    path("metrics", views.metrics, name="metrics"),
    path("health/live", views.live, name="live"),
    path("health/ready", views.ready, name="ready"),
]
