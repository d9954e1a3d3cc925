from django.apps import AppConfig


class ApiConfig(AppConfig):
    """What programs ask: the same balances, lists and actions as the pages."""

    name = "api"
    verbose_name = "API"
