"""The settings, with django-pghistory besides."""

from lmanagement.settings import *  # noqa: F403
from lmanagement.settings import INSTALLED_APPS as OURS

INSTALLED_APPS = [*OURS, "pghistory", "peers.history"]
