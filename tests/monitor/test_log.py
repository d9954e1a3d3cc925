"""Lines of the log as JSON, of requests."""

import io
import json
import logging
from collections.abc import Iterator

import pytest
from django.contrib.auth.models import User
from django.http import HttpResponse
from django.test import Client, RequestFactory
from django.utils.functional import SimpleLazyObject

from monitor.log import JsonLines, Requests

logger = logging.getLogger("tests.log")


@pytest.fixture
def written() -> Iterator[io.StringIO]:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonLines())
    for each in (logger, logging.getLogger("django.request")):
        each.addHandler(handler)
    yield stream
    for each in (logger, logging.getLogger("django.request")):
        each.removeHandler(handler)


def test_a_line_is_one_object_whatever_it_says(written: io.StringIO) -> None:
    logger.warning('%s "x"\n\u2028%s', "über", {"a"}, extra={"license": ["0310000001"], "password": "x"})
    assert written.getvalue().count("\n") == 1
    said = json.loads(written.getvalue())
    del said["time"]
    assert said == {
        "level": "WARNING", "logger": "tests.log", "message": 'über "x"\n\u2028{\'a\'}', "license": ["0310000001"],
    }  # fmt: skip


def test_a_traceback_is_in_its_line(written: io.StringIO) -> None:
    try:
        int("no such thing")
    except ValueError:
        logger.exception("it failed")
    said = json.loads(written.getvalue())
    assert said["exception"].startswith("Traceback")
    assert said["exception"].endswith("base 10: 'no such thing'")


@pytest.mark.parametrize(
    ("sent", "is_kept"), [("a-1.b_C", True), ("", False), ("a b", False), ("x" * 65, False), ("é", False)]
)
def test_a_request_has_the_id_of_the_proxy_or_one_of_its_own(written: io.StringIO, sent: str, is_kept: bool) -> None:
    answer = Client(headers={"X-Request-ID": sent}).get("/health/live")
    assert (answer["X-Request-ID"] == sent) == is_kept
    assert len(answer["X-Request-ID"]) == (len(sent) if is_kept else 32)


def test_lines_of_a_request_name_it_and_its_user_and_later_ones_do_not(written: io.StringIO) -> None:
    def view(request: object) -> object:
        request.user = User(username="meera")
        logger.warning("within")
        raise RuntimeError

    with pytest.raises(RuntimeError):
        Requests(view)(RequestFactory().get("/licenses/?q=secret", headers={"X-Request-ID": "r1"}))
    logger.warning("after")
    within, after = map(json.loads, written.getvalue().splitlines())
    about = {key: within[key] for key in ("request_id", "method", "path", "user")}
    assert about == {"request_id": "r1", "method": "GET", "path": "/licenses/", "user": "meera"}
    assert after.keys() == {"time", "level", "logger", "message"}


def test_a_line_of_a_page_asks_nobody_who_the_user_is(database: None, written: io.StringIO) -> None:
    def view(request: object) -> HttpResponse:
        request.user = SimpleLazyObject(lambda: pytest.fail("it was asked for"))
        logger.warning("within")
        return HttpResponse()

    Requests(view)(RequestFactory().get("/", headers={"X-Request-ID": "r2"}))
    assert Client(headers={"X-Request-ID": "r2"}).get("/metrics").status_code == 404
    lines = [json.loads(line) for line in written.getvalue().splitlines()]
    assert [(line["request_id"], "user" in line) for line in lines] == [("r2", False)] * 2
