"""How this project installs triggers with django-pgtrigger: with their owner's rights, and not to be ignored."""

from typing import Any

import pgtrigger
from pgtrigger import compiler

from ledger.sql import load


class OwnerTriggerSql(compiler.UpsertTriggerSql):
    """A trigger as sql/install_trigger.sql installs it. Migrations name this class."""

    enable = "ENABLE"
    enabled_as = "O"  # in pg_trigger.tgenabled
    condition = ""
    """Under which it fires; empty: always."""

    def get_template(self) -> str:
        return load("install_trigger").replace("{enable}", self.enable)


class AlwaysTriggerSql(OwnerTriggerSql):
    """The same, and it fires for `session_replication_role = replica` too. Migrations name this class."""

    enable = "ENABLE ALWAYS"
    enabled_as = "A"


class OutermostTriggerSql(OwnerTriggerSql):
    """The same, but what other triggers write does not call it. Migrations name this class."""

    condition = "(pg_trigger_depth() = 0)"

    def get_template(self) -> str:
        return super().get_template().replace("FOR EACH {level} ", f"FOR EACH {{level}} WHEN ({self.condition}) ")


class OwnerTrigger(pgtrigger.Trigger):
    """A statement-level trigger."""

    level = pgtrigger.Statement
    sql: type[OwnerTriggerSql] = OwnerTriggerSql

    def compile(self, model: Any) -> compiler.Trigger:
        return compiler.Trigger(name=self.name, sql=self.sql_for(model))

    def sql_for(self, model: Any) -> OwnerTriggerSql:
        """What installs the trigger on the table of a model."""
        return self.sql(**super().compile(model).sql.kwargs)


class AlwaysTrigger(OwnerTrigger):
    """A statement-level trigger that no setting of a session silences."""

    sql = AlwaysTriggerSql


class OutermostTrigger(OwnerTrigger):
    """A statement-level trigger for what no trigger has written."""

    sql = OutermostTriggerSql
