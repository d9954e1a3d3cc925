from django.apps import AppConfig
from django.db.backends.signals import connection_created


class LicenseConfig(AppConfig):
    """The facts of a license: what it earned by exports and what it may import."""

    name = "license"

    def ready(self) -> None:
        from license.queries import prepare_nothing_behind_a_pooler

        connection_created.connect(prepare_nothing_behind_a_pooler)
