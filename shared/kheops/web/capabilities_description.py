"""The capabilities description of PS3.18 section 8.9: ``OPTIONS /api``, in WADL or in JSON.

It is made from the tables of the data plane, and is the same for every caller: whoever may reach the service may know
what it is, and nothing of what is in it.
"""

from collections.abc import Mapping
from functools import cache
from typing import Final
from xml.etree import ElementTree as ET

import msgspec
from starlette.responses import Response

from kheops.dicomweb.media_types import negotiate_rendered
from kheops.web.call import Call
from kheops.web.dicomweb.reading import accept
from kheops.web.openapi import DataOperation, data_operations

__all__ = ["capabilities_description", "described"]

_WADL: Final = "application/vnd.sun.wadl+xml"
_JSON: Final = "application/json"
_NAMESPACE: Final = "http://wadl.dev.java.net/2009/02"


async def capabilities_description(call: Call) -> Response:
    """Answer ``OPTIONS`` of the service's root.

    Raises
    ------
    NotAcceptableError
        If the caller takes neither WADL nor JSON.
    """
    media_type = negotiate_rendered(accept(call), (_WADL, _JSON)).media_type
    base = f"{call.process.settings.public_url}/api/"
    body = _in_wadl(base) if media_type == _WADL else _in_json(base)
    return Response(body, media_type=media_type, headers={"Allow": "OPTIONS", "Cache-Control": "no-cache"})


def described(base: str) -> Mapping[str, object]:
    """Return the description, as JSON has it.

    Parameters
    ----------
    base
        The service's address, with a slash at its end.
    """
    resources: dict[str, list[object]] = {}
    for operation in data_operations():
        resources.setdefault(operation.template, []).append(_method(operation))
    listed = [{"path": path.removeprefix("/"), "method": methods} for path, methods in sorted(resources.items())]
    return {"application": {"resources": {"base": base, "resource": listed}}}


def _method(operation: DataOperation) -> Mapping[str, object]:
    declared = operation.declared
    return {
        "name": operation.method,
        "doc": declared.summary,
        "request": {
            "param": [
                {"name": each.name, "style": style, "required": each.required, "repeating": each.repeated}
                for style, parameters in (("query", declared.query), ("header", declared.headers))
                for each in parameters
            ],
            "representation": [{"mediaType": media_type} for media_type in declared.bodies],
        },
        "response": [
            {"status": str(status), "representation": [{"mediaType": media_type} for media_type in answer.content]}
            for status, answer in declared.answers.items()
        ],
    }


@cache
def _in_json(base: str) -> bytes:
    return msgspec.json.encode(described(base))


@cache
def _in_wadl(base: str) -> bytes:
    root = _element("application", described(base)["application"])
    root.set("xmlns", _NAMESPACE)
    written: bytes = ET.tostring(root, encoding="utf-8", xml_declaration=True)
    return written


def _element(name: str, value: object) -> ET.Element:
    """Return an element: text and truth values become attributes, lists children of one name."""
    element = ET.Element(name)
    assert isinstance(value, Mapping)
    for key, child in value.items():
        if key == "doc":
            ET.SubElement(element, "doc").set("title", str(child))
        elif isinstance(child, list):
            element.extend(_element(key, each) for each in child)
        elif isinstance(child, Mapping):
            element.append(_element(key, child))
        else:
            element.set(key, child if isinstance(child, str) else str(child).lower())
    return element
