"""Tests of what callers may read: searches and retrieval."""
