"""django-pghistory on the tables of the trail (ledger/trail.py): an app of its own, which other parts do without."""
