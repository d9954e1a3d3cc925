"""The settings, with the peers' app and django-computedfields besides."""

from lmanagement.settings import *  # noqa: F403
from lmanagement.settings import INSTALLED_APPS as OURS

INSTALLED_APPS = [*OURS, "computedfields", "peers"]
COMPUTEDFIELDS_FASTUPDATE = True  # as its documentation recommends for many updates
