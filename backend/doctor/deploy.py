"""What `manage.py check --deploy` says of our settings, a sentence each. The doctor tells the same."""

import os
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from celery import current_app
from django.conf import settings
from django.core import checks

from doctor.examination import Finding, Part, check
from license.clock import INDIA

PAGE = "docs/configuration.md"
LOCAL = {"localhost", "127.0.0.1", "[::1]"}
WINTER_AND_SUMMER = (1, 7)


def _warning(number: int, what: str, do: str) -> checks.Warning:
    return checks.Warning(f"{what}.", hint=f"{do}.", id=f"license.W{number:03}")


@checks.register(checks.Tags.security, deploy=True)
def secret_key(**_: Any) -> list[checks.CheckMessage]:
    """Settings make one up where there is none."""
    if os.environ.get("SECRET_KEY"):
        return []
    what = "SECRET_KEY is not set: the pages do not start, and other processes make up one each"
    return [_warning(1, what, "Set SECRET_KEY to 50 random characters, the same for all processes")]


@checks.register(checks.Tags.security, deploy=True)
def allowed_hosts(**_: Any) -> list[checks.CheckMessage]:
    """By default those of a developer's machine alone."""
    if "*" in settings.ALLOWED_HOSTS:
        what = "ALLOWED_HOSTS is *: who sends a wrong Host header gets links to another site"
    elif LOCAL.issuperset(settings.ALLOWED_HOSTS):
        what = f"ALLOWED_HOSTS is {','.join(settings.ALLOWED_HOSTS)}: from another machine nobody reaches the pages"
    else:
        return []
    return [_warning(2, what, "Set ALLOWED_HOSTS to the hosts that people type")]


@checks.register(checks.Tags.security, deploy=True)
def https(**_: Any) -> list[checks.CheckMessage]:
    """Cookies and HSTS follow it; Django's own three checks of them are silenced for this one."""
    if settings.SESSION_COOKIE_SECURE and settings.CSRF_COOKIE_SECURE and settings.SECURE_HSTS_SECONDS:
        return []
    what = "HTTPS is false: who listens on the network gets passwords and sessions"
    return [_warning(3, what, "Have a proxy speak https, and take HTTPS=false away")]


@checks.register(deploy=True)
def midnight(**_: Any) -> list[checks.CheckMessage]:
    """Beat's timezone decides when the night begins."""
    schedule: Any = settings.CELERY_BEAT_SCHEDULE["night"]["schedule"]
    [hour], [minute] = schedule.hour, schedule.minute
    begins = {
        datetime(2026, month, 1, hour, minute, tzinfo=current_app.timezone).astimezone(INDIA).strftime("%H:%M")
        for month in WINTER_AND_SUMMER
    }
    if begins == {"00:00"}:
        return []
    what = f"Beat begins the night at {' or '.join(sorted(begins))} in India, not at midnight"
    return [_warning(4, what, "Set CELERY_TIMEZONE=UTC")]


@checks.register(deploy=True)
def sender_of_mail(**_: Any) -> list[checks.CheckMessage]:
    """Without EMAIL_URL, the settings themselves are refused."""
    if not settings.REPORT_RECIPIENTS or not settings.DEFAULT_FROM_EMAIL.endswith("@localhost"):
        return []
    what = f"The report is mailed from {settings.DEFAULT_FROM_EMAIL}, which most mail servers refuse"
    return [_warning(5, what, "Set DEFAULT_FROM_EMAIL to an address of your own domain")]


@check(Part.SETTINGS, PAGE)
def settings_are_those_of_production() -> Iterator[Finding]:
    """As `manage.py check --deploy` finds them."""
    for message in checks.run_checks(include_deployment_checks=True):
        if not message.is_silenced():
            yield Finding(
                " ".join(message.msg.split()).removesuffix("."),
                " ".join((message.hint or "Correct it").split()).removesuffix("."),
            )
