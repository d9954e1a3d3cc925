"""A value that cannot be meant is refused, by its name, with what is right; and no password is shown."""

import runpy
from ssl import CERT_NONE, CERT_REQUIRED, VerifyMode
from typing import Any

import pytest
from celery import Celery
from django.core.exceptions import ImproperlyConfigured

from django_setup import BACKEND


def settings_with(monkeypatch: pytest.MonkeyPatch, **environment: str) -> dict[str, Any]:
    """What a process that begins with it has. How it prints a refusal: tests/acceptance/test_processes.py."""
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    return runpy.run_path(str(BACKEND / "lmanagement/settings.py"))


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("CELERY_BROKER_URL", "reddis://:secret@localhost:6379/0", "of the form redis://:password@host:port/number"),
        ("CELERY_BROKER_URL", "redis://:secret@localhost:port/0", "of the form redis://:password@host:port/number"),
        ("CELERY_BROKER_URL", "redis://", "of the form redis://:password@host:port/number"),
        ("CELERY_BROKER_URL", "django-db", "of the form redis://:password@host:port/number"),
        ("CELERY_RESULT_BACKEND", "djangodb", "of the form redis://:password@host:port/number or django-db"),
        ("CELERY_RESULT_BACKEND", "", "of the form redis://:password@host:port/number or django-db"),
        ("DATABASE_URL", "postgres://license_web:secret/5@db.example.com/licenses", "its password URL-encoded"),
        ("ALLOWED_HOSTS", "https://licenses.example.com", "hosts without https:// and without a port"),
        ("ALLOWED_HOSTS", "desk.example.com,licenses.example.com:443", "hosts without https:// and without a port"),
        ("ALLOWED_HOSTS", "licenses.example.com desk.example.com", "hosts without https:// and without a port"),
        ("DEFAULT_FROM_EMAIL", "the desk", "an address, like licenses@example.com: 'the desk'"),
        ("EMAIL_URL", "smtp://user:secret@host:99999", "Port out of range"),
        ("EMAIL_URL", "mail.example.com", "of the form smtp+tls://user:password@host:587"),
        ("REPORT_RECIPIENTS", "a@example.com;b@example.com", "addresses, with commas between"),
        ("TRUSTED_PROXY", "127.0.0.1,10.0.0.1", "one address, like 127.0.0.1"),
        ("METRICS_TOKEN", "secret", "20 or more characters"),
        ("LOG_FORMAT", "JSON", "text or json"),
        ("HTTPS", "ture", "true or false"),
        ("SWEEP_SECONDS", "nan", "a number of seconds"),
        ("HISTORY_DAYS", "0", "a number of days, from 1"),
    ],
)
def test_what_cannot_be_meant_is_refused(name: str, value: str, says: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ImproperlyConfigured) as refused:
        settings_with(monkeypatch, **{name: value})
    assert str(refused.value).startswith(f"{name} ")
    assert says in str(refused.value)
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize(
    ("name", "value", "meant"),
    [
        ("ALLOWED_HOSTS", "a.example.com, .example.org,[::1],", ["a.example.com", ".example.org", "[::1]"]),
        ("ALLOWED_HOSTS", "*", ["*"]),
        ("ALLOWED_HOSTS", "", ["localhost", "127.0.0.1", "[::1]"]),
        ("REPORT_RECIPIENTS", "", []),
        ("DEFAULT_FROM_EMAIL", "Desk <desk@example.com>", "Desk <desk@example.com>"),
        ("DEFAULT_FROM_EMAIL", "", "license-manager@localhost"),
        ("CELERY_BROKER_URL", "rediss://:secret@redis.example.com/0", "rediss://:secret@redis.example.com/0"),
        ("CELERY_BROKER_URL", "redis+socket:///run/redis/redis.sock", "redis+socket:///run/redis/redis.sock"),
        ("CELERY_RESULT_BACKEND", "django-db", "django-db"),
    ],
)
def test_what_is_meant_is_taken(name: str, value: str, meant: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    assert settings_with(monkeypatch, **{name: value})[name] == meant


@pytest.mark.parametrize(("query", "verified"), [("", CERT_REQUIRED), ("?ssl_cert_reqs=none", CERT_NONE)])
def test_redis_behind_tls_is_believed_by_its_certificate(
    query: str, verified: VerifyMode, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the URL of the guide: as broker, and as what keeps results, without which neither worker nor beat begins."""
    monkeypatch.delenv("CELERY_RESULT_BACKEND", raising=False)
    found = settings_with(monkeypatch, CELERY_BROKER_URL=f"rediss://:secret@redis.example.com/0{query}")
    app = Celery(set_as_current=False)
    app.config_from_object({name: found[name] for name in found if name.startswith("CELERY_")}, namespace="CELERY")
    assert app.connection_for_read().ssl == {"ssl_cert_reqs": verified}
    assert app.backend.connparams["ssl_cert_reqs"] is verified
