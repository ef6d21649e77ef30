"""The templates of the data plane's paths, as the OpenAPI document writes them."""

from typing import assert_never

from kheops.dicomweb.resources import (
    Bulkdata,
    Comments,
    Favorites,
    Fetch,
    Frames,
    InAlbum,
    InstancesOf,
    Metadata,
    OfUser,
    OhifMetadata,
    Rendered,
    Resource,
    Series,
    SeriesOf,
    SopInstance,
    Studies,
    Study,
    Thumbnail,
)

__all__ = ["template_of"]


def template_of(resource: Resource) -> str:  # noqa: C901, PLR0912 - one row for each kind
    """Return the template of a resource's path: its shape, without a UID of it."""
    match resource:
        case Studies():
            return "/studies"
        case Study():
            return "/studies/{study}"
        case Series():
            return "/studies/{study}/series/{series}"
        case SopInstance():
            return "/studies/{study}/series/{series}/instances/{instance}"
        case SeriesOf(of):
            return f"{template_of(of)}/series"
        case InstancesOf(of):
            return f"{template_of(of)}/instances"
        case Metadata(of):
            return f"{template_of(of)}/metadata"
        case Frames(of):
            return f"{template_of(of)}/frames/{{frames}}"
        case Bulkdata(of):
            return f"{template_of(of)}/bulkdata/{{path}}"
        case Rendered(of):
            return f"{template_of(of)}/rendered"
        case Thumbnail(of):
            return f"{template_of(of)}/thumbnail"
        case InAlbum(of):
            return f"{template_of(of)}/albums/{{album}}"
        case OfUser(of):
            return f"{template_of(of)}/users/{{user}}"
        case Favorites(of):
            return f"{template_of(of)}/favorites"
        case Comments(of):
            return f"{template_of(of)}/comments"
        case Fetch(of):
            return f"{template_of(of)}/fetch"
        case OhifMetadata(of):
            return f"{template_of(of)}/ohifmetadata"
        case _:
            assert_never(resource)
