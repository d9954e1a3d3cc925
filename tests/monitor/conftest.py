"""What Prometheus reads."""

import itertools
from collections.abc import Callable

import pytest
from django.test import Client
from prometheus_client.parser import text_string_to_metric_families
from pytest_django import Settings

TOKEN = "as-random-as-a-token-can-be"  # noqa: S105
Scrape = Callable[[], dict[str, float]]


def scrape_of(text: str) -> dict[str, float]:
    """Every value by its name, with its labels as Prometheus writes them."""
    found = {}
    for sample in itertools.chain.from_iterable(family.samples for family in text_string_to_metric_families(text)):
        labels = ",".join(f'{name}="{value}"' for name, value in sorted(sample.labels.items()))
        found[f"{sample.name}{{{labels}}}" if labels else sample.name] = sample.value
    return found


@pytest.fixture
def scrape(database: None, settings: Settings) -> Scrape:
    settings.METRICS_TOKEN = TOKEN
    client = Client(headers={"Authorization": f"Bearer {TOKEN}"})

    def read() -> dict[str, float]:
        answer = client.get("/metrics")
        assert answer.status_code == 200
        return scrape_of(answer.content.decode())

    return read
