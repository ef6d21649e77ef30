"""Handlers of the control plane."""
