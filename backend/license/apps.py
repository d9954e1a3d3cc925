from django.apps import AppConfig


class LicenseConfig(AppConfig):
    """The facts of a license: what it earned by exports and what it may import."""

    name = "license"
