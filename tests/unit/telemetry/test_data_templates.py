"""The templates by which requests to the data plane are counted are those of the OpenAPI document."""

import re

from kheops.dicomweb.resources import parse
from kheops.web.data_templates import template_of
from kheops.web.openapi import _TEMPLATES

SAMPLES = {
    "study": "1.2.840.1",
    "series": "1.2.840.2",
    "instance": "1.2.840.3",
    "frames": "1,2",
    "path": "a.b",
    "album": "AbCdEfGh01",
    "user": "alice@example.org",
}


def test_each_path_is_named_by_its_template() -> None:
    templates = {template for several in _TEMPLATES.values() for template in several}
    assert len(templates) > 25
    named = {}
    for template in templates:
        resource = parse(re.sub(r"\{([a-z]+)\}", lambda match: SAMPLES[match[1]], template))
        assert resource is not None, template
        named[template] = template_of(resource)
    assert named == {template: template for template in templates}
