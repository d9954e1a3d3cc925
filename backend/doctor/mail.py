"""Whether the report of the night can be mailed. Nothing is sent: the server is greeted, and left."""

import smtplib
from collections.abc import Iterator

from django.conf import settings

from doctor.examination import Finding, Level, Part, check

PAGE = "docs/night.md#by-mail"
SMTP_SECONDS = 4


@check(Part.MAIL, PAGE)
def somebody_gets_the_report() -> Iterator[Finding]:
    """Where nobody does, it must be looked up."""
    if not settings.REPORT_RECIPIENTS:
        yield Finding("Nobody gets the report of the night by mail", "Set REPORT_RECIPIENTS and EMAIL_URL", Level.NOTE)
    elif not settings.EMAIL_BACKEND.endswith("smtp.EmailBackend"):
        yield Finding("Mail goes nowhere but to a file or a log", "Set EMAIL_URL to smtp+tls://…", Level.NOTE)


@check(Part.MAIL, PAGE)
def mail_server_answers() -> Iterator[Finding]:
    """As Django would begin, up to the password."""
    if not (settings.REPORT_RECIPIENTS and settings.EMAIL_BACKEND.endswith("smtp.EmailBackend")):
        return
    try:
        yield from _greet()
    except (OSError, smtplib.SMTPException) as error:
        server = f"{settings.EMAIL_HOST}:{settings.EMAIL_PORT}"
        yield Finding(
            f"The mail server {server} takes no mail: {' '.join(str(error).split())}",
            "Correct EMAIL_URL: smtp+tls:// for STARTTLS on port 587, smtp+ssl:// for port 465; is a firewall between?",
        )


def _greet() -> Iterator[Finding]:
    kind = smtplib.SMTP_SSL if getattr(settings, "EMAIL_USE_SSL", False) else smtplib.SMTP
    with kind(settings.EMAIL_HOST, settings.EMAIL_PORT, timeout=SMTP_SECONDS) as server:
        server.ehlo_or_helo_if_needed()
        if getattr(settings, "EMAIL_USE_TLS", False):
            server.starttls()
            server.ehlo()
        if settings.EMAIL_HOST_USER and not server.has_extn("auth"):
            yield Finding(
                f"The mail server {settings.EMAIL_HOST} takes no password on this connection",
                "Use smtp+tls:// or smtp+ssl:// in EMAIL_URL, or leave the user out",
            )
