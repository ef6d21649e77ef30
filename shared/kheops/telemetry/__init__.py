"""Traces and metrics: what there is to tell, and its way to a collector. Off, nothing of it is imported."""
