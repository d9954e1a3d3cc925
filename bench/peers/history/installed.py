"""Puts django-pghistory's tables and triggers into the database, and switches its triggers on and off."""

import pgtrigger
from django.apps import apps
from django.db import connection
from pghistory.trigger import Event

TRIGGERS = [(model, trigger) for model, trigger in pgtrigger.registered() if isinstance(trigger, Event)]
MODELS = list(apps.get_app_config("history").get_models())
TABLES = [model._meta.db_table for model in MODELS]


def install() -> None:
    """Its triggers are off."""
    with connection.schema_editor() as editor:
        for model in MODELS:
            editor.create_model(model)
    for model, trigger in TRIGGERS:
        trigger.install(model)
    enable(is_on=False)


def enable(*, is_on: bool) -> None:
    for model, trigger in TRIGGERS:
        (trigger.enable if is_on else trigger.disable)(model)
