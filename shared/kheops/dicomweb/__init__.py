"""The DICOMweb protocol as pure functions and incremental readers."""
