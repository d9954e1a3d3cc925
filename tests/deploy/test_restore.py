"""Backup and restore as docs/drills.md says, of a database in which writers write, by real programs of PostgreSQL."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import environ
import psycopg
import pytest
from django.contrib.auth.models import Group, User
from django.db import connection
from pytest_django import DjangoDbBlocker

from api import webhooks
from api.models import Webhook
from django_setup import CHECKOUT
from embedded.binaries import find_postgres_bindir, get_major_version, postgres_bindirs
from embedded.postgres import PostgresServer
from ledger import feed
from ledger.engine import drain
from ledger.models import LicenseBalance, LicenseChange
from license.models import ExportItem, License
from processes import running
from reconcile.guard import State, trigger_faults
from tests.api.receiver import Receiver
from tests.conftest import assert_balances_follow_facts, one, sql
from tests.deploy.operators import Operator, commands
from tests.faults import world

pytestmark = [pytest.mark.long, pytest.mark.timeout(600)]

SEED = 3
NOT_FOLLOWED = 1
"""A license that writers write to, and that nobody recomputes while the dump is taken."""
AT_LEAST = 20
"""Operations of each writer before the dump and after it: it is one of writers at work."""
NO_BROKER = "redis://127.0.0.1:9/0"
NO_DRIFT = " licenses checked, 0 differences"
RIGHTS = """
    SELECT relname, relowner::regrole::text,
        array(SELECT acl::text FROM unnest(relacl) AS acl WHERE acl::text !~ '^license_owner=' ORDER BY 1),
        array(SELECT attname || acl::text FROM pg_attribute, unnest(attacl) AS acl WHERE attrelid = pg_class.oid
            ORDER BY 1)
    FROM pg_class
    WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'S') AND relname <> 'storm_journal'
    ORDER BY relname
"""
"""Of tables: of their owner, a newer PostgreSQL knows one more."""
BALANCE = ("license_id", "balance_cif")
SECURITY = (
    "SELECT proname, prosrc, proacl::text, proowner::regrole::text, proconfig FROM pg_proc WHERE prosecdef ORDER BY 1"
)


@dataclass(frozen=True)
class Dump:
    """A backup, and what is known of where it was taken."""

    path: Path
    server: PostgresServer
    seen: int
    """By those who follow the feed: the last position that was given, after the dump."""
    erp: "Follower"
    """A webhook sends to it, and goes on after the dump."""
    rights: list[Any]


class Follower(Receiver):
    """Keeps balances by what it is sent, as docs/api.md says: passes over what it has seen."""

    def __init__(self) -> None:
        super().__init__()
        self.balances: dict[int, Decimal | None] = {}
        self._seen: set[int] = set()
        self._taken = 0

    def take(self) -> None:
        """What has come since. The same id says the same."""
        for message, event in self.got[self._taken :]:
            assert [same["data"]["items"] for other, same in self.got if other == message].count(
                event["data"]["items"]
            ) == self.ids.count(message)
            for item in event["data"]["items"]:
                if item["position"] not in self._seen:
                    self._seen.add(item["position"])
                    self.balances[item["license_id"]] = item["balance"] and Decimal(item["balance"]["balance_cif"])
        self._taken = len(self.got)

    def list_all(self) -> None:
        """As its owner is told to do after a restore."""
        self.balances = dict.fromkeys(self.balances) | dict(LicenseBalance.objects.values_list(*BALANCE))

    def assert_knows_all(self) -> None:
        known = {license: balance for license, balance in self.balances.items() if balance is not None}
        assert known == dict(LicenseBalance.objects.values_list(*BALANCE))
        assert (self.wrong, self.open_transactions) == ([], 0)


def send_all() -> None:
    """What webhooks are due, and have failed, too."""
    webhooks.resume(Webhook.objects.get())
    while webhooks.send_due():
        pass


def programs() -> list[Path]:
    """Of each PostgreSQL that is here, the oldest first."""
    found = {get_major_version(bindir / "postgres"): bindir for bindir in [*postgres_bindirs(), find_postgres_bindir()]}
    return [found[version] for version in sorted(found) if version >= 15]


@contextmanager
def postgres(folder: Path, bindir: Path) -> Iterator[PostgresServer]:
    folder.mkdir()
    with pytest.MonkeyPatch.context() as patch, ExitStack() as stack:
        patch.setenv("LOCAL_PG_BINDIR", str(bindir))
        lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT)
        stack.callback(os.close, lock)
        yield stack.enter_context(PostgresServer(folder, lock, is_durable=False))


def database(server: PostgresServer, name: str) -> str:
    return urlsplit(server.url)._replace(path=f"/{name}").geturl()


@contextmanager
def looking_at(url: str) -> Iterator[None]:
    """Our code, in this process, uses another database."""
    settings = connection.settings_dict
    before = dict(settings)
    connection.close()
    settings.update({name: value for name, value in environ.Env.db_url_config(url).items() if name != "OPTIONS"})
    try:
        yield
    finally:
        connection.close()
        settings.update(before)


def until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 120
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@contextmanager
def writers(folder: Path, environment: dict[str, str]) -> Iterator[None]:
    with ExitStack() as stack:
        for number in (1, 2):
            process = subprocess.Popen(
                [sys.executable, CHECKOUT / "tests/faults/writer.py", str(SEED), str(number)],
                env={**os.environ, **environment},
                stdin=subprocess.PIPE,
                stdout=stack.enter_context((folder / f"writer {number}.log").open("wb")),
            )
            stack.callback(process.communicate)  # its input ends, and so does it
        yield


@pytest.fixture(scope="module")
def erp() -> Generator[Follower]:
    follower = Follower()
    with follower.up():
        yield follower


@pytest.fixture(scope="module")
def dump(
    tmp_path_factory: pytest.TempPathFactory, django_db_blocker: DjangoDbBlocker, erp: Follower
) -> Generator[Dump]:
    """Of the oldest PostgreSQL that is here, while writers write and a relay follows them."""
    folder = tmp_path_factory.mktemp("installation")
    with postgres(folder / "server", programs()[0]) as server, django_db_blocker.unblock():
        environment = {"DATABASE_URL": server.url, "CELERY_BROKER_URL": NO_BROKER, "CELERY_RESULT_BACKEND": NO_BROKER}
        operator = Operator(server.bindir, **environment, DUMP=str(folder / "dump"))
        operator.types("python manage.py migrate --verbosity=0")
        operator.types('psql "$DATABASE_URL" --quiet --set=ON_ERROR_STOP=1 --file=../deploy/roles.sql')
        relay = [sys.executable, "manage.py", "relay"]
        with psycopg.connect(server.url, autocommit=True) as session, looking_at(server.url):

            def fewest() -> int:
                counts = session.execute("SELECT count(*) FROM storm_journal GROUP BY writer").fetchall()
                return min(count for (count,) in counts) if len(counts) == 2 else 0

            session.execute(world.WORLD)
            rights = session.execute(RIGHTS).fetchall(), session.execute(SECURITY).fetchall()
            drain()
            auditor = User.objects.create_user("erp")
            auditor.groups.add(Group.objects.get(name="auditor"))
            erp.secret = webhooks.add(auditor, erp.url).secret
            erp.list_all()
            with (
                running(relay, folder / "relay.log", environment={**os.environ, **environment}),
                writers(folder, environment),
            ):
                until(lambda: fewest() > AT_LEAST)
                erp.answers = [200, 503]
                send_all()  # the dump has a message whose answer was no
                lock = f"((x'4C62'::bigint << 48) | {NOT_FOLLOWED})"
                session.execute(f"SELECT pg_advisory_lock({lock})")
                session.execute(
                    "UPDATE license_license SET license_expiry_date = '2036-01-01' WHERE id = %s", [NOT_FOLLOWED]
                )
                [take] = commands("Taking a backup")
                operator.types(take)
                session.execute(f"SELECT pg_advisory_unlock({lock})")
                taken = fewest()
                until(lambda: fewest() > taken + AT_LEAST)
            drain()
            send_all()
            erp.take()
            erp.assert_knows_all()
            seen = feed.newest()
        yield Dump(folder / "dump", server, seen, erp, list(rights))


@pytest.fixture(scope="module")
def newest(tmp_path_factory: pytest.TempPathFactory) -> Generator[PostgresServer]:
    """The newest PostgreSQL that is here."""
    with postgres(tmp_path_factory.mktemp("newest") / "server", programs()[-1]) as server:
        yield server


@dataclass(frozen=True)
class Place:
    """Where a dump is restored, and who does it."""

    server: PostgresServer
    url: str
    operator: Operator

    def proves_it(self) -> None:
        """As the page says. What was pending in the snapshot is pending, and all else is right."""
        look, repair = commands("Proving a restore")
        said = self.operator.types(look)
        assert NO_DRIFT in said
        assert "; 0 changes pending" not in said
        assert "Trigger" not in said
        assert f"{NO_DRIFT}; 0 changes pending." in self.operator.types(repair)
        assert_balances_follow_facts()
        assert one("SELECT count(*) FROM reconcile_drift") == 0

    def tells_followers(self, dump: Dump) -> None:
        """Who has seen what came after the dump is told so, or is sent nothing that he would pass over."""
        sent = len(dump.erp.got)
        dump.erp.list_all()
        sql("UPDATE license_exportitem SET cif_fc = cif_fc + 1 WHERE id < 1000000 AND cif_fc > 0")
        drain()
        assert_balances_follow_facts()
        send_all()
        dump.erp.take()
        assert len(dump.erp.got) > sent
        dump.erp.assert_knows_all()
        assert dump.seen < feed.newest()
        assert not feed.is_known(dump.seen)


@pytest.fixture
def place(
    request: pytest.FixtureRequest, dump: Dump, newest: PostgresServer, django_db_blocker: DjangoDbBlocker
) -> Generator[Place]:
    """An empty place on the newest PostgreSQL that is here, or on that of the dump."""
    server = dump.server if getattr(request, "param", "newest") == "same" else newest
    url = database(server, "license_restored")
    maintenance = database(server, "postgres")
    operator = Operator(
        server.bindir, DATABASE_URL=url, SERVER=maintenance, DUMP=str(dump.path), CELERY_BROKER_URL=NO_BROKER
    )
    with django_db_blocker.unblock(), looking_at(url):
        yield Place(server, url, operator)
    with psycopg.connect(maintenance, autocommit=True) as session:
        session.execute("DROP DATABASE IF EXISTS license_restored WITH (FORCE)")


def restore(place: Place) -> None:
    for block in commands("Restoring"):
        place.operator.types(block)


def operations() -> list[world.Operation]:
    """What the writers had committed in the snapshot."""
    done = sql("SELECT writer, number FROM storm_journal ORDER BY writer, number")
    return [world.operation(SEED, *key) for key in done]


@pytest.mark.parametrize("place", ["same", "newest"], indirect=True)
def test_a_dump_while_writers_write_is_restored_and_proven(place: Place, dump: Dump) -> None:
    restore(place)
    assert trigger_faults() == []
    assert [sql(RIGHTS), sql(SECURITY)] == dump.rights
    assert len(operations()) > 2 * AT_LEAST
    assert world.read(sql) == world.foresee(operations())
    assert LicenseChange.objects.filter(license_id=NOT_FOLLOWED).exists()
    place.proves_it()
    # what is written now is followed, with ids of its own
    license = License.objects.create(license_number="0399999999", license_date="2026-01-01")
    ExportItem.objects.create(license=license, cif_fc=7)
    assert LicenseChange.objects.filter(license_id=license.pk).count() == 2
    place.tells_followers(dump)


def test_only_data_leave_triggers_that_are_set_again(place: Place, dump: Dump) -> None:
    migrate, load, install = commands("Restoring only data")
    place.operator.types(migrate)
    sql(f"CREATE TABLE public.storm_journal ({world.JOURNAL})")  # the writers' own, which no migration makes
    place.operator.types(load)
    faults = trigger_faults()
    assert {fault.state for fault in faults} == {State.NOT_ALWAYS}
    assert len(faults) == one("SELECT count(*) FROM pg_trigger WHERE tgname ~ 'pgtrigger_(capture|trail)_'")
    [look, _] = commands("Proving a restore")
    assert f"{State.NOT_ALWAYS}. Every license is suspect" in place.operator.types(look, status=1)
    place.operator.types(install)
    assert trigger_faults() == []
    assert world.read(sql) == world.foresee(operations())
    place.proves_it()
    license = License.objects.create(license_number="0399999999", license_date="2026-01-01")
    assert LicenseChange.objects.filter(license_id=license.pk).count() == 1
    place.tells_followers(dump)


def test_what_somebody_wrote_with_the_triggers_off_is_found_and_repaired(place: Place) -> None:
    restore(place)
    place.proves_it()
    write, look, repair = commands("Somebody wrote with the triggers off")
    place.operator.types(write)
    assert LicenseChange.objects.count() == 0
    said = place.operator.types(look, status=1)
    assert "on license_exportitem: not for the replica role" in said
    assert "0000000007" in said
    assert "trigger" in said
    said = place.operator.types(repair)
    assert f"{NO_DRIFT}; 0 changes pending." in said
    assert_balances_follow_facts()
    assert trigger_faults() == []
    # of a copy that is only looked at, nobody is told
    [pause] = commands("A copy to look at")
    place.operator.types(pause)
    sql("UPDATE api_webhook SET next_try_at = now()")
    assert Webhook.objects.get().position < feed.newest()
    assert webhooks.send_due() == 0
