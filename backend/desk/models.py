"""What the pages remember for all people. Facts and balances are not theirs."""

from django.db import models


class RunRequest(models.Model):
    """When people have last asked a worker for a run: one row. Who asks holds it locked meanwhile."""

    asked_at = models.DateTimeField()
    newest_run = models.BigIntegerField(help_text="Id of the newest run then; 0: none.")

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return f"asked for at {self.asked_at}, after run {self.newest_run}"
