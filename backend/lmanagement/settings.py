"""Settings: from the environment, then from `.env`, then from the private servers of this checkout, then defaults.

docs/configuration.md lists every variable. Nothing here is unsafe when nobody sets anything: without SECRET_KEY the
key is made up at each start, DEBUG is off.
"""

import os
import re
import secrets
import ssl
import sys
from datetime import timedelta
from email.utils import parseaddr
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

import environ
from celery.schedules import crontab
from django.core.exceptions import ImproperlyConfigured, ValidationError
from django.core.validators import validate_email
from kombu import Exchange, Queue

import env_file

BACKEND = Path(__file__).resolve().parent.parent
CHECKOUT = BACKEND.parent

env = environ.Env()


def _seconds(name: str, default: float) -> float:
    try:
        seconds = float(env.str(name, default=str(default)))
    except ValueError:
        seconds = 0
    if not 0 < seconds < 86_400:
        raise ImproperlyConfigured(f"{name} must be a number of seconds, more than 0 and less than a day")
    return seconds


def _days(name: str, default: int) -> int:
    text = env.str(name, default=str(default))
    if not re.fullmatch(r"[1-9][0-9]{0,4}", text, re.ASCII):
        raise ImproperlyConfigured(f"{name} must be a number of days, from 1 to 99999")
    return int(text)


def _flag(name: str, *, default: bool) -> bool:
    return _as_flag(name, env.str(name, default="").strip() or str(default))


def _as_flag(name: str, text: str) -> bool:
    if text.lower() not in FLAGS:
        raise ImproperlyConfigured(f"{name} must be true or false")
    return FLAGS[text.lower()]


def _list(name: str, default: str = "") -> list[str]:
    return [word.strip() for word in (env.str(name, default="") or default).split(",") if word.strip()]


def _redis(name: str, default: str, *others: str) -> str:
    """The message names no value: it may hold a password."""
    value = str(env.str(name, default=default)).strip()
    try:
        url = urlsplit(value)
        is_url = url.scheme in REDIS_SCHEMES and bool(url.netloc or url.path) and (url.port or True)
    except ValueError:
        is_url = False
    if not is_url and value not in others:
        forms = " or ".join(["of the form redis://:password@host:port/number", *others])
        raise ImproperlyConfigured(f"{name} must be {forms}")
    return value


def _program() -> str:
    """gunicorn, celery worker, manage.py relay."""
    celery = [word for word in sys.argv[1:] if word in ("worker", "beat")]
    return " ".join([Path(sys.argv[0]).name, *(celery or sys.argv[1:2])])


REDIS_SCHEMES = ("redis", "rediss", "redis+socket")
FLAGS = dict.fromkeys(("true", "on", "yes", "y", "1"), True) | dict.fromkeys(("false", "off", "no", "n", "0"), False)

# the first that says something wins
for file in (BACKEND / ".env", CHECKOUT / ".env", CHECKOUT / ".local" / "servers.env"):
    try:
        values = env_file.read(file)
    except ValueError as error:
        raise ImproperlyConfigured(str(error)) from None
    for name, value in values.items():
        os.environ.setdefault(name, value)

SECRET_KEY = env.str("SECRET_KEY", default="") or secrets.token_urlsafe(50)
DEBUG = _flag("DEBUG", default=False)
ALLOWED_HOSTS = _list("ALLOWED_HOSTS", default="localhost,127.0.0.1,[::1]")
for host in ALLOWED_HOSTS:
    if not re.fullmatch(r"[*]|[.]?[a-z0-9-]+([.][a-z0-9-]+)*|\[[0-9a-f:.]+\]", host, re.ASCII | re.IGNORECASE):
        raise ImproperlyConfigured(
            f"ALLOWED_HOSTS must be hosts without https:// and without a port, with commas between: {host!r}"
        )

INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "axes",
    "csp",
    "django_filters",
    "django_htmx",
    "pgtrigger",
    "django_celery_results",
    "license",
    "ledger",
    "reconcile",
    "desk",
    "api",
    "monitor",
    "doctor",
    "ninja",
    "django.contrib.admin.apps.SimpleAdminConfig",  # behind ours, whose templates it is to find first
]
USE_TZ = True
TIME_ZONE = "Asia/Kolkata"
LANGUAGE_CODE = "en-in"
FORMAT_MODULE_PATH = ["desk.formats"]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

DATABASE_URL = env.str("DATABASE_URL", default="postgres:///license_manager")
if not re.match(r"postgres(ql)?://.*/.", DATABASE_URL):
    raise ImproperlyConfigured("DATABASE_URL must be of the form postgres://user:password@host:port/name")
try:
    # A worker keeps its connection from task to task, and with it what is prepared there; one that broke is replaced.
    DATABASES = {
        "default": {"CONN_MAX_AGE": 600, "CONN_HEALTH_CHECKS": True, **env.db_url_config(DATABASE_URL)},
    }
except ValueError:  # its words may have half of a password that should have been URL-encoded
    raise ImproperlyConfigured(
        "DATABASE_URL must be of the form postgres://user:password@host:port/name, its password URL-encoded (/ is %2F)"
    ) from None
for name in ("DISABLE_SERVER_SIDE_CURSORS", "CONN_HEALTH_CHECKS", "ATOMIC_REQUESTS", "AUTOCOMMIT"):
    if name in DATABASES["default"]:  # the URL's are texts, or Python
        DATABASES["default"][name] = _as_flag(f"{name} in DATABASE_URL", str(DATABASES["default"][name]))
if not isinstance(DATABASES["default"]["CONN_MAX_AGE"], int | None):
    raise ImproperlyConfigured("CONN_MAX_AGE in DATABASE_URL must be a number of seconds, or None")
# A server that is gone without a word (a cut cable, a failover) is given up after 40 seconds, not after two hours; the
# names are libpq's, and the URL may say otherwise: ?connect_timeout=3
DATABASES["default"]["OPTIONS"] = (
    {
        "connect_timeout": 10,
        "keepalives_idle": 20,
        "keepalives_interval": 5,
        "keepalives_count": 4,
        "tcp_user_timeout": 40_000,  # ms: also for what was sent and not acknowledged
        # by which the trail, and whoever looks at pg_stat_activity, knows it; PGAPPNAME may say otherwise
        "fallback_application_name": _program()[:63],
        "prepare_threshold": 5,  # psycopg's own default: what asks for it may be prepared (license/queries.py)
    }
    | DATABASES["default"].get("OPTIONS", {})
)

# --- pages ------------------------------------------------------------------------------------------------------------
ROOT_URLCONF = "lmanagement.urls"
WSGI_APPLICATION = "lmanagement.wsgi.application"
MIDDLEWARE = [
    "monitor.log.Requests",  # first: all that is logged of a request has its id
    "desk.upload_limit.ReadToTheEnd",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "desk.login.LoginRequired",  # every page, unless it says otherwise
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "csp.middleware.CSPMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "axes.middleware.AxesMiddleware",
    "ledger.acting.Acting",
]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    }
]
STATIC_URL = "static/"
WHITENOISE_USE_FINDERS = True  # what the apps ship is served as it is, with nothing to collect first
LOGIN_URL = "login"
LOGIN_REDIRECT_URL = "home"
LOGOUT_REDIRECT_URL = "login"
AUTHENTICATION_BACKENDS = ["axes.backends.AxesStandaloneBackend", "django.contrib.auth.backends.ModelBackend"]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        "UserAttributeSimilarityValidator", "MinimumLengthValidator", "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]  # fmt: skip
# Somebody who guesses is locked out for a while, from where he guesses; the person herself, elsewhere, is not.
AXES_FAILURE_LIMIT = 5
AXES_COOLOFF_TIME = timedelta(minutes=15)
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"]]
AXES_LOCKOUT_TEMPLATE = "desk/locked.html"
AXES_CLIENT_IP_CALLABLE = "desk.login.client_address"
TRUSTED_PROXY = env.str("TRUSTED_PROXY", default="").strip()
try:
    TRUSTED_PROXY = TRUSTED_PROXY and str(ip_address(TRUSTED_PROXY))
except ValueError:
    raise ImproperlyConfigured(f"TRUSTED_PROXY must be one address, like 127.0.0.1: {TRUSTED_PROXY!r}") from None
AXES_RESET_ON_SUCCESS = True
AXES_VERBOSE = False  # workers and commands need not say that it is there

# People reach the pages by https, unless this says that they do not, as on a developer's machine.
IS_HTTPS = _flag("HTTPS", default=True)
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = IS_HTTPS
SESSION_COOKIE_AGE = 12 * 60 * 60  # a day at the desk
SECURE_HSTS_SECONDS = 30 * 24 * 60 * 60 if IS_HTTPS else 0
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
DATA_UPLOAD_MAX_NUMBER_FIELDS = 20_000  # a license has some hundred items, each of ten fields
DATA_UPLOAD_MAX_NUMBER_FILES = 1_000  # more than may be uploaded: who sends too many is told so by the page
FILE_UPLOAD_HANDLERS = [
    "desk.upload_limit.UploadLimit",
    "django.core.files.uploadhandler.MemoryFileUploadHandler",
    "django.core.files.uploadhandler.TemporaryFileUploadHandler",
]
SILENCED_SYSTEM_CHECKS = [
    # not ours to decide: whether every host of the domain is https only, which the proxy may say for it
    "security.W005",
    "security.W021",
    # http is not answered by us: redirecting it is the proxy's, which alone knows how people have come
    "security.W008",
    # HTTPS decides these three together, and doctor/deploy.py says in one sentence that it is false
    "security.W004",
    "security.W012",
    "security.W016",
]
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": ["'self'"],
        "img-src": ["'self'", "data:"],
        "base-uri": ["'none'"],
        "object-src": ["'none'"],
        "frame-ancestors": ["'none'"],
        "form-action": ["'self'"],
    }
}

# --- the night's report -----------------------------------------------------------------------------------------------
REPORT_RECIPIENTS = _list("REPORT_RECIPIENTS")
for address in REPORT_RECIPIENTS:
    try:
        validate_email(address)
    except ValidationError:
        raise ImproperlyConfigured(f"REPORT_RECIPIENTS must be addresses, with commas between: {address!r}") from None
DEFAULT_FROM_EMAIL = env.str("DEFAULT_FROM_EMAIL", default="") or "license-manager@localhost"
try:
    validate_email(parseaddr(DEFAULT_FROM_EMAIL)[1])
except ValidationError:
    raise ImproperlyConfigured(
        f"DEFAULT_FROM_EMAIL must be an address, like licenses@example.com: {DEFAULT_FROM_EMAIL!r}"
    ) from None
EMAIL_URL = env.str("EMAIL_URL", default="")
if REPORT_RECIPIENTS and not EMAIL_URL:
    raise ImproperlyConfigured("REPORT_RECIPIENTS wants mail: EMAIL_URL must say through which server it goes")
if EMAIL_URL and not re.fullmatch(
    r"(smtp|smtp\+tls|smtp\+ssl)://([^/?#@]*@)?[^/?#@:]+(:[0-9]+)?/?|(filemail|consolemail)://.*", EMAIL_URL
):
    raise ImproperlyConfigured("EMAIL_URL must be of the form smtp+tls://user:password@host:587")
try:
    vars().update(env.email_url_config(EMAIL_URL or "dummymail://"))
except ValueError as error:
    raise ImproperlyConfigured(f"EMAIL_URL cannot be read: {error}") from None
EMAIL_TIMEOUT = 10
HISTORY_DAYS = _days("HISTORY_DAYS", default=1100)
REPORT_DAYS = _days("REPORT_DAYS", default=90)

# --- monitoring -------------------------------------------------------------------------------------------------------
METRICS_TOKEN = env.str("METRICS_TOKEN", default="").strip()
if METRICS_TOKEN and not re.fullmatch(r"[\x21-\x7e]{20,}", METRICS_TOKEN):
    raise ImproperlyConfigured("METRICS_TOKEN must be 20 or more characters of ASCII without spaces, best random ones")

LOG_FORMAT = env.str("LOG_FORMAT", default="").strip() or "text"
if LOG_FORMAT not in ("text", "json"):
    raise ImproperlyConfigured("LOG_FORMAT must be text or json")
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"json": {"()": "monitor.log.JsonLines"}},
    "filters": {"production": {"()": "django.utils.log.RequireDebugFalse"}},
    "handlers": {"faults": {"class": "logging.StreamHandler", "level": "ERROR", "filters": ["production"]}},
    "loggers": {"django.request": {"handlers": ["faults"]}},  # by itself Django would mail them, or say nothing
}
if LOG_FORMAT == "json":
    LOGGING |= {
        "handlers": {"json": {"class": "logging.StreamHandler", "formatter": "json"}},
        "root": {"handlers": ["json"], "level": "INFO"},
        "loggers": {"django": {"handlers": []}, "django.server": {"handlers": [], "propagate": True}},
    }

# --- Celery -----------------------------------------------------------------------------------------------------------
# docs/decisions/0004-celery-settings.md says why each of these is as it is.
CELERY_BROKER_URL = _redis("CELERY_BROKER_URL", "redis://localhost:6379/0")
CELERY_RESULT_BACKEND = _redis("CELERY_RESULT_BACKEND", CELERY_BROKER_URL, "django-db")
# Where a URL of TLS says nothing of certificates, kombu would believe any, and the backend let nothing start; the URL
# may say otherwise: ?ssl_cert_reqs=none
if CELERY_BROKER_URL.startswith("rediss:"):
    CELERY_BROKER_USE_SSL = {"ssl_cert_reqs": ssl.CERT_REQUIRED}
if CELERY_RESULT_BACKEND.startswith("rediss:"):
    CELERY_REDIS_BACKEND_USE_SSL = {"ssl_cert_reqs": ssl.CERT_REQUIRED}
CELERY_TIMEZONE = env.str("CELERY_TIMEZONE", default="") or "UTC"
try:
    ZoneInfo(CELERY_TIMEZONE)
except (KeyError, ValueError):  # there is none of that name, or it is no name
    raise ImproperlyConfigured(f"CELERY_TIMEZONE must be a timezone like UTC: {CELERY_TIMEZONE!r}") from None
CELERY_ENABLE_UTC = _flag("CELERY_ENABLE_UTC", default=True)

# A recompute must never wait behind the night or an upload, and none of these behind servers of others: queues of their
# own, asked in this order.
CELERY_TASK_QUEUES = [Queue(name, Exchange(name), routing_key=name) for name in ("recompute", "reconcile", "webhooks")]
CELERY_TASK_DEFAULT_QUEUE = "recompute"
CELERY_TASK_CREATE_MISSING_QUEUES = False
CELERY_TASK_ROUTES = {
    tasks: {"queue": "reconcile"} for tasks in ("license.tasks.*", "reconcile.tasks.*", "ledger.tasks.*upload*")
} | {"api.tasks.*": {"queue": "webhooks"}}
CELERY_BROKER_TRANSPORT_OPTIONS = {
    "queue_order_strategy": "priority",
    # a hanging broker is given up after two seconds, not after forty
    "socket_timeout": 2,
    "socket_connect_timeout": 2,
    "health_check_interval": 10,
    # and a refusing one after one more try: the outbox keeps what a hint would have said
    "max_retries": 1,
    "interval_start": 0,
    "interval_step": 0,
}
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_CONNECTION_MAX_RETRIES = None  # by default a worker gives up for good after some 46 minutes

CELERY_TASK_SERIALIZER = CELERY_RESULT_SERIALIZER = "json"
CELERY_ACCEPT_CONTENT = CELERY_RESULT_ACCEPT_CONTENT = ["json"]
CELERY_TASK_ACKS_LATE = False  # late ones wedge a worker that loses Redis in mid-task; the outbox makes them needless
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_DB_REUSE_MAX = 10_000  # else Celery would close the connection after each task

CELERY_BEAT_SCHEDULER = "celery.beat:Scheduler"  # in memory: what is due is decided in PostgreSQL, not in a file
SWEEP_SECONDS = _seconds("SWEEP_SECONDS", default=5.0)
OWED_NIGHT_SECONDS = _seconds("OWED_NIGHT_SECONDS", default=300.0)
LEFT_UPLOAD_SECONDS = 30.0
TALLY_SECONDS = 30.0
WEBHOOK_SECONDS = _seconds("WEBHOOK_SECONDS", default=5.0)
CELERY_BEAT_SCHEDULE = {
    "sweep": {
        "task": "ledger.tasks.sweep",
        "schedule": SWEEP_SECONDS,
        # a worker that was away does only the last; till then Redis keeps them all
        "options": {"expires": SWEEP_SECONDS},
    },
    # midnight in India, while CELERY_TIMEZONE is UTC
    "night": {
        "task": "license.tasks.sync_all_licenses",
        "schedule": crontab(hour=18, minute=30),
        "kwargs": {"scheduled": True},
    },
    # a night that did not begin, or was cut off, is made up
    "owed night": {
        "task": "reconcile.tasks.check_night",
        "schedule": OWED_NIGHT_SECONDS,
        "options": {"expires": OWED_NIGHT_SECONDS},
    },
    # an upload that no message announced, or whose worker died, is taken
    "left uploads": {
        "task": "ledger.tasks.check_uploads",
        "schedule": LEFT_UPLOAD_SECONDS,
        "options": {"expires": LEFT_UPLOAD_SECONDS},
    },
    # what monitoring reads, and by which it sees that beat is up
    "tally": {
        "task": "ledger.tasks.add_up",
        "schedule": TALLY_SECONDS,
        "options": {"expires": TALLY_SECONDS},
    },
    "webhooks": {
        "task": "api.tasks.send_webhooks",
        "schedule": WEBHOOK_SECONDS,
        "options": {"expires": WEBHOOK_SECONDS},
    },
}
