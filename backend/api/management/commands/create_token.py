"""`create_token`: let a program ask the API as somebody."""

from argparse import ArgumentParser
from datetime import timedelta
from typing import Any

from django.contrib.auth.models import User
from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from api.models import Token


class Command(BaseCommand):
    """Prints a new token, once: nobody can read it again. `--revoke` takes all of a person away."""

    help = "Print a new API token of a person; it may do what she may. It is shown once."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("username")
        parser.add_argument("--name", default="", help="what it is for")
        parser.add_argument("--days", type=int, default=365, help="how long it is valid (default: %(default)s)")
        parser.add_argument("--revoke", action="store_true", help="make none, and take away all that there are")

    def handle(self, *_: Any, **options: Any) -> None:
        user = User.objects.filter(username=options["username"]).first()
        if user is None:
            raise CommandError(f"there is nobody called {options['username']!r}: an administrator adds people")
        if options["revoke"]:
            count, _of_each = Token.objects.filter(user=user).delete()
            self.stdout.write(f"{count} taken away")
            return
        if not user.is_active:
            raise CommandError(f"{user.username} may not log in: an administrator makes people active")
        if not 1 <= options["days"] <= 3650:
            raise CommandError("--days must be from 1 to 3650")
        expires_at = timezone.now() + timedelta(days=options["days"])
        _token, secret = Token.make(user, name=options["name"][:100], expires_at=expires_at)
        self.stdout.write(secret)
