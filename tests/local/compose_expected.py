"""What `compose_agreement` expects of ``local/compose.yaml``, where no other file says it.

What other people's images call their variables, folders and programs is written down here and there by what their own
pages say: docker-library/postgres, keycloak.org (server/containers, hostname), dcm4che-dockerfiles
(dcm4chee-arc-psql, slapd-dcm4chee, postgres-dcm4chee), docs.ohif.org (deployment, configuration).
"""

from typing import Final

__all__ = [
    "ARCHIVE_PORT",
    "CONDITIONS",
    "DEPENDS",
    "DEVICE",
    "IMAGES",
    "KEPT",
    "NETWORKS",
    "OHIF",
    "OHIF_DICOMWEB",
    "OHIF_SOURCE",
    "ONCE",
    "OURS",
    "PROFILES",
    "SHARED_LOOPBACK",
    "VOLUMES",
]

KEPT: Final = "/run/kheops"
OURS: Final = "kheops:local"
ARCHIVE_PORT: Final = "8080"
IMAGES: Final = {
    # Published together: directory and database of one archive end in its version.
    "dcm4chee": "dcm4che/dcm4chee-arc-psql:5.34.3",
    "ldap": "dcm4che/slapd-dcm4chee:2.6.10-34.3",
    "archive-db": "dcm4che/postgres-dcm4chee:17.4-34",
    "viewer": "ohif/app:v3.13.2",
}
PROFILES: Final = {
    "loopback": ["core", "idp", "archive"],
    "secrets": ["core", "idp"],
    **{name: ["core"] for name in ("postgres", "migrate", "kheops", "welcome")},
    "keycloak": ["idp"],
    **{name: ["archive"] for name in ("ldap", "archive-db", "dcm4chee")},
    "viewer": ["viewer"],
}
SHARED_LOOPBACK: Final = {"postgres", "migrate", "kheops", "welcome", "keycloak", "dcm4chee"}
NETWORKS: Final = {
    "loopback": ["outside", "archive"],
    "ldap": ["archive"],
    "archive-db": ["archive"],
    "viewer": ["outside"],
}
DEPENDS: Final = {
    "postgres": {"loopback": "started", "secrets": "completed"},
    "migrate": {"postgres": "healthy"},
    "kheops": {"migrate": "completed", "keycloak": "healthy", "dcm4chee": "healthy"},
    "welcome": {"kheops": "healthy"},
    "keycloak": {"loopback": "started", "secrets": "completed"},
    "dcm4chee": {"loopback": "started", "ldap": "healthy", "archive-db": "healthy"},
}
CONDITIONS: Final = {
    "started": "service_started",
    "healthy": "service_healthy",
    "completed": "service_completed_successfully",
}
ONCE: Final = {"secrets", "migrate", "welcome"}
VOLUMES: Final = {
    "secrets": ["../local:/app/local:ro", f"secrets:{KEPT}"],
    # From version 18 on the image keeps its data in a folder of the version below this one.
    "postgres": ["postgres:/var/lib/postgresql", f"secrets:{KEPT}:ro"],
    "migrate": [f"secrets:{KEPT}:ro"],
    "kheops": ["../local:/app/local:ro", f"secrets:{KEPT}:ro"],
    "welcome": ["../local:/app/local:ro"],
    "keycloak": [
        "keycloak:/opt/keycloak/data",
        "./keycloak/realm.json:/opt/keycloak/data/import/realm.json:ro",
        f"secrets:{KEPT}:ro",
    ],
    "ldap": ["ldap-data:/var/lib/openldap/openldap-data", "ldap-config:/etc/openldap/slapd.d"],
    "archive-db": ["archive-db:/var/lib/postgresql/data"],
    "dcm4chee": ["wildfly:/opt/wildfly/standalone", "archive:/storage"],
}
DEVICE: Final = "dicomDeviceName=dcm4chee-arc,cn=Devices,cn=DICOM Configuration,dc=dcm4che,dc=org"
OHIF: Final = {
    "routerBasename": "/",
    "extensions": [],
    "modes": [],
    "showStudyList": True,
    "defaultDataSourceName": "kheops",
    "oidc": [],
    "dataSources": [],
}
OHIF_SOURCE: Final = {"namespace": "@ohif/extension-default.dataSourcesModule.dicomweb", "sourceName": "kheops"}
OHIF_DICOMWEB: Final = {
    "friendlyName": "KHEOPS",
    "name": "kheops",
    "qidoSupportsIncludeField": True,
    "imageRendering": "wadors",
    "thumbnailRendering": "wadors",
    "enableStudyLazyLoad": True,
    "supportsFuzzyMatching": True,
    "supportsWildcard": True,
    "bulkDataURI": {"enabled": True},
}
