from django.apps import AppConfig


class ReconcileConfig(AppConfig):
    """Proves that balances equal their facts, and says where and why they do not."""

    name = "reconcile"
