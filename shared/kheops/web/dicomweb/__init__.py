"""Handlers of the data plane."""
