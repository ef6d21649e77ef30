"""Tests of how answers of the store are joined and cut."""
