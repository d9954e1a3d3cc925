"""Formats of this trade, for Django to find."""
