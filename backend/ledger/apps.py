from django.apps import AppConfig


class LedgerConfig(AppConfig):
    """Movements, the outbox of changes, the engine, and the balances it keeps."""

    name = "ledger"

    def ready(self) -> None:
        from ledger import acting, signals

        signals.connect()
        acting.connect()
