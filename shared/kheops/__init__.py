"""An authorization and sharing layer before a DICOMweb store."""
