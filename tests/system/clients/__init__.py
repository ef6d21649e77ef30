"""Clients that others wrote, as they come, against the running system."""
