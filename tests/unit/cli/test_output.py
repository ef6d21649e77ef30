"""What commands print."""

import json

import pytest

from kheops.cli.attributes import plain
from kheops.cli.output import count, print_json, print_members, print_table, printable, say


def test_names_are_no_commands_to_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    evil = "Doe\x1b]0;owned\x07^Jane\r\n\u202egnp"
    print_table({"name": "NAME", "id": "ID"}, [{"name": evil, "id": "1"}])
    say(evil)
    print_json([evil])
    seen = capsys.readouterr()
    for text in (seen.out, seen.err):
        assert not {"\x1b", "\x07", "\r", "\u202e"} & set(text)
    assert printable(evil) == "Doe?]0;owned?^Jane???gnp"


def test_columns_stand_below_each_other_whatever_the_script(capsys: pytest.CaptureFixture[str]) -> None:
    print_table({"name": "NAME", "n": "N"}, [{"name": "山田^太郎", "n": 1}, {"name": "Ada", "n": None}, {"n": True}])
    lines = capsys.readouterr().out.splitlines()
    assert lines == ["NAME       N", "山田^太郎  1", "Ada", "           yes"]


def test_long_cells_are_cut_but_for_the_last(capsys: pytest.CaptureFixture[str]) -> None:
    print_table({"a": "A", "uid": "UID"}, [{"a": "x" * 90, "uid": "1" * 64}])
    cells = capsys.readouterr().out.splitlines()[1].split()
    assert (len(cells[0]), cells[0][-1], cells[1]) == (48, "…", "1" * 64)


def test_members_are_words_and_not_python(capsys: pytest.CaptureFixture[str]) -> None:
    print_members({"name": "A\x1b", "modalities": ["CT", "MR"], "none": [], "absent": None, "on": True, "off": False})
    assert capsys.readouterr().out == "name: A?\nmodalities: CT, MR\non: yes\noff: no\n"


def test_empty_list_is_a_heading_alone(capsys: pytest.CaptureFixture[str]) -> None:
    print_table({"a": "A"}, [])
    print_json([])
    assert capsys.readouterr().out == "A\n[]\n"
    assert [count(1, "file"), count(2, "file")] == ["1 file", "2 files"]


def test_person_names_and_several_values_are_text() -> None:
    data_set = {
        "00100010": {"vr": "PN", "Value": [{"Alphabetic": "Yamada^Tarou", "Ideographic": "山田^太郎"}]},
        "00080061": {"vr": "CS", "Value": ["CT", "SR"]},
        "00081030": {"vr": "LO"},
        "0020000D": "malformed",
    }
    assert plain(data_set) == {"PatientName": "Yamada^Tarou=山田^太郎", "ModalitiesInStudy": "CT\\SR"}
    assert json.dumps(plain({})) == "{}"
