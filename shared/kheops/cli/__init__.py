"""The part of the ``kheops`` command line that speaks to a running installation, and to nothing behind it."""
