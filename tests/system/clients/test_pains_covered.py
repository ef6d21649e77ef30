"""Each row of ``pains.md`` that concerns searching, retrieving or storing has a test that names its number."""

import ast
import re
from pathlib import Path

TESTS = Path(__file__).resolve().parents[2]
# Its sections B.3 to B.6. What a number was about, so that this page can be read without that one.
ROWS = {
    35: "the type of a multipart body without quotes",
    37: "a transfer syntax in a Content-Type of STOW-RS",
    38: "boundaries and empty lines inside the data",
    39: "an Accept with several types on a search",
    40: "semicolons, qualities, multipart/* and no Accept",
    41: "*/* transcoded",
    43: "no transfer syntax named, or *",
    44: "406 without saying what there is",
    45: "an instance as a single part",
    47: "204 for nothing found",
    48: "a list of one empty object for nothing found",
    49: "unknown and unauthorized told apart",
    50: "wildcards",
    51: "standard keys and fields refused",
    52: "spellings of includefield",
    53: "short pages after filtering",
    54: "unstable pages, and placeholders in a warning",
    55: "more results than a store gives at once",
    56: "searches without any key",
    58: "all permitted UIDs in one address",
    59: "fuzzymatching refused",
    61: "groups of a person's name",
    63: "counts and modalities of hidden series",
    64: "required keys",
    65: "addresses of the store in links",
    66: "bulk data of another object",
    69: "lists of frames",
    71: "metadata of large studies in memory",
    72: "studies of which some series are granted",
    74: "bulk data of annotations",
    75: "WADO-URI and thumbnails",
    76: "statuses of STOW-RS",
    78: "claiming by UID",
    80: "large files in memory",
}


def test_each_row_has_a_test_that_names_it() -> None:
    named: set[int] = set()
    for file in TESTS.rglob("test_*.py"):
        if "node_modules" in file.parts:
            continue
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(node, ast.FunctionDef) and (
                rows := re.match(r"test_pain((?:_\d+)(?:(?:_and)?_\d+)*)_", node.name)
            ):
                named |= {int(number) for number in re.findall(r"\d+", rows[1])}
    assert named == ROWS.keys()
