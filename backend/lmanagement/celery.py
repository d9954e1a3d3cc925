"""The Celery app. `celery -A lmanagement worker` consumes every queue, recomputes first."""

import os

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "lmanagement.settings")

app = Celery("lmanagement")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
