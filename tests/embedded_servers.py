"""A pytest plugin: private servers for the whole session, named in the environment before Django reads its settings.

They are always our own, whatever the environment says: tests must never reach a database that somebody needs.
"""

import os
from contextlib import ExitStack

import pytest

from servers import Servers, temporary_servers

_stack = ExitStack()
LIVE = pytest.StashKey[Servers]()


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> None:
    live = _stack.enter_context(temporary_servers())
    early_config.stash[LIVE] = live
    os.environ["DATABASE_URL"] = live.database_url
    os.environ["CELERY_BROKER_URL"] = os.environ["CELERY_RESULT_BACKEND"] = live.broker_url
    # much of what a worker takes to start, and the same each time: test_celery_page.py starts some that do
    os.environ["CELERY_SKIP_CHECKS"] = "true"


@pytest.hookimpl(trylast=True)
def pytest_unconfigure() -> None:
    _stack.close()


@pytest.fixture(scope="session")
def live_servers(pytestconfig: pytest.Config) -> Servers:
    """The servers of this session: their URLs, and handles to stop and start them."""
    return pytestconfig.stash[LIVE]
