"""Attribute conflicts: 0x0106 with the tags, and only against what the uploader may read."""

import asyncio

import pytest

from kheops.domain.policy import StoreTarget
from kheops.domain.principals import CapabilityPermissions, Principal, UserCapability
from kheops.domain.uses import Outcome, Use, UseKind, User
from kheops.ids import CapabilityId
from kheops.services.store_report import FailureReason, StoreReport
from tests.dicom_files import a_file, multipart, new_uid
from tests.service.store.conftest import StoreWorld, reasons, stored, whole

CONFLICT = FailureReason.INVALID_ATTRIBUTE_VALUE


def conflicts(report: StoreReport) -> list[str]:
    """Return the tags of the one failure there is."""
    (failure,) = report.failed
    assert failure.reason == CONFLICT
    return [f"{tag:08X}" for tag in failure.conflicts]


def a_study(world: StoreWorld, owner: Principal) -> tuple[str, str]:
    study, series = new_uid(), new_uid()
    world.store(owner, a_file(study=study, series=series, instance=new_uid(), StudyTime="1015", StudyID="S"))
    return study, series


@pytest.mark.parametrize(
    ("elements", "tags"),
    [
        ({"patient_name": "Roe^Jane"}, ["00100010"]),
        ({"PatientID": "P-2", "StudyDate": "20260103"}, ["00080020", "00100020"]),
        ({"modality": "MR"}, ["00080060"]),
        ({"SeriesNumber": 2}, ["00200011"]),
        ({"StudyTime": "1016"}, ["00080030"]),
    ],
)
def test_what_contradicts_the_series_on_record_is_told_and_not_stored(
    world: StoreWorld, elements: dict[str, object], tags: list[str]
) -> None:
    alice = world.person("alice")
    study, series = a_study(world, alice)
    uid = new_uid()
    report = world.store(alice, a_file(study=study, series=series, instance=uid, **elements))  # type: ignore[arg-type]
    assert conflicts(report) == tags
    assert uid not in world.archive.sent
    assert uid not in world.instance_states()


@pytest.mark.parametrize(
    "elements",
    [
        {},
        {"StudyTime": "101500.000"},
        {"patient_name": "Doe Jane^"},
        {"patient_name": ""},
        {"StudyID": ""},
        {"StudyDescription": "Not on record"},
        {"StudyDate": "nonsense"},
        {"SeriesNumber": "01"},
    ],
)
def test_what_means_the_same_or_is_missing_on_a_side_is_no_conflict(
    world: StoreWorld, elements: dict[str, object]
) -> None:
    alice = world.person("alice")
    study, series = a_study(world, alice)
    uid = new_uid()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pydicom.config.settings.writing_validation_mode", 0)
        patch.setattr("pydicom.config.settings.reading_validation_mode", 0)
        file = a_file(study=study, series=series, instance=uid, **elements)  # type: ignore[arg-type]
    assert stored(world.store(alice, file)) == {uid}


def test_a_new_series_is_compared_with_its_study_and_not_with_its_neighbour(world: StoreWorld) -> None:
    alice = world.person("alice")
    study, _ = a_study(world, alice)
    other = a_file(study=study, series=new_uid(), instance=(uid := new_uid()), modality="SR", SeriesNumber=7)
    assert stored(world.store(alice, other)) == {uid}
    report = world.store(alice, a_file(study=study, series=new_uid(), instance=new_uid(), patient_name="Roe"))
    assert conflicts(report) == ["00100010"]


def test_the_same_bytes_succeed_again_whatever_they_contradict(world: StoreWorld) -> None:
    alice = world.person("alice")
    study, series = a_study(world, alice)
    file = a_file(study=study, series=series, instance=(uid := new_uid()), patient_name="Roe^Jane")
    assert reasons(world.store(alice, file)) == {uid: CONFLICT}
    assert stored(store(world, alice, file, bears_conflicts=True)) == {uid}
    assert stored(world.store(alice, file)) == {uid}


def test_what_was_not_on_record_is_not_compared_within_its_own_upload(world: StoreWorld) -> None:
    alice = world.person("alice")
    study, first, second = new_uid(), new_uid(), new_uid()
    # Of large parts each is confirmed before the next is decided.
    files = [
        a_file(study=study, series=series, instance=new_uid(), patient_name=name, pixels=bytes(5 * 1024 * 1024))
        for series, name in ((first, "A"), (first, "B"), (second, "C"))
    ]
    assert world.store(alice, *files).is_whole
    # With a study on record, its new series are compared with that, each instance alike.
    third = new_uid()
    new = [
        a_file(study=study, series=third, instance=new_uid(), patient_name=name, pixels=bytes(5 * 1024 * 1024))
        for name in ("A", "B", "A")
    ]
    report = world.store(alice, *new)
    assert third in world.states()
    assert (len(report.stored), [item.reason for item in report.failed]) == (2, [CONFLICT])


def store(
    world: StoreWorld,
    principal: Principal,
    file: bytes,
    *,
    bears_conflicts: bool = False,
    compares: bool = True,
    target: StoreTarget | None = None,
) -> StoreReport:
    async def run() -> StoreReport:
        service = world.storing()
        service._compares = compares
        return await service.store(
            principal=principal,
            target=target or await service.target(principal, None),
            study=None,
            body=whole(multipart(file)),
            boundary=b"b0undary",
            bears_conflicts=bears_conflicts,
            use=Use(
                user=User(principal.iss, principal.sub, principal.token_id),
                kind=UseKind.STORE,
                outcome=Outcome.GRANTED,
                source_address=None,
                request_id="r",
            ),
        )

    return asyncio.run(run())


def test_a_setting_turns_the_comparison_off(world: StoreWorld) -> None:
    alice = world.person("alice")
    study, series = a_study(world, alice)
    file = a_file(study=study, series=series, instance=(uid := new_uid()), patient_name="Roe^Jane")
    assert stored(store(world, alice, file, compares=False)) == {uid}


def test_a_token_that_only_writes_learns_of_no_conflict(world: StoreWorld) -> None:
    alice = world.person("alice")
    study, series = a_study(world, alice)
    file = a_file(study=study, series=series, instance=(uid := new_uid()), patient_name="Roe^Jane")
    world.execute(
        "INSERT INTO capabilities (id, secret_hash, title, scope_type, user_pk, read_permission, write_permission, "
        "appropriate_permission, download_permission, issued_at, not_before, expires_at) "
        "VALUES ('CCCCCCCCCC', 'x', 't', 'user', :user, false, true, false, false, now(), now(), "
        "now() + interval '1 day')",
        user=alice.user,
    )
    permissions = CapabilityPermissions(read=False, write=True, appropriate=False, download=False)
    token = UserCapability(alice.user, alice.iss, alice.sub, CapabilityId("CCCCCCCCCC"), permissions)
    assert stored(world.store(token, file)) == {uid}


def test_a_series_that_the_uploader_may_not_read_is_not_compared_with(world: StoreWorld) -> None:
    alice, bob = world.person("alice"), world.person("bob")
    study, hidden = a_study(world, alice)
    # Bob has a part in the study by an upload of his own, whose series he has put away since.
    world.execute("UPDATE series SET origin_user_pk = :bob", bob=bob.user)
    file = a_file(study=study, series=new_uid(), instance=(uid := new_uid()), patient_name="Roe^Jane")
    assert stored(world.store(bob, file)) == {uid}
    assert world.holders(hidden) == {"alice"}
