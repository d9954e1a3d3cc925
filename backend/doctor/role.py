"""Which role DATABASE_URL logs in as, what it may do that it need not, and what it may not that it must."""

from collections.abc import Iterator

from django.apps import apps

from doctor.examination import Finding, Level, Part, check
from doctor.sql import queries

PAGE = "docs/operations.md#roles"
ROLES = {
    "license_web": "for the pages",
    "license_worker": "for worker, beat and relay, and for commands",
    "license_auditor": "for those who only read",
}
DO = "Run deploy/roles.sql, and log in as license_web or license_worker"
BOTH = None
"""What a role is that does the work of pages and of workers."""
BEYOND: dict[str | None, tuple[str, ...]] = {
    "license_web": ("writes balances", "writes the outbox", "writes the trail", "empties tables", "makes tables"),
    "license_worker": ("writes the trail", "reads passwords", "reads sessions", "empties tables", "makes tables"),
    "license_auditor": (
        "writes facts", "writes balances", "writes the outbox", "writes the trail", "reads passwords", "reads sessions",
        "empties tables", "makes tables",
    ),
    BOTH: ("writes the trail", "empties tables", "makes tables"),
}  # fmt: skip
"""What each of deploy/roles.sql need not do; a role with another name is taken for the one that it looks like."""

NOT_READ = {
    "license_web": (),
    "license_worker": ("django_session", "django_admin_log", "axes_"),
    "license_auditor": ("django_session", "axes_"),
}
"""How the tables begin that each of deploy/roles.sql need not read; every other it must."""
NOT_WRITTEN = {
    "license_web": (
        "ledger_licensebalance", "ledger_importitembalance", "ledger_balancehistory", "ledger_quarantine",
        "ledger_licensechange", "ledger_tally", "ledger_failure", "ledger_trail", "reconcile_",
        "django_celery_results_", "django_content_type", "django_migrations",
    ),
    "license_worker": (
        "ledger_trail", "reconcile_backup", "api_token", "auth_", "axes_", "django_session", "django_admin_log",
        "django_content_type", "django_migrations",
    ),
    "license_auditor": ("",),
}  # fmt: skip
"""The same of those that it need not write."""
CALLED = {
    "license_web": ["ledger_feed_publish(bigint)"],
    "license_worker": ["ledger_feed_publish(bigint)"],
    "license_auditor": [],
}
"""What it must be able to call."""
SHOWN = 5


@check(Part.DATABASE, PAGE)
def role_may_what_it_must() -> Iterator[Finding]:
    """A table that a migration has made is the owner's alone, until the roles are given their rights anew."""
    [found] = queries.dicts("role")
    if (name := found["name"]) not in NOT_READ:
        return
    lacks = queries.rows(
        "missing_rights", read=tables_but(NOT_READ[name]), written=tables_but(NOT_WRITTEN[name]), called=CALLED[name]
    )
    for may_not, names in lacks:
        shown = ", ".join(names[:SHOWN]) + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")
        yield Finding(
            f"Role {name} may not {may_not} {shown}: what needs that fails",
            "As a superuser, run deploy/roles.sql of this version, as after each migrate",
        )


def tables_but(beginnings: tuple[str, ...]) -> list[str]:
    """Ours and those of what we use, without those whose names begin like this."""
    ours = {model._meta.db_table for model in apps.get_models(include_auto_created=True) if model._meta.managed}
    return sorted(table for table in {*ours, "django_migrations"} if not table.startswith(beginnings))


@check(Part.DATABASE, PAGE)
def role() -> Iterator[Finding]:
    """By what it can do, whatever its name."""
    [found] = queries.dicts("role")
    name = found["name"]
    may = set(found["may"])
    if found["is_superuser"]:
        yield Finding(f"DATABASE_URL logs in as {name}, a superuser, whom nothing is refused", DO)
        return
    if powers := found["powers"]:
        yield Finding(
            f"Role {name} may {' and '.join(powers)}, and need not", f"ALTER ROLE {name} NO…, or run deploy/roles.sql"
        )
    if found["owns"]:
        yield Finding(
            f"Role {name} owns {found['owns']} of our tables, and so may drop their triggers: it is for migrate",
            DO,
        )
        return
    kind = name if name in BEYOND else _looks_like(may)
    if kind is BOTH:
        yield Finding(
            f"Role {name} both reads sessions and writes balances: pages and workers are not kept apart",
            "Run deploy/roles.sql, and give the pages license_web and the others license_worker",
            Level.NOTE,
        )
    if too_much := [what for what in BEYOND[kind] if what in may]:
        yield Finding(
            f"Role {name}, which is {ROLES[kind] if kind else 'for both'}, {', '.join(too_much)}, and need not",
            "Run deploy/roles.sql, which takes from each role what it need not",
        )


def _looks_like(may: set[str]) -> str | None:
    """Which of the roles, or BOTH."""
    if "writes balances" in may:
        return BOTH if "reads sessions" in may else "license_worker"
    return "license_web" if "writes facts" in may else "license_auditor"
