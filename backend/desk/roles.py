"""Who may do what: four groups, made by a migration, that an administrator puts people into.

A group has permissions and nothing else; pages ask for the permission, never for the group.
"""

FACTS = (
    "license.company", "license.port", "license.hscode", "license.sionnorm", "license.itemname", "license.matchrule",
    "license.license", "license.exportitem", "license.importitem", "ledger.billofentry", "ledger.billofentryline",
    "ledger.allotment", "ledger.allotmentline", "ledger.allotmentrelease",
)  # fmt: skip
BALANCES = ("ledger.licensebalance", "ledger.importitembalance")
EVIDENCE = (
    "ledger.balancehistory", "ledger.quarantine", "ledger.overdraw", "reconcile.reconciliationrun", "reconcile.drift",
    "reconcile.finding", "ledger.upload", "ledger.settlement", "ledger.trailstatement",
)  # fmt: skip
"""What tells whether a balance can be relied on, and how it came about."""
RUN = "reconcile.reconciliationrun"
"""To add one is to ask for it; the engine does the rest."""
UPLOAD = "ledger.upload"
"""Who may add one may confirm and reject all of them; the loader does the rest."""
SETTLEMENT = "ledger.settlement"
"""Who may add one may settle what differs from customs' ledgers; to take out a debit is to delete it."""
PEOPLE = ("auth.user", "auth.group")
TOKEN = "api.token"  # noqa: S105
WEBHOOK = "api.webhook"
"""Who may look after people looks after their programs: to change one is to pause or resume it."""

ROLES: dict[str, dict[str, tuple[str, ...]]] = {
    "viewer": {"view": (*FACTS, *BALANCES)},
    "operator": {"view": (*FACTS, *BALANCES, *EVIDENCE), "add": (*FACTS, RUN, UPLOAD, SETTLEMENT), "change": FACTS},
    "auditor": {"view": (*FACTS, *BALANCES, *EVIDENCE)},
    "administrator": {
        "view": (*FACTS, *BALANCES, *EVIDENCE, *PEOPLE, TOKEN, WEBHOOK),
        "add": (*FACTS, RUN, UPLOAD, SETTLEMENT, *PEOPLE),
        "change": (*FACTS, *PEOPLE, WEBHOOK),
        "delete": (*FACTS, *PEOPLE, TOKEN, WEBHOOK),
        "overdraw": ("ledger.allotment",),
    },
}
"""By group: what it may do with which models."""


def permissions(role: str) -> set[tuple[str, str]]:
    """App and codename of every permission of a role."""
    return {
        (app, f"{action}_{model}")
        for action, models in ROLES[role].items()
        for app, _, model in (name.partition(".") for name in models)
    }
