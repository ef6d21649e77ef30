"""The `kheops` command line and scheduled work."""
