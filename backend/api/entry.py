"""Tokens and webhooks in data entry, for administrators: how they stand, and an end to them. Both are made by commands,
which print their secrets once; nothing here shows one."""

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from api import webhooks
from api.models import Token, Webhook, WebhookState
from desk.entry.base import EntryAdmin, EntryForm
from desk.entry.site import site


class _OfPrograms(EntryAdmin):
    search_fields = ("name", "user__username")
    ordering = ("-pk",)
    list_select_related = ("user",)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False


@admin.register(Token, site=site)
class TokenAdmin(_OfPrograms):
    fields = ("name", "user", "created_at", "expires_at", "used_on")
    list_display = ("__str__", "user", "created_at", "expires_at", "used_on")

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class WebhookForm(EntryForm):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if state := self.fields.get("state"):
            now = self.instance.state
            state.choices = [each for each in WebhookState.choices if each[0] in (now, "active", "paused")]  # type: ignore[attr-defined]
            state.help_text = "Saved as active it is tried at once, and goes on after what was acknowledged last."


@admin.register(Webhook, site=site)
class WebhookAdmin(_OfPrograms):
    form = WebhookForm
    fields = ("name", "url", "user", "created_at", "sent", "standing", "state")
    readonly_fields = ("name", "url", "user", "created_at", "sent", "standing")
    list_display = ("__str__", "name", "url", "user", "sent", "standing")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return webhooks.with_standing(super().get_queryset(request))

    @admin.display(description="Acknowledged")
    def sent(self, webhook: Any) -> str:
        return f"up to change {webhook.position} of {webhook.newest}"

    @admin.display(description="How it stands")
    def standing(self, webhook: Any) -> str:
        return webhooks.standing(webhook)

    def save_model(self, request: HttpRequest, obj: Webhook, form: Any, change: bool) -> None:
        """Nothing else of the row, which workers write."""
        if obj.state == WebhookState.PAUSED:
            webhooks.pause(obj)
        elif obj.state == WebhookState.ACTIVE:
            webhooks.resume(obj)
