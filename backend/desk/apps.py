from django.apps import AppConfig


class DeskConfig(AppConfig):
    """Pages for people: home, licenses, one license."""

    name = "desk"
