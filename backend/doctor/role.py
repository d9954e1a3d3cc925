"""Which role DATABASE_URL logs in as, and what it may do that it need not."""

from collections.abc import Iterator

from django.db import connection

from doctor.examination import Finding, Level, Part, check
from doctor.sql import queries

PAGE = "docs/operations.md#roles"
ROLES = {
    "license_web": "for the pages",
    "license_worker": "for worker, beat and relay, and for commands",
    "license_auditor": "for those who only read",
    "license_owner": "for migrate alone",
}
DO = "Run deploy/roles.sql, and log in as license_web or license_worker"
BEYOND = {
    "license_web": ("writes balances", "writes the outbox", "writes the trail", "empties tables", "makes tables"),
    "license_worker": ("writes the trail", "reads passwords", "reads sessions", "empties tables", "makes tables"),
    "license_auditor": (
        "writes facts", "writes balances", "writes the outbox", "writes the trail", "reads passwords", "reads sessions",
        "empties tables", "makes tables",
    ),
}  # fmt: skip
"""What each of deploy/roles.sql need not; of a role with another name, see `_looks_like`."""


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
    if kind is None:
        yield Finding(
            f"Role {name} both reads sessions and writes balances: pages and workers are not kept apart",
            "Run deploy/roles.sql, and give the pages license_web and the others license_worker",
            Level.NOTE,
        )
    if too_much := [what for what in BEYOND.get(kind or "license_worker", ()) if what in may]:
        if kind is None:
            too_much = [what for what in too_much if not what.startswith("reads")]
        if too_much:
            yield Finding(
                f"Role {name}{_is(kind)} {', '.join(too_much)}, and need not",
                "Run deploy/roles.sql, which takes from each role what it need not",
            )


def _looks_like(may: set[str]) -> str | None:
    """None: like web and worker in one."""
    if "writes balances" in may:
        return None if "reads sessions" in may else "license_worker"
    return "license_web" if "writes facts" in may else "license_auditor"


def _is(kind: str | None) -> str:
    return f", which is {ROLES[kind]}," if kind else ""


def describe() -> str:
    """The role, for the head of the report; empty: nobody knows."""
    connection.ensure_connection()
    [found] = queries.dicts("role")
    return f"{found['name']}{', ' + ROLES[found['name']] if found['name'] in ROLES else ''}"
