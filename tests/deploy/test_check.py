"""`manage.py check --deploy`: nothing to say of a sound environment, and one sentence for each thing that is wrong."""

import re

import pytest

from tests.acceptance.conftest import manage

SOUND = {
    "SECRET_KEY": "q7Vt-2fKx_9LwPzR4mBnC8sHdY3aGjE6uT0vQ1oXiN5kMpWe-8Zr3JyD",
    "ALLOWED_HOSTS": "desk.example.com",
    "REPORT_RECIPIENTS": "desk@example.com",
    "EMAIL_URL": "smtp+tls://user:password@mail.example.com:587",
    "DEFAULT_FROM_EMAIL": "licenses@example.com",
    "TRUSTED_PROXY": "127.0.0.1",
}


def said(**environment: str) -> dict[str, str]:
    """The messages, by their ids. None is an error: the exit status is 0 all the same."""
    done = manage("check", "--deploy", **(SOUND | environment))
    assert done.returncode == 0, done.stderr
    return dict(re.findall(r"^\S+ \((\S+)\) (.*)$", done.stderr, re.MULTILINE))


def test_of_a_sound_environment_it_says_nothing() -> None:
    done = manage("check", "--deploy", "--fail-level", "INFO", **SOUND)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("System check identified no issues (")


def test_all_that_is_wrong_is_told_in_a_sentence_each() -> None:
    assert said(
        SECRET_KEY="",
        ALLOWED_HOSTS="localhost,127.0.0.1",
        HTTPS="false",
        DEBUG="true",
        CELERY_TIMEZONE="America/New_York",
        DEFAULT_FROM_EMAIL="license-manager@localhost",
    ) == {
        "license.W001": "SECRET_KEY is not set: the pages do not start, and other processes make up one each.",
        "license.W002": "ALLOWED_HOSTS is localhost,127.0.0.1: from another machine nobody reaches the pages.",
        "license.W003": "HTTPS is false: who listens on the network gets passwords and sessions.",
        "license.W004": "Beat begins the night at 04:00 or 05:00 in India, not at midnight.",
        "license.W005": "The report is mailed from license-manager@localhost, which most mail servers refuse.",
        "security.W018": "You should not have DEBUG set to True in deployment.",
    }  # fmt: skip


def test_keys_and_hosts_that_only_look_set_are_told() -> None:
    assert sorted(said(SECRET_KEY="x" * 49, ALLOWED_HOSTS="*", CELERY_TIMEZONE="Asia/Kolkata")) == [
        "license.W002", "license.W004", "security.W009",
    ]  # fmt: skip


@pytest.mark.parametrize("command", [["check", "--deploy"], ["doctor"]])
def test_mail_without_a_server_is_refused_by_every_command(command: list[str]) -> None:
    done = manage(*command, **(SOUND | {"EMAIL_URL": ""}))
    assert (done.returncode, done.stdout) == (2, "")
    [line] = done.stderr.splitlines()
    assert "REPORT_RECIPIENTS wants mail: EMAIL_URL must say through which server it goes" in line
