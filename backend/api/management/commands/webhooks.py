"""`webhooks`: where changes of balances are sent."""

import sys
from argparse import ArgumentParser
from collections.abc import Callable
from typing import Any

from django.contrib.auth.models import User
from django.core.management.base import BaseCommand, CommandError

from api import webhooks
from api.models import Webhook, WebhookState


class Command(BaseCommand):
    """Adds, lists, tries, pauses, resumes and removes webhooks, and gives them new secrets. One is printed once: nobody
    can read it again here."""

    help = (
        "Where changes of balances are sent, signed (docs/api.md). Exit status of `list`: 0, or 1 where one is stopped."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
        add = verbs.add_parser("add", help="send what changes from now on; prints the secret, once")
        add.add_argument("url", metavar="URL")
        add.add_argument("--user", required=True, metavar="NAME", help="for whom: as long as she may follow balances")
        add.add_argument("--name", default="", help="what it is for")
        add.add_argument("--plain-http", action="store_true", help="take http too, which others on the way can read")
        verbs.add_parser("list", help="each with how it stands")
        for verb, what in (
            ("test", "send a signed event without changes, and say the answer"),
            ("pause", "send nothing until `resume`; what changes meanwhile is sent then"),
            ("resume", "go on now where it was paused, stopped or failed"),
            ("rotate", "sign with a new secret from now on; prints it, once"),
            ("remove", "send nothing more, and forget it"),
        ):
            verbs.add_parser(verb, help=what).add_argument("id", type=int, metavar="ID")

    def handle(self, *_: Any, verb: str, **options: Any) -> None:
        if verb == "add":
            self._add(options["url"], options["user"], options["name"], is_plain_allowed=options["plain_http"])
        elif verb == "list":
            self._list()
        else:
            does: dict[str, Callable[[Webhook], None]] = {
                "test": self._test, "pause": self._pause, "resume": self._resume, "rotate": self._rotate,
                "remove": self._remove,
            }  # fmt: skip
            webhook = Webhook.objects.select_related("user").filter(pk=options["id"]).first()
            if webhook is None:
                raise CommandError(f"there is no webhook {options['id']}: `list` shows those that there are")
            does[verb](webhook)

    def _add(self, url: str, username: str, name: str, *, is_plain_allowed: bool) -> None:
        user = User.objects.filter(username=username, is_active=True).first()
        if user is None:
            raise CommandError(f"there is nobody called {username!r} who may log in")
        try:
            webhook = webhooks.add(user, url, name=name[:100], is_plain_allowed=is_plain_allowed)
        except webhooks.RefusedError as refused:
            raise CommandError(f"{refused}") from None
        self.stdout.write(f"{webhook} begins after change {webhook.position}. Its secret, which is shown once:")
        self.stdout.write(webhook.secret)

    def _list(self) -> None:
        there = webhooks.with_standing(Webhook.objects.order_by("pk"))
        for webhook in there:
            name = f" ({webhook.name})" if webhook.name else ""
            self.stdout.write(
                f"{webhook.pk}{name}: {webhook.url} for {webhook.user.username}, "
                f"up to change {webhook.position} of {webhook.newest}: {webhooks.standing(webhook)}"
            )
        if not there:
            self.stdout.write("There is no webhook.")
        if any(webhook.state == WebhookState.STOPPED for webhook in there):
            sys.exit(1)

    def _test(self, webhook: Webhook) -> None:
        answer = webhooks.ping(webhook)
        if not answer.is_success:
            raise CommandError(answer.words)
        self.stdout.write(answer.words)

    def _pause(self, webhook: Webhook) -> None:
        webhooks.pause(webhook)
        self.stdout.write(f"{webhook} is paused: `resume` goes on after change {webhook.position}")

    def _rotate(self, webhook: Webhook) -> None:
        self.stdout.write(f"{webhook} is signed by another secret from now on, which is shown once:")
        self.stdout.write(webhooks.rotate(webhook))

    def _resume(self, webhook: Webhook) -> None:
        webhooks.resume(webhook)
        self.stdout.write(f"{webhook} goes on after change {webhook.position}")

    def _remove(self, webhook: Webhook) -> None:
        said = f"{webhook} is removed"
        webhook.delete()
        self.stdout.write(said)
