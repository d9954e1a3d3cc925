from django.apps import AppConfig
from django.conf import settings


class MonitorConfig(AppConfig):
    """What monitoring asks: is it up, and how is it doing."""

    name = "monitor"

    def ready(self) -> None:
        if settings.LOG_FORMAT == "json":
            from monitor import log

            log.write_json()
