"""`manage.py shell`"""

from django.core.management.commands import shell

from ledger import capture, trail


class Command(shell.Command):
    """Django's, without the proxies that only carry triggers: they have no name to be imported by."""

    def get_auto_imports(self) -> list[str]:
        proxies = {*capture.PROXIES, *trail.PROXIES}
        names = {f"{proxy.__module__}.{proxy.__name__}" for proxy in proxies}
        return [path for path in super().get_auto_imports() or () if path not in names]
