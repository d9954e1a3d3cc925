"""`webhooks`: where changes of balances are sent."""

import sys
from argparse import ArgumentParser
from collections.abc import Callable
from datetime import datetime
from typing import Any

from django.contrib.auth.models import User
from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from api import webhooks
from api.models import Webhook, WebhookState
from ledger import feed
from license.clock import INDIA


class Command(BaseCommand):
    """Adds, lists, tries, resumes and removes webhooks. A secret is printed once: nobody can read it again here."""

    help = (
        "Where changes of balances are sent, signed (docs/api.md). Exit status of `list`: 0, or 1 where one is stopped."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        verbs = parser.add_subparsers(dest="verb", required=True, metavar="add | list | test | resume | remove")
        add = verbs.add_parser("add", help="send what changes from now on; prints the secret, once")
        add.add_argument("url", metavar="URL")
        add.add_argument("--user", required=True, metavar="NAME", help="for whom: as long as she may follow balances")
        add.add_argument("--name", default="", help="what it is for")
        add.add_argument("--plain-http", action="store_true", help="take http too, which others on the way can read")
        verbs.add_parser("list", help="each with how it stands")
        for verb, what in (
            ("test", "send a signed event without changes, and say the answer"),
            ("resume", "go on now where it stopped or failed"),
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
                "test": self._test, "resume": self._resume, "remove": self._remove,
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
        there = Webhook.objects.select_related("user").order_by("pk")
        newest = feed.newest()
        for webhook in there:
            name = f" ({webhook.name})" if webhook.name else ""
            self.stdout.write(
                f"{webhook.pk}{name}: {webhook.url} for {webhook.user.username}, "
                f"up to change {webhook.position} of {newest}: {_state(webhook)}"
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

    def _resume(self, webhook: Webhook) -> None:
        webhooks.resume(webhook)
        self.stdout.write(f"{webhook} goes on after change {webhook.position}")

    def _remove(self, webhook: Webhook) -> None:
        said = f"{webhook} is removed"
        webhook.delete()
        self.stdout.write(said)


def _state(webhook: Webhook) -> str:
    if webhook.state == WebhookState.STOPPED:
        return f"stopped, since it failed from {_moment(webhook.failing_since)} on: {webhook.answer}"
    if not webhooks.may_follow(webhook.user):  # nor who may not log in
        return f"held, since {webhook.user.username} may not log in or not follow balances"
    if webhook.attempts:
        return (
            f"has failed {webhook.attempts} times since {_moment(webhook.failing_since)}, "
            f"tried again {_moment(webhook.next_try_at)}: {webhook.answer}"
        )
    return f"active, {webhook.answer} {_moment(webhook.answered_at)}" if webhook.answered_at else "active"


def _moment(moment: datetime | None) -> str:
    return f"{timezone.localtime(moment, INDIA):%d %b %Y %H:%M:%S} IST" if moment else ""
