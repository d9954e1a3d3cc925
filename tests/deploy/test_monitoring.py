"""Alerts, dashboard and document know the metrics that there are, and no others."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from django.contrib.auth.models import User

from django_setup import CHECKOUT
from doctor import balances
from ledger.engine import drain
from reconcile import backup, night
from reconcile.audit import NO_DRIFT, Cause
from reconcile.models import RunTrigger
from tests.conftest import sql
from tests.deploy.conftest import program
from tests.engine.sessions import make_licenses
from tests.monitor.conftest import Scrape, scrape

__all__ = ["scrape"]

PROMETHEUS = CHECKOUT / "deploy" / "prometheus"
ALERTS = yaml.safe_load((PROMETHEUS / "alerts.yml").read_text())["groups"][0]["rules"]
TESTED = yaml.safe_load((PROMETHEUS / "alerts_test.yml").read_text())["tests"]
DASHBOARD = json.loads((CHECKOUT / "deploy" / "grafana" / "license-balance.json").read_text())
DOCUMENT = (CHECKOUT / "docs" / "monitoring.md").read_text()
NAME = re.compile(r"\b(?:lbe_\w+|up)\b")
OF_THE_HISTOGRAM = re.compile(r"(?<=_latency_seconds)_(?:bucket|count|sum)$")


@pytest.fixture
def promtool() -> str:
    return program("promtool", "prometheus")


@pytest.fixture
def metrics(scrape: Scrape) -> dict[str, set[str]]:
    """Every metric of an installation in which something of each kind has happened, with the names of its labels."""
    make_licenses(1)
    drain()
    night.work(night.start(RunTrigger.NIGHT))
    sql("INSERT INTO reconcile_backup (began_at, size_bytes, file) VALUES (now(), 1, 'x')")
    erp = User.objects.create(username="erp")
    sql("INSERT INTO api_webhook (user_id, url, secret, position) VALUES (%s, 'x', 'x', 0)", erp.pk)
    said = scrape()
    erp.delete()
    found: dict[str, set[str]] = {}
    for sample in said:
        name, _, labels = sample.partition("{")
        found.setdefault(OF_THE_HISTOGRAM.sub("", name), set()).update(re.findall(r"(\w+)=", labels))
    return found


def names_of(expression: str) -> set[str]:
    """The metrics of a query, without what is in quotes."""
    found = NAME.findall(re.sub(r'"[^"]*"', "", expression))
    return {OF_THE_HISTOGRAM.sub("", name) for name in found}


def test_the_document_lists_every_metric_with_its_labels(metrics: dict[str, set[str]]) -> None:
    rows = re.findall(r"^\| `(lbe_\w+)` \| (.*?) \|", DOCUMENT, re.MULTILINE)
    listed = {name: set(re.findall(r"(?:^|; )`(\w+)`", labels)) for name, labels in rows}
    assert listed == metrics
    assert len(rows) == len(listed)


def test_alerts_ask_for_metrics_and_labels_that_there_are(metrics: dict[str, set[str]]) -> None:
    asked = set.union(*(names_of(alert["expr"]) for alert in ALERTS))
    assert asked - {"up"} <= metrics.keys()
    for alert in ALERTS:
        for name, labels in re.findall(r"(lbe_\w+)\{([^}]*)\}", alert["expr"]):
            assert set(re.findall(r"(\w+)(?:=|!)", labels)) <= metrics[OF_THE_HISTOGRAM.sub("", name)]


def test_the_alert_of_drift_and_the_doctor_pass_over_the_same_causes() -> None:
    [expression] = [alert["expr"] for alert in ALERTS if alert["alert"] == "DriftFound"]
    passed_over = re.findall(r'cause!~"([^"]*)"', expression)[0].split("|")
    assert {*passed_over, *NO_DRIFT} == {*balances.EXPLAINED}
    assert {*passed_over} == {Cause.MISSED_EXPIRY, Cause.QUARANTINED, Cause.OLDER_RULES}


def test_the_alert_of_backups_and_the_doctor_wait_equally_long() -> None:
    [expression] = [alert["expr"] for alert in ALERTS if alert["alert"] == "BackupOld"]
    assert expression.endswith(f" > {backup.OLD_AFTER.total_seconds():.0f}")


def test_every_alert_is_told_in_words_and_has_a_runbook() -> None:
    headings = re.findall(r"^### (.+)$", DOCUMENT.partition("## Alerts")[2], re.MULTILINE)
    anchors = {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-"): heading for heading in headings}
    linked = set()
    for alert in ALERTS:
        told = alert["annotations"]
        assert told.keys() == {"summary", "description", "runbook_url"}
        page, _, anchor = told["runbook_url"].partition("#")
        assert page == "docs/monitoring.md"
        book = DOCUMENT.partition(f"### {anchors[anchor]}\n")[2].partition("\n###")[0]
        assert book.startswith(f"`{alert['alert']}`, {alert['labels']['severity']}.")
        assert [part for part in ("*For a trader*", "*See*", "*Do*") if part in book] == [
            "*For a trader*", "*See*", "*Do*",
        ]  # fmt: skip
        linked.add(anchor)
    assert linked == anchors.keys()


def test_every_alert_is_tested_to_fire_and_not_to() -> None:
    tests = [test for each in TESTED for test in each["alert_rule_test"]]
    alerts = {alert["alert"] for alert in ALERTS}
    assert {test["alertname"] for test in tests if test.get("exp_alerts")} == alerts
    assert {test["alertname"] for test in tests if not test.get("exp_alerts")} == alerts


def test_promtool_is_content(promtool: str) -> None:
    subprocess.run([promtool, "check", "rules", "alerts.yml"], cwd=PROMETHEUS, check=True)
    subprocess.run([promtool, "test", "rules", "alerts_test.yml"], cwd=PROMETHEUS, check=True)


def test_promtool_would_find_a_wrong_rule(promtool: str, tmp_path: Path) -> None:
    for file in PROMETHEUS.glob("*.yml"):
        shutil.copy(file, tmp_path)
    rules = (PROMETHEUS / "alerts.yml").read_text()
    (tmp_path / "alerts.yml").write_text(rules.replace("lbe_beat_age_seconds) > 300", "lbe_beat_age_seconds) > 3000"))
    assert subprocess.run([promtool, "test", "rules", "alerts_test.yml"], cwd=tmp_path).returncode


def test_promtool_is_content_with_what_is_told(promtool: str, scrape: Scrape) -> None:
    """Its linter knows how metrics are named and typed."""
    from prometheus_client.exposition import generate_latest

    from monitor.metrics import REGISTRY

    subprocess.run([promtool, "check", "metrics"], input=generate_latest(REGISTRY), check=True)


def test_the_dashboard_asks_for_metrics_that_there_are_and_shows_each(metrics: dict[str, set[str]]) -> None:
    panels = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
    queries = [target["expr"] for panel in panels for target in panel["targets"]]
    assert all(names_of(query) and names_of(query) <= metrics.keys() for query in queries)
    assert set.union(*map(names_of, queries)) == metrics.keys()
    assert all(panel["title"] and panel["description"] for panel in panels)
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
