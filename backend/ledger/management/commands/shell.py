"""`manage.py shell`"""

from django.core.management.commands import shell

from ledger import capture


class Command(shell.Command):
    """Django's, without the proxies that only carry triggers: they have no name to be imported by."""

    def get_auto_imports(self) -> list[str]:
        return [path for path in super().get_auto_imports() or () if not path.startswith(f"{capture.__name__}.")]
