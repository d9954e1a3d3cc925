"""Whether PostgreSQL is as this engine needs it: its version, its settings, our schema, and what will stop it soon."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

from django.db import Error, connection, transaction

from doctor.examination import AROUND, DOORS, AwayError, Finding, Level, Part, check
from doctor.sql import queries
from license import schema
from license.queries import backend_of
from reconcile import backup
from reconcile.guard import trigger_faults

PAGE = "docs/operations.md#postgresql"
VERSIONS = range(15, 19)
MOST_CLOCK_DIFFERENCE = timedelta(seconds=5)
LEAST_FREE_CONNECTIONS = 10
LEAST_STATEMENT_SECONDS = 30
LONG_TRANSACTION = timedelta(hours=1)
MOST_TRANSACTIONS = 1_500_000_000
"""That a database may be old: PostgreSQL refuses to write some 2,100 million after the oldest."""


@contextmanager
def session() -> Iterator[None]:
    """Of this thread."""
    try:
        connection.ensure_connection()
    except Error as error:
        why = " ".join(str(error).split())
        raise AwayError(
            Finding(f"PostgreSQL cannot be reached: {why}", "Start it, or correct DATABASE_URL, which says where it is")
        ) from None
    try:
        yield
    finally:
        connection.close()


@contextmanager
def looking_only() -> Iterator[None]:
    """A transaction that cannot write, and waits for nobody."""
    with transaction.atomic(durable=True):
        queries.rows("look_only")
        yield


for part in (Part.DATABASE, Part.BALANCES):
    DOORS[part] = (PAGE, session)
    AROUND[part] = looking_only


@check(Part.DATABASE, "docs/configuration.md")
def version_of_postgresql() -> Iterator[Finding]:
    """What the tests run on."""
    version = connection.connection.info.server_version // 10_000
    if version not in VERSIONS:
        yield Finding(
            f"This is PostgreSQL {version}; only {VERSIONS[0]} to {VERSIONS[-1]} are tried",
            f"Move to PostgreSQL {VERSIONS[-1]}",
        )


_SERVER = "in postgresql.conf, and reload PostgreSQL"
_ROLE = "of the role of DATABASE_URL (ALTER ROLE … RESET …), or of the database (ALTER DATABASE … RESET …)"


def _is(*good: str) -> Callable[[str], bool]:
    return lambda value: value in good


SETTINGS: dict[str, tuple[Callable[[str], bool], str, str]] = {
    "fsync": (_is("on"), "a power cut may destroy the database", f"Set it on {_SERVER}"),
    "full_page_writes": (_is("on"), "a power cut may destroy pages of tables", f"Set it on {_SERVER}"),
    "synchronous_commit": (
        _is("on", "local", "remote_write", "remote_apply"),
        "a crash loses what was committed in the last moments, and nobody is told",
        f"Take it away {_ROLE}, or set it on {_SERVER}",
    ),
    "autovacuum": (_is("on"), "tables and the outbox grow without end, and plans get bad", f"Set it on {_SERVER}"),
    "track_counts": (_is("on"), "autovacuum does not work without it", f"Set it on {_SERVER}"),
    "zero_damaged_pages": (_is("off"), "a damaged page is deleted in silence", f"Set it off {_SERVER}"),
    "ignore_checksum_failure": (_is("off"), "damaged pages are read as if they were sound", f"Set it off {_SERVER}"),
    "standard_conforming_strings": (_is("on"), "a backslash in a text means something else", f"Set it on {_SERVER}"),
    "session_replication_role": (
        _is("origin"),
        "most triggers do not fire, and so writes go unseen",
        f"Take it away {_ROLE}",
    ),
    "statement_timeout": (
        lambda ms: int(ms) == 0 or int(ms) >= LEAST_STATEMENT_SECONDS * 1000,
        "the night and audits may need longer",
        f"Set 1 minute or more for the pages, 1 hour for workers: a setting {_ROLE}",
    ),
    "transaction_timeout": (_is("0"), "it ends uploads and long audits half-way", f"Take it away {_ROLE}"),
    "lock_timeout": (
        lambda ms: int(ms) == 0 or int(ms) >= 1000,
        "people's writes fail where they would wait for a moment",
        f"Set 5 seconds, or nothing: a setting {_ROLE}",
    ),
    "idle_in_transaction_session_timeout": (
        lambda ms: int(ms) == 0 or int(ms) >= 10_000,
        "it ends transactions that are at work between two statements",
        f"Set 1 minute or more: a setting {_ROLE}",
    ),
    "server_encoding": (_is("UTF8"), "names in other scripts cannot be kept", "Restore a dump into a UTF8 database"),
}
"""What each must be, what happens otherwise, and what to do. Of the roles' own limits, those of this role."""


@check(Part.DATABASE, PAGE)
def settings_of_postgresql() -> Iterator[Finding]:
    """As a session of this role finds them when it begins."""
    for row in queries.dicts("settings", names=list(SETTINGS)):
        is_good, follows, do = SETTINGS[row["name"]]
        if not is_good(row["value"]):
            yield Finding(f"{row['name']} is {row['value']}{row['unit']}: {follows}", do)


@check(Part.DATABASE, PAGE)
def server_takes_writes() -> Iterator[Finding]:
    """Unless this role is one that only reads."""
    [row] = queries.dicts("takes_writes")
    if row["is_standby"]:
        yield Finding("This PostgreSQL is a standby: it takes no writes", "Point DATABASE_URL to the primary")
    elif row["is_read_only"] and row["may_write"]:
        yield Finding(
            "Sessions are read-only (default_transaction_read_only): nothing is entered or recomputed",
            f"Is a disk full? Then take the setting away {_ROLE}",
        )


@check(Part.DATABASE, PAGE)
def connections_are_left() -> Iterator[Finding]:
    """Of the server, of the database and of the role, whichever has the least."""
    for row in queries.dicts("connections"):
        if 0 <= row["most"] < row["used"] + LEAST_FREE_CONNECTIONS:
            yield Finding(
                f"{row['used']} of {row['most']} connections of {row['whose']} are in use: soon somebody gets none",
                f"Raise {row['setting']}, use a pooler, or run fewer processes (each has one or more)",
            )


@check(Part.DATABASE, "docs/configuration.md#behind-a-pooler")
def pooler() -> Iterator[Finding]:
    """By its process ids, which are not PostgreSQL's."""
    if backend_of(connection) != connection.connection.info.backend_pid:
        yield Finding(
            "DATABASE_URL leads through a pooler",
            "Give the relay one that goes past it; everything else may stay",
            Level.NOTE,
        )


@check(Part.DATABASE, PAGE)
def clock_of_postgresql() -> Iterator[Finding]:
    """Expiry turns by PostgreSQL's clock, beat begins nights by this machine's."""
    yield from clock_finding("PostgreSQL", lambda: queries.column("clock_now")[0])


def clock_finding(whose: str, ask: Callable[[], datetime]) -> Iterator[Finding]:
    """Where another clock and ours differ, by more than the asking took."""
    before = datetime.now(UTC)
    theirs = ask()
    after = datetime.now(UTC)
    apart = max(before - theirs, theirs - after, timedelta())
    if apart > MOST_CLOCK_DIFFERENCE:
        way = "ahead of" if theirs > after else "behind"
        yield Finding(
            f"The clock of {whose} is {apart.total_seconds():.0f} seconds {way} that of this machine",
            "Let both machines follow the same time servers (timedatectl, chronyc tracking)",
        )


@check(Part.DATABASE, "docs/decisions/0020-outdated-schema.md")
def schema_is_current() -> Iterator[Finding]:
    """As far as migrations tell."""
    found = schema.look()
    if found.missing:
        yield Finding(
            found.complaint,
            "As license_owner run manage.py migrate, then roles.sql; until then nothing starts",
        )
    elif found.unknown:
        yield Finding(found.complaint, "Finish the upgrade: this machine has the older code", Level.NOTE)


@check(Part.DATABASE, "docs/drift.md#triggers")
def triggers() -> Iterator[Finding]:
    """Each of ours is there, enabled, and what the code says (G8)."""
    for fault in trigger_faults():
        yield Finding(
            str(fault),
            "As license_owner run manage.py pgtrigger install, then manage.py sync_licenses as license_worker",
        )


@check(Part.DATABASE, PAGE)
def constraints_and_indexes() -> Iterator[Finding]:
    """Each is in force for all rows."""
    for row in queries.dicts("not_in_force"):
        if row["kind"] == "index":
            yield Finding(
                f"Index {row['name']} on {row['table']} is invalid: queries pass it by",
                f"REINDEX INDEX CONCURRENTLY {row['name']}, unless it is being made just now",
            )
        else:
            yield Finding(
                f"Constraint {row['name']} on {row['table']} is not validated: older rows may break it",
                f"ALTER TABLE {row['table']} VALIDATE CONSTRAINT {row['name']}, and mend the rows that it names",
            )


@check(Part.DATABASE, PAGE)
def old_transactions() -> Iterator[Finding]:
    """They keep vacuum from the outbox, and locks from others."""
    for row in queries.dicts("old_transactions", longest=LONG_TRANSACTION):
        yield Finding(f"{row['whose']} has had a transaction open for {row['age']}: tables grow meanwhile", row["do"])
    [hidden] = queries.column("hidden_sessions")
    if hidden:
        yield Finding(
            f"PostgreSQL does not tell this role for how long transactions of other roles are open ({hidden} sessions)",
            "Run the doctor with the DATABASE_URL of a member of pg_read_all_stats, such as a superuser, to see them",
            Level.NOTE,
        )


@check(Part.DATABASE, PAGE)
def disk_is_kept_free() -> Iterator[Finding]:
    """How much is free PostgreSQL does not tell; what fills a disk it does."""
    for row in queries.dicts("fills_the_disk"):
        yield Finding(row["what"], row["do"])


@check(Part.DATABASE, PAGE)
def database_is_sound() -> Iterator[Finding]:
    """Checksums, and how near it is to the end of transaction ids."""
    [row] = queries.dicts("health")
    if row["checksum_failures"]:
        yield Finding(
            f"PostgreSQL has read {row['checksum_failures']} damaged pages", "Check the disk; restore from a backup"
        )
    if row["transactions"] > MOST_TRANSACTIONS:
        yield Finding(
            f"It has gone {row['transactions']:,} transactions without a freeze; at some 2,100 million it stops",
            "Run VACUUM as a superuser, and find out why autovacuum does not (old transactions, slots)",
        )


@check(Part.DATABASE, "docs/drills.md#taking-a-backup")
def last_backup() -> Iterator[Finding]:
    """Of those that this database knows of."""
    age = backup.age()
    if age is None:
        yield Finding(
            "No backup of this database is known",
            "systemctl enable --now license-backup.timer; or let another program take them, and look whether it does",
            Level.NOTE,
        )
    elif age > backup.OLD_AFTER:
        yield Finding(
            f"The last backup was begun {age // timedelta(hours=1)} hours ago",
            "journalctl -u license-backup says why; mend that, then systemctl start license-backup",
        )
