from django.apps import AppConfig


class DoctorConfig(AppConfig):
    """Tells what is wrong with an installation, and what to do. It changes nothing."""

    name = "doctor"

    def ready(self) -> None:
        from doctor import (  # noqa: F401 (their checks register)
            balances,
            broker,
            database,
            deploy,
            machine,
            mail,
            role,
            workers,
        )
