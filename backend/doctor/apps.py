from django.apps import AppConfig


class DoctorConfig(AppConfig):
    """Tells what is wrong with an installation, and what to do. It changes nothing."""

    name = "doctor"

    def ready(self) -> None:
        from doctor import balances, broker, database, deploy, mail, role, workers  # noqa: F401 (their checks register)
