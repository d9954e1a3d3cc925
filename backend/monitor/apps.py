from django.apps import AppConfig


class MonitorConfig(AppConfig):
    """What monitoring asks: is it up, and how is it doing."""

    name = "monitor"
