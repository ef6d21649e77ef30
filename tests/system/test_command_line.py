"""The ``kheops`` command at a running installation: as one person, with a token in a file."""

import hashlib
import time
from pathlib import Path

import pytest

from tests.dicom_files import a_file, new_uid
from tests.system.command import Command
from tests.system.running import System


def _command(system: System, folder: Path, who: str) -> Command:
    folder.mkdir(exist_ok=True)
    token = folder / f"{who}-token"
    token.write_text(system.tokens.setdefault(who, system.token(who)) + "\n", "utf-8")
    return Command(folder, {"KHEOPS_SERVER": system.url, "KHEOPS_TOKEN_FILE": str(token)})


def _study(folder: Path, *, objects: int = 3, **options: object) -> tuple[str, str, list[bytes]]:
    """Write files of one series into folders, and return its UIDs and the files."""
    study, series, files = new_uid(), new_uid(), []
    for number in range(objects):
        inner = folder / f"IMG{number % 2}"
        inner.mkdir(parents=True, exist_ok=True)
        body = a_file(study=study, series=series, instance=new_uid(), number=number + 1, **options)  # type: ignore[arg-type]
        (inner / f"{number}").write_bytes(body)
        files.append(body)
    return study, series, files


def test_folder_goes_up_and_comes_back_byte_for_byte(system: System, tmp_path: Path) -> None:
    ann = _command(system, tmp_path, "cli-ann")
    study, series, files = _study(tmp_path / "cd", patient_name="Xq^Unmistakable")
    (tmp_path / "cd" / "README.txt").write_text("No image.", "utf-8")
    up = ann.run("upload", tmp_path / "cd", "--json")
    assert up.code == 0, up
    assert up.json() == {"stored": 3, "there": 0, "copies": 0, "not_dicom": 1, "failed": []}

    (found,) = ann.run("studies", "--study", study, "--json").json()
    assert (found["PatientName"], found["NumberOfStudyRelatedInstances"]) == ("Xq^Unmistakable", "3")
    table = ann.run("studies", "--patient-name", "Xq^Unm*").out.splitlines()
    assert table[0].split() == ["DATE", "PATIENT", "ID", "MODALITIES", "DESCRIPTION", "SERIES", "OBJECTS", "STUDY"]
    assert [line.split()[-1] for line in table[1:]] == [study]
    assert ann.run("studies", "--patient-name", "Nobody*", "--json").json() == []

    down = ann.run("download", tmp_path / "back", "--study", study, "--series", series)
    assert (down.code, down.out) == (0, "3 files retrieved, 0 there already, 0 failed.\n"), down
    came = sorted((tmp_path / "back" / study / series).glob("*.dcm"))
    assert sorted(file.read_bytes() for file in came) == sorted(files)
    sums = (tmp_path / "back" / "SHA256SUMS").read_text("utf-8").splitlines()
    expected = {f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {study}/{series}/{file.name}" for file in came}
    assert set(sums) == expected


def test_upload_goes_on_after_an_interruption(system: System, tmp_path: Path) -> None:
    ann = _command(system, tmp_path, "cli-going-on")
    study, _, files = _study(tmp_path / "cd", objects=80, pixels=bytes(5 * 1024 * 1024))
    process = ann.start("upload", tmp_path / "cd", "--parallel", "1")
    deadline = time.monotonic() + 60
    with system.client("cli-going-on") as client:
        while not client.get("/studies", params={"StudyInstanceUID": study}).json():
            assert time.monotonic() < deadline
            assert process.poll() is None, process.communicate()
            time.sleep(0.02)
    broken = ann.interrupt(process)
    assert (broken.code, "goes on from here" in broken.err) == (130, True), broken
    again = ann.run("upload", tmp_path / "cd", "--json").json()
    assert again["there"] > 0
    assert again["stored"] > 0
    assert again["there"] + again["stored"] == len(files)
    assert again["failed"] == []
    last = ann.run("upload", tmp_path / "cd", "--json").json()
    assert (last["there"], last["stored"]) == (len(files), 0)
    everything = ann.run("upload", tmp_path / "cd", "--all", "--json").json()
    assert (everything["there"], everything["stored"], everything["failed"]) == (0, len(files), [])


def test_files_that_fail_are_listed_with_reasons_in_words(system: System, tmp_path: Path) -> None:
    ann, bob = (_command(system, tmp_path, who) for who in ("cli-owner", "cli-stranger"))
    study, series, files = _study(tmp_path / "cd", objects=1)
    assert ann.run("upload", tmp_path / "cd").code == 0
    other = tmp_path / "other"
    other.mkdir()
    (other / "foreign").write_bytes(a_file(study=study, series=series, instance=new_uid()))
    (other / "damaged").write_bytes(files[0][:-3])
    (other / "good").write_bytes(a_file(study=new_uid(), series=new_uid(), instance=new_uid()))
    (other / "no-header").write_bytes(bytes(128) + b"DICM" + b"\0" * 40)
    two = a_file(study=new_uid(), series=new_uid(), instance="1.2.3.4.5.6.7")
    (other / "two-names").write_bytes(two.replace(b"1.2.3.4.5.6.7", b"1.2.3.4.5.6.8", 1))
    ended = bob.run("upload", other)
    assert ended.code == 1
    assert ended.out == "1 file stored, 0 there already, 4 failed.\n"
    lines = dict(line.split(": ", 1) for line in ended.err.splitlines())
    assert lines[str(other / "foreign")] == "you may not add to that series or study"
    assert lines[str(other / "damaged")] == "it is damaged, or contradicts itself"
    assert lines[str(other / "two-names")] == "it is damaged, or contradicts itself"
    assert str(other / "no-header") in lines

    changed = tmp_path / "changed"
    changed.mkdir()
    (changed / "0").write_bytes(files[0].replace(b"Doe^Jane", b"Doe^Joan"))
    (told,) = ann.run("upload", changed, "--all", "--json").json()["failed"]
    assert told["reason"] == "there is another object with its SOP Instance UID already, which stays as it is"


def test_download_goes_on_and_trusts_no_file_that_has_changed(system: System, tmp_path: Path) -> None:
    ann = _command(system, tmp_path, "cli-back")
    study, series, files = _study(tmp_path / "cd")
    ann.run("upload", tmp_path / "cd")
    back = tmp_path / "back"
    assert ann.run("download", back, "--inbox", "--json").json() == {"retrieved": 3, "there": 0, "failed": []}
    first, second, _ = sorted((back / study / series).glob("*.dcm"))
    first.unlink()
    second.write_bytes(b"something else")
    assert ann.run("download", back, "--inbox", "--json").json() == {"retrieved": 2, "there": 1, "failed": []}
    assert sorted(file.read_bytes() for file in (back / study / series).glob("*.dcm")) == sorted(files)
    assert list(back.rglob("*.part")) == []


def test_album_is_made_shared_and_taken_back(system: System, tmp_path: Path) -> None:
    ann, ben = (_command(system, tmp_path, who) for who in ("cli-chair", "cli-member"))
    study, series, _ = _study(tmp_path / "cd")
    assert ben.run("studies", "--json").json() == []  # makes him known
    ann.run("upload", tmp_path / "cd")
    album = ann.run("albums", "create", "Tumour board", "--description", "Each Monday").out.strip()
    assert ann.run("share", study, "--album", album, "--series", series).code == 0
    assert ann.run("albums", "add", album, "cli-member@example.org", "--admin").out == "Done.\n"
    (listed,) = ben.run("albums", "list", "--json").json()
    assert (listed["album_id"], listed["name"], listed["is_admin"]) == (album, "Tumour board", True)
    shown = ben.run("albums", "show", album).out
    assert "description: Each Monday" in shown
    assert {"modalities: CT", "is_admin: yes", "is_favorite: no"} <= set(shown.splitlines())
    assert {each["email"] for each in ann.run("albums", "members", album, "--json").json()} == {
        "cli-chair@example.org",
        "cli-member@example.org",
    }
    assert [each["StudyInstanceUID"] for each in ben.run("studies", "--album", album, "--json").json()] == [study]
    happened = {each.get("mutation_type") for each in ann.run("albums", "events", album, "--json").json()}
    assert {"CREATE_ALBUM", "IMPORT_SERIES", "ADD_USER"} <= happened
    added = next(line for line in ann.run("albums", "events", album).out.splitlines() if "ADD_USER" in line)
    assert "cli-chair" in added.lower().partition("mutation")[0]
    assert "cli-member" in added.lower().partition("add_user")[2]
    assert ben.run("download", tmp_path / "bens", "--album", album, "--json").json()["retrieved"] == 3
    assert ann.run("albums", "remove", album, "cli-member@example.org").code == 0
    gone = ben.run("download", tmp_path / "later", "--album", album)
    assert (gone.code, gone.out) == (5, "")
    assert ann.run("albums", "delete", album, "--json").json() == {"done": True}
    assert ann.run("albums", "show", album).code == 5


def test_groups_of_an_album_are_listed_and_in_its_history(system: System, tmp_path: Path) -> None:
    ann = _command(system, tmp_path, "cli-head")
    album = ann.run("albums", "create", "Ward").out.strip()
    with system.client("cli-head") as client:
        assert client.put(f"/albums/{album}/groups/radiology").status_code == 201
    (group,) = ann.run("albums", "groups", album, "--json").json()
    assert group["group"] == "radiology"
    for command in ("members", "groups"):
        lines = [line.split() for line in ann.run("albums", command, album).out.splitlines()]
        assert lines[-2:] == [["GROUP", "ISSUER"], ["radiology", group["issuer"]]]
    assert len(ann.run("albums", "members", album, "--json").json()) == 1, "people alone"
    (added,) = (line for line in ann.run("albums", "events", album).out.splitlines() if "ADD_GROUP" in line)
    assert "radiology" in added


def test_study_is_given_to_a_person(system: System, tmp_path: Path) -> None:
    ann, ben = (_command(system, tmp_path, who) for who in ("cli-giver", "cli-taker"))
    study, _, _ = _study(tmp_path / "cd")
    ben.run("studies")
    ann.run("upload", tmp_path / "cd")
    assert ann.run("share", study, "--with", "cli-taker@example.org").code == 0
    assert [each["StudyInstanceUID"] for each in ben.run("studies", "--inbox", "--json").json()] == [study]
    nobody = ann.run("share", study, "--with", "cli-nobody@example.org")
    assert (nobody.code, nobody.out) == (5, "")
    assert nobody.err.strip()


def test_link_is_made_listed_and_revoked(system: System, tmp_path: Path) -> None:
    ann = _command(system, tmp_path, "cli-linker")
    study, _, _ = _study(tmp_path / "cd")
    ann.run("upload", tmp_path / "cd")
    made = ann.run("link", "create", "--title", "For Dr. Grey", "--study", study, "--days", "2", "--max-uses", "3")
    assert made.code == 0, made
    assert made.out.startswith(f"{system.url}/s/")
    system.secrets_used.add(made.out.strip().partition("#")[2])
    link = made.err.split()[-1]
    (listed,) = ann.run("link", "list", "--json").json()
    assert (listed["id"], listed["title"], listed["max_uses"]) == (link, "For Dr. Grey", 3)
    assert made.out.strip().partition("#")[2] not in ann.run("link", "list").out
    assert ann.run("link", "revoke", link).code == 0
    assert ann.run("link", "list", "--valid", "--json").json() == []


def test_token_does_what_it_says_until_it_is_revoked(system: System, tmp_path: Path) -> None:
    ann = _command(system, tmp_path, "cli-tokens")
    _study(tmp_path / "cd")
    made = ann.run("tokens", "create", "--title", "Scanner", "--write", "--json").json()
    token, number = made["access_token"], made["id"]
    system.secrets_used.add(token)
    (tmp_path / "scanner").write_text(token, "utf-8")
    # A writer sees nothing of what is there, and sends all of it.
    sent = ann.run("upload", tmp_path / "cd", "--token-file", tmp_path / "scanner", "--json")
    assert sent.json()["stored"] == 3, sent
    assert ann.run("studies", "--token-file", "-", stdin=token).code == 5
    (listed,) = ann.run("tokens", "list", "--json").json()
    assert (listed["id"], "access_token" in listed, "secret" in listed) == (number, False, False)
    assert ann.run("tokens", "revoke", number).code == 0
    late = ann.run("upload", tmp_path / "cd", "--all", "--token-file", tmp_path / "scanner")
    assert (late.code, "kheops login" in late.err) == (4, True)
    assert token not in late.err + late.out


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["studies", "--study", "1.2.x"], 2, "no Study Instance UID"),
        (["studies", "--album", "no"], 2, "no id of an album"),
        (["studies", "--album", "AAAAAAAAAA"], 5, ""),
        (["studies", "--album", "AAAAAAAAAA", "--inbox"], 2, "do not go together"),
        (["studies", "--key", "StudyDescription"], 2, "no key to search by"),
        (["studies", "--date", "yesterday"], 2, "--date"),
        (["studies", "--date", "2026"], 2, "--date"),
        (["studies", "--date", "20260230-"], 2, "--date"),
        (["studies", "--date", "-"], 2, "--date"),
        (["studies", "--limit", "0"], 2, "--limit"),
        (["studies", "--token-file", "/nowhere/token"], 2, "cannot be read"),
        (["studies", "--server", "http://kheops.example.org"], 2, "no address of an installation"),
        (["studies", "--server", "http://127.0.0.1:1"], 6, "cannot be reached"),
        (["upload", "/nowhere"], 2, "no file or folder"),
        (["download", "x"], 2, "Say what"),
        (["download", "x", "--study", "1.2.3"], 5, "nothing there that you may see"),
        (["share", "1.2.3"], 2, "with whom"),
        (["share", "1.2.3", "--album", "AAAAAAAAAA"], 5, ""),
        (["link", "create", "--title", "T"], 2, "what it shows"),
        (["link", "revoke", "../albums"], 5, ""),
        (["tokens", "create", "--title", "T"], 2, "what it may do"),
        (["tokens", "create", "--title", "T", "--read", "--days", "999999999"], 2, "more than anything lasts"),
        (["albums", "show", "../capabilities"], 2, "no id of an album"),
        (["nonsense"], 2, "No such command"),
    ],
)
def test_wrong_input_is_told_in_words(
    system: System, tmp_path: Path, arguments: list[str], code: int, words: str
) -> None:
    ended = _command(system, tmp_path, "cli-wrong").run(*arguments)
    assert ended.code == code, ended
    assert words in " ".join(ended.err.split()), ended
    assert ended.err.strip()
    assert ended.out == ""


def test_bad_token_and_no_login_are_told_apart_from_refusals(system: System, tmp_path: Path) -> None:
    ann = _command(system, tmp_path, "cli-none")
    (tmp_path / "bad").write_text("not-a-token", "utf-8")
    assert ann.run("studies", "--token-file", tmp_path / "bad").code == 4
    (tmp_path / "two").write_text("one two", "utf-8")
    assert ann.run("studies", "--token-file", tmp_path / "two").code == 2
    nobody = Command(tmp_path / "empty", {})
    assert nobody.run("studies").code == 4
    assert nobody.run("studies", "--server", system.url).code == 4
    assert nobody.run("logout").code == 4
