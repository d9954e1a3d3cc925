"""Tokens, by which programs log in."""

import hashlib
import secrets
from datetime import datetime
from typing import Self

from django.contrib.auth.models import User
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from license.fields import text

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
        default_permissions = ()

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
