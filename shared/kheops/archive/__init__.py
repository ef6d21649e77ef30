"""The DICOM store behind us: the port and its adapters."""
