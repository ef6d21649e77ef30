"""A stand-in for DCM4CHEE (dcm4chee-arc-light 5.3x), with those of its habits that differ from the standard.

No DCM4CHEE runs where the tests do. Each habit has its source, a file of dcm4che/dcm4chee-arc-light unless it says
otherwise, and its test in ``tests/local/test_dcm4chee_fake.py``.

========================================================================================== ===========================
habit                                                                                      source
========================================================================================== ===========================
a UID of a path or query is a pattern; ``*`` retrieves everything                          QueryBuilder
an empty search is 204; ``limit`` is 1 to 99999; the shipped cap is 1000, told by Warning  QidoRS
an unknown keyword is 400 (``_charset_`` too); known but unsupported keys are ignored      QueryAttributes
``includedefaults=false`` and ``includefield`` choose attributes; RetrieveURL is always in QidoRS
no order of its own: pages come in the order of a hash                                     QidoRS
parameters of a store request are written over the data                                    StowRS
a SOP Instance UID that is known anywhere is dropped and listed as stored                  StoreServiceEJB
a rejected one sent again: 113001 dropped and listed, 113039 restored, others 0xA771       RejectionNote
an unreadable part is 0xC499 under an invented UID; 200, 202 or 409                        StowRS
an issuer is added to a Patient ID; with equal issuers patients merge, the first name wins StoreServiceImpl
what is retrieved is overlaid with that, but through AS_RECEIVED, which shows rejected too default-config.ldif
an instance is multipart only; octets mean decompressed; frames beyond the last are 206    WadoRS
without transfer-syntax: Explicit VR Little Endian; one that is not there ends the body    DicomObjectOutput
pixel data has the instance's own address in metadata, links have the Host of the request  WadoRS
rendering: windows, quality and viewports are used; a multi-frame object as a whole is GIF WadoRS
reject and purge; a second rejection is 400; a rejection for quality leaves a key object   IocmRS, DeleteRejected
no DELETE of a series or instance                                                          IocmRS
errors are text/plain: JSON text, or a stack trace with what it was about                  WadoRS
every answer allows every origin                                                           CorsFilter
========================================================================================== ===========================

It has no studies' attributes, no WADO-URI, no zip, no DIMSE, no retention, no compression of answers, and none of the
many other operations of the archive.
"""
