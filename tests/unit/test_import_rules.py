"""Rules of an import: what they take, and which are refused."""

import io
import re

import pytest

from kheops.errors import BadRequestError
from kheops.jobs.importing import chosen_rules
from kheops.services.import_rules import parse_rules

ALBUM = "AbCdEfGh01"


@pytest.mark.parametrize(
    ("match", "takes"),
    [
        ({}, True),
        ({"Modality": "CT"}, True),
        ({"Modality": "ct"}, False),
        ({"Modality": "C"}, False),
        ({"Modality": "C?"}, True),
        ({"PatientID": "TRIAL-*"}, True),
        ({"PatientID": "*-0?7"}, True),
        ({"PatientID": "TRIAL.*"}, False),
        ({"PatientID": "[A-Z]*"}, False),
        ({"Modality": "CT", "PatientID": "OTHER-*"}, False),
        ({"StudyDescription": "*"}, False),
    ],
)
def test_all_patterns_must_match(match: dict[str, str], takes: bool) -> None:
    (rule,) = parse_rules([{"album": ALBUM, "match": match}])
    assert rule.takes({"Modality": "CT", "PatientID": "TRIAL-007"}) is takes


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ({}, "Rules are a JSON list"),
        ([], "Rules are a JSON list"),
        ([{"album": ALBUM}, 7], "Rule 2: an object with"),
        ([{"album": ALBUM, "matches": {}}], "Rule 1: an object with album, issuer, match, user"),
        ([{"match": {}}], "Rule 1: either an album or a user"),
        ([{"album": ALBUM, "user": "alice"}], "Rule 1: either an album or a user"),
        ([{"album": "short"}], "Rule 1: an album is named by its id"),
        ([{"album": 7}], "Rule 1: album, user and issuer are texts"),
        ([{"user": ""}], "Rule 1: album, user and issuer are texts"),
        ([{"album": ALBUM, "issuer": "https://idp.example"}], "Rule 1: an issuer goes with a user"),
        ([{"user": "alice", "match": ["Modality"]}], "Rule 1: match is an object of texts"),
        ([{"user": "alice", "match": {"Modality": 7}}], "Rule 1: match is an object of texts"),
        ([{"user": "alice", "match": {"SOPInstanceUID": "*"}}], "'SOPInstanceUID' is no attribute"),
        ([{"user": "alice"}] * 1001, "Rules are a JSON list"),
    ],
)
def test_what_is_no_rule_is_named_by_its_number(document: object, words: str) -> None:
    with pytest.raises(BadRequestError, match=re.escape(words)):
        parse_rules(document)


def test_options_mean_rules() -> None:
    assert chosen_rules(to_user=None, to_album=None, rules=None) == ()
    (person,) = chosen_rules(to_user="alice@example.org", to_album=None, rules=None)
    (album,) = chosen_rules(to_user=None, to_album=ALBUM, rules=None)
    assert (person.user, album.album) == ("alice@example.org", ALBUM)
    text = io.StringIO('[{"user": "alice", "issuer": "https://idp.example", "match": {"Modality": "MR"}}]')
    (rule,) = chosen_rules(to_user=None, to_album=None, rules=text)
    assert (rule.user, rule.issuer, rule.match) == ("alice", "https://idp.example", {"Modality": "MR"})


def test_options_that_contradict_each_other_or_are_malformed_are_refused() -> None:
    with pytest.raises(BadRequestError, match="Give one of"):
        chosen_rules(to_user="alice", to_album=ALBUM, rules=None)
    with pytest.raises(BadRequestError, match="not JSON"):
        chosen_rules(to_user=None, to_album=None, rules=io.StringIO("["))
