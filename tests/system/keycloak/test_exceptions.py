"""The list of what a provider cannot do names tests that there are."""

import re
from pathlib import Path

from tests.system.keycloak.conftest import CANNOT


def test_what_a_provider_cannot_do_names_tests_that_there_are() -> None:
    texts = [file.read_text("utf-8") for file in Path(__file__).parent.glob("test_*.py")]
    there = {name for text in texts for name in re.findall(r"^def (test_\w+)\(", text, re.MULTILINE)}
    for names in CANNOT.values():
        assert names.keys() <= there
