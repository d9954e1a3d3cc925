"""A private PostgreSQL and a private Redis in a folder of the checkout. The way in is `servers.py`, one level up."""
