"""Tokens, by which programs log in, and webhooks, by which they are told."""

import hashlib
import secrets
from datetime import datetime
from typing import Self

from django.contrib.auth.models import User
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from license.fields import one_of, text

PREFIX = "lbe_"
"""By which a token that has leaked is recognised."""


class Token(models.Model):
    """What a program shows to be taken for a person: it may do what she may, and no more. Only its digest is kept."""

    user = models.ForeignKey(User, models.CASCADE, related_name="api_tokens")
    name = text(100, help_text="What it is for.")
    digest = models.CharField(max_length=64, unique=True, help_text="SHA-256.")
    created_at = models.DateTimeField(db_default=Now())
    expires_at = models.DateTimeField(null=True, help_text="Empty: never.")
    used_on = models.DateField(null=True, help_text="The last day in India on which it was used.")

    class Meta:
        default_permissions = ("view", "delete")

    def __str__(self) -> str:
        return self.name or f"token {self.pk}"

    @classmethod
    def make(cls, user: User, *, name: str = "", expires_at: datetime | None = None) -> tuple[Self, str]:
        """A new one, and its secret, which nobody can read again."""
        secret = PREFIX + secrets.token_urlsafe(32)
        return cls.objects.create(user=user, name=name, digest=_digest(secret), expires_at=expires_at), secret

    @classmethod
    def of(cls, secret: str) -> Self | None:
        """The token of this secret, if it is valid, and its person may log in."""
        valid = Q(expires_at=None) | Q(expires_at__gt=Now())
        tokens = cls.objects.select_related("user").filter(valid, user__is_active=True)
        return tokens.filter(digest=_digest(secret)).first()


def _digest(secret: str) -> str:
    """Plain SHA-256 will do: there is nothing to guess in 32 random bytes."""
    return hashlib.sha256(secret.encode()).hexdigest()


class WebhookState(models.TextChoices):
    """Whether changes are sent."""

    ACTIVE = "active", "active"
    PAUSED = "paused", "paused"
    STOPPED = "stopped", "stopped, since it failed"


class Webhook(models.Model):
    """Where changes of balances are sent for somebody, as long as she may log in and follow them (api/webhooks.py).

    The secret is kept as it is: every request is signed with it.
    """

    user = models.ForeignKey(User, models.CASCADE, related_name="webhooks")
    name = text(100, help_text="What it is for.")
    url = models.CharField("address", max_length=2000)
    secret = models.CharField(max_length=100, help_text="whsec_ and the key in Base64.")
    state = text(10, WebhookState.ACTIVE.value, choices=WebhookState.choices)
    position = models.BigIntegerField(help_text="Of the feed: what comes up to this was acknowledged.")
    message = models.UUIDField(null=True, help_text="What is being sent; the same at each try.")
    message_until = models.BigIntegerField(null=True, help_text="The last position in that message.")
    attempts = models.PositiveIntegerField(default=0, db_default=0, help_text="That have failed since one succeeded.")
    failing_since = models.DateTimeField(null=True)
    next_try_at = models.DateTimeField(db_default=Now())
    lease = models.UUIDField(null=True, help_text="Whose it is that sends it, or has.")
    leased_until = models.DateTimeField(null=True)
    answer = models.TextField(default="", db_default="", help_text="The last one, or why there was none.")
    answered_at = models.DateTimeField(null=True)
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        default_permissions = ("view", "change", "delete")
        constraints = [one_of("state", WebhookState.values)]

    def __str__(self) -> str:
        return f"webhook {self.pk}"
