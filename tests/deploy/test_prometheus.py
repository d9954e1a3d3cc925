"""A real Prometheus, set up as docs/monitoring.md says, reads the real pages: of a sound installation it tells nobody
anything, of a broken one everything that is broken."""

import json
import re
import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from urllib.request import urlopen

import pytest
import redis
from django.conf import settings
from django.contrib.auth.models import User
from django.core.management import call_command
from django.db import connection

from embedded.server import find_free_port
from ledger.engine import drain
from ledger.tally import add_up
from processes import pages, relay, running
from reconcile import night
from reconcile.models import RunTrigger
from servers import Servers
from tests.acceptance.conftest import until
from tests.conftest import sql
from tests.deploy.conftest import program
from tests.deploy.test_monitoring import ALERTS, DASHBOARD, DOCUMENT, PROMETHEUS, names_of
from tests.deploy.test_settings import EXAMPLE
from tests.engine.sessions import failing, make_licenses
from tests.monitor.conftest import TOKEN
from tests.roles import url_of

OFTEN = "global: {scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 500ms}\n"
OF_SERVERS = {"NotScraped", "DatabaseAway", "BrokerAway"}
STAYS = "BalancesSlow"
"""It is about half an hour."""
QUERIES = [target["expr"] for panel in DASHBOARD["panels"] for target in panel.get("targets", ())]
LAST_CHUNK = "NEW.first_license_id > 2 AND NEW.finished_at IS NOT NULL"


class Prometheus:
    """What one asks of it."""

    def __init__(self, port: int) -> None:
        self._url = f"http://127.0.0.1:{port}/api/v1"

    def ask(self, path: str, **parameters: str) -> Any:
        """Raises HTTPError, with what it says, where it refuses a question."""
        with urlopen(f"{self._url}/{path}?{urlencode(parameters)}") as answer:  # noqa: S310
            said = json.load(answer)
        assert said["status"] == "success"
        assert not said.get("warnings")
        return said["data"]

    def yields(self, expression: str) -> bool:
        return bool(self.ask("query", query=expression)["result"])

    def tells(self, alerts: set[str]) -> None:
        """Of these, and no others, once it has seen how things are."""
        firing: set[str] = set()

        def is_so() -> bool:
            firing.clear()
            firing.update(self.firing())
            return firing == alerts

        with suppress(AssertionError):
            until(is_so, "it tells of them")
        assert firing == alerts

    def firing(self) -> set[str]:
        """By rules that were looked at after what has been scraped by now."""
        now = self.ask("query", query="time()")["result"][0]
        until(lambda: all(moment > now for moment in self._moments()), "it scrapes, and looks at each rule")
        return {alert["labels"]["alertname"] for alert in self.ask("alerts")["alerts"] if alert["state"] == "firing"}

    def _moments(self) -> Iterator[float]:
        for target in self.ask("targets")["activeTargets"]:
            yield datetime.fromisoformat(target["lastScrape"]).timestamp()
        for group in self.ask("rules")["groups"]:
            for rule in group["rules"]:
                assert rule["health"] in ("ok", "unknown"), rule
                yield datetime.fromisoformat(rule["lastEvaluation"]).timestamp() - 2


@contextmanager
def alertmanager() -> Generator[tuple[int, dict[str, Any]]]:
    """Takes what Prometheus sends where people would be told: its port, and each alert by its name."""
    told: dict[str, Any] = {}

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            sent = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            told.update((alert["labels"]["alertname"], alert) for alert in sent)
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.1})
    thread.start()
    try:
        yield server.server_port, told
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def configure(folder: Path, **places: str) -> Path:
    """The configuration of the document, word for word but for places, in a hurry; and its rules, which wait for
    nothing."""
    [block] = [found for found in re.findall(r"```yaml\n(.*?)```", DOCUMENT, re.DOTALL) if "scrape_configs:" in found]
    rules = (PROMETHEUS / "alerts.yml").read_text()
    (folder / "alerts.yml").write_text(re.sub(r"^( +for: )\w+$", r"\g<1>0s", rules, flags=re.MULTILINE))
    (folder / "token").write_text(TOKEN)
    for theirs, ours in {
        "/etc/prometheus/license-balances.token": f"{folder}/token",
        "127.0.0.1:8000": places["web"],
        "localhost:9093": places["alertmanager"],
    }.items():
        assert block.count(theirs) == 1, theirs
        block = block.replace(theirs, ours)
    (folder / "prometheus.yml").write_text(OFTEN + block)
    return folder / "prometheus.yml"


@pytest.fixture
def web(database: None, tmp_path: Path) -> Generator[tuple[int, Callable[[], None]]]:
    """The pages, with the rights and the hosts that they have in an installation: their port, and what ends them."""
    port = find_free_port()
    [hosts] = re.findall(r"^ALLOWED_HOSTS=(.+)", EXAMPLE.read_text(), re.MULTILINE)
    environment = {
        "ALLOWED_HOSTS": hosts, "SECRET_KEY": settings.SECRET_KEY, "METRICS_TOKEN": TOKEN,
        "DATABASE_URL": url_of("license_web"),
    }  # fmt: skip
    with ExitStack() as stack:
        stack.enter_context(pages(port, "pages.log", tmp_path, environment))
        until(lambda: "Listening at" in (tmp_path / "pages.log").read_text(), "the pages are up")
        yield port, stack.close


def make_it_sound() -> None:
    """A night has been, beat is up, and a program follows."""
    make_licenses(4)
    drain()
    night.work(night.start(RunTrigger.NIGHT, batch_size=2))
    sql("INSERT INTO reconcile_backup (began_at, size_bytes, file) VALUES (now(), 1, 'x')")
    erp = User.objects.create(username="erp")
    sql("INSERT INTO api_webhook (user_id, url, secret, position) VALUES (%s, 'x', 'x', 0)", erp.pk)
    add_up()


def break_everything() -> None:
    """But the servers. One trouble for each alert, as it comes about, but for the time that it has lasted."""
    sql("UPDATE reconcile_reconciliationrun SET business_date = business_date - 2")
    sql("SET session_replication_role = replica")
    sql("UPDATE ledger_licensebalance SET balance_cif = 1 WHERE license_id = 1")
    sql("RESET session_replication_role")
    with failing("reconcile_reconciliationchunk", LAST_CHUNK, "XX000"):  # DriftFound, RunIncomplete
        night.work(night.start(RunTrigger.NIGHT, batch_size=2))
    sql("UPDATE reconcile_reconciliationrun SET business_date = business_date - 1")  # NightOwed
    sql("UPDATE reconcile_reconciliationrun SET mail_error = 'refused'")  # ReportNotMailed
    night.start(RunTrigger.MANUAL)
    sql("UPDATE reconcile_reconciliationrun SET started_at = started_at - interval '4 hours' WHERE trigger = 'manual'")
    with failing("ledger_licensebalance", "NEW.license_id = 2", "22003"):  # LicensesQuarantined
        sql("UPDATE license_exportitem SET cif_fc = 7 WHERE license_id = 2")
        drain()
    sql("SET ledger.engine = 'on'")
    sql("INSERT INTO ledger_balancehistory (license_id, changed_at, sources, first_change_at) "  # BalancesSlow
        "SELECT 1, now(), '{x}', now() - interval '5 s' FROM generate_series(1, 100)")  # fmt: skip
    sql("RESET ledger.engine")
    sql("UPDATE reconcile_backup SET began_at = began_at - interval '2 days'")  # BackupOld
    sql("UPDATE api_webhook SET failing_since = now() - interval '2 hours'")  # WebhookFails
    sql("INSERT INTO ledger_upload (form, uploaded_by, state, asked_at) "  # UploadWaits
        "VALUES (gen_random_uuid(), 'asha', 'load', now() - interval '1 hour')")  # fmt: skip
    sql("UPDATE license_exportitem SET cif_fc = 8 WHERE license_id = 4")  # BalancesWait
    sql("UPDATE ledger_licensechange SET created_at = created_at - interval '5 minutes'")
    sql("UPDATE ledger_tally SET counted_at = counted_at - interval '1 hour'")  # BeatSilent
    sql("ALTER TABLE license_exportitem DISABLE TRIGGER USER")  # TriggersAtFault, TrailAtFault


@pytest.mark.long
def test_prometheus_tells_what_is_wrong_and_nothing_else(
    web: tuple[int, Callable[[], None]], live_servers: Servers, tmp_path: Path
) -> None:
    port, end_the_pages = web
    api_port = find_free_port()
    make_it_sound()
    with ExitStack() as stack:
        redis_client = stack.enter_context(redis.Redis.from_url(live_servers.broker_url))
        receiver_port, told = stack.enter_context(alertmanager())
        the_relay = stack.enter_context(ExitStack())
        the_relay.enter_context(relay("relay.log", tmp_path))
        until(lambda: bool(sql("SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND objid = 2")), "the relay is up")
        places = {"web": f"127.0.0.1:{port}", "alertmanager": f"127.0.0.1:{receiver_port}"}
        command = [
            program("prometheus", "prometheus"), f"--config.file={configure(tmp_path, **places)}",
            f"--storage.tsdb.path={tmp_path}/data", f"--web.listen-address=127.0.0.1:{api_port}",
        ]  # fmt: skip
        stack.enter_context(running(command, tmp_path / "prometheus.log"))
        until(lambda: "Server is ready" in (tmp_path / "prometheus.log").read_text(), "Prometheus is up")
        prometheus = Prometheus(api_port)
        until(lambda: prometheus.yields("lbe_relays"), "it has read the metrics")
        assert prometheus.firing() == set()

        the_relay.close()
        redis_client.rpush("reconcile", *["x"] * 101)  # QueueNotEmptied
        break_everything()
        try:
            prometheus.tells({alert["alert"] for alert in ALERTS} - OF_SERVERS)
            there = set(prometheus.ask("label/__name__/values"))
            for query in QUERIES:
                assert prometheus.yields(query), query
                assert all(any(name.startswith(asked) for name in there) for asked in names_of(query))
            for alert in ALERTS:
                assert prometheus.yields(alert["expr"]) == (alert["alert"] not in OF_SERVERS), alert["expr"]
        finally:
            redis_client.delete("reconcile")
            call_command("pgtrigger", "install")
            User.objects.all().delete()

        live_servers.redis.stop()
        live_servers.postgres.stop()
        try:
            prometheus.tells({"DatabaseAway", "BrokerAway", STAYS})
        finally:
            live_servers.postgres.start()
            live_servers.redis.start()
            connection.close()
        end_the_pages()
        prometheus.tells({"NotScraped", STAYS})
        until(lambda: told.keys() == {alert["alert"] for alert in ALERTS}, "people are told")
        for alert in ALERTS:
            sent = told[alert["alert"]]
            assert sent["labels"]["severity"] == alert["labels"]["severity"]
            assert "{{" not in sent["annotations"]["description"]
