"""Who may what on Google Cloud: the rights that Terraform gives, against what is written down here.

The configuration's own tests run with a mocked provider; this reads what they applied.
"""

from collections import defaultdict
from collections.abc import Mapping
from typing import Any, Final

import pytest

from tests.infra.terraform import INFRA, needs_terraform, run_configuration_tests

pytestmark = needs_terraform

_ROLES: Final = "projects/example-project/roles/kheops_"
_SECRETS: Final = {"secret_reader on kheops-session-key", "secret_reader on kheops-token-pepper"}
_DATABASE: Final = {
    "cloudsql.client on project, only-this-instance",
    "cloudsql.instanceUser on project, only-this-instance",
}
_JOBS: Final = ("audit-verify", "deliver", "purge", "reconcile")

RIGHTS: Final = {
    "dicomweb": {*_DATABASE, *_SECRETS, "store_writer on store"},
    "api": {*_DATABASE, *_SECRETS},
    "web": {*_DATABASE, *_SECRETS},
    "events": {*_DATABASE, *_SECRETS, "store_deleter on store", "operation_viewer on dataset"},
    "migrate": {*_DATABASE, *_SECRETS},
    "caller": {f"run.invoker on job kheops-{name}" for name in _JOBS},
}
"""All rights of an installation as it is by default."""

PERMISSIONS: Final = {
    "store_writer": {"healthcare.dicomStores.dicomWebRead", "healthcare.dicomStores.dicomWebWrite"},
    "store_deleter": {"healthcare.dicomStores.dicomWebRead", "healthcare.dicomStores.dicomWebDelete"},
    "operation_viewer": {"healthcare.operations.get"},
    "secret_reader": {"secretmanager.versions.access", "secretmanager.versions.list"},
}
AGENTS: Final = {
    "service-123456789012@gcp-sa-healthcare.iam.gserviceaccount.com",
    "service-123456789012@gcp-sa-pubsub.iam.gserviceaccount.com",
}
"""Google's own accounts, which publish notifications."""


@pytest.fixture(scope="module")
def runs() -> dict[str, dict[str, Any]]:
    return run_configuration_tests(INFRA)


def _resources(state: Mapping[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = state["root_module"]["resources"]
    return [each for each in found if each["mode"] == "managed"]


def _on(each: Mapping[str, Any]) -> str:
    values = each["values"]
    place = {
        "google_healthcare_dicom_store_iam_member": "store",
        "google_healthcare_dataset_iam_member": "dataset",
        "google_project_iam_member": "project",
        "google_secret_manager_secret_iam_member": values.get("secret_id"),
        "google_cloud_run_v2_job_iam_member": f"job {values.get('name')}",
        "google_cloud_run_v2_service_iam_member": f"service {values.get('name')}",
        "google_cloud_tasks_queue_iam_member": f"queue {values.get('name')}",
    }[each["type"]]
    conditions = [condition["title"] for condition in values.get("condition") or []]
    return ", ".join([f"on {place}", *conditions])


def _rights(state: Mapping[str, Any]) -> dict[str, set[str]]:
    rights: dict[str, set[str]] = defaultdict(set)
    for each in _resources(state):
        if "iam_member" not in each["type"]:
            continue
        member = each["values"]["member"].removeprefix("serviceAccount:")
        if not member.startswith("kheops-"):
            assert member in AGENTS, member
            continue
        role = each["values"]["role"].removeprefix(_ROLES).removeprefix("roles/")
        rights[member.partition("@")[0].removeprefix("kheops-")].add(f"{role} {_on(each)}")
    return dict(rights)


def test_each_account_has_these_rights_and_no_others(runs: dict[str, dict[str, Any]]) -> None:
    assert _rights(runs["from_an_empty_project"]) == RIGHTS


def test_own_roles_hold_these_permissions_and_no_others(runs: dict[str, dict[str, Any]]) -> None:
    roles = [each for each in _resources(runs["from_an_empty_project"]) if each["type"].endswith("_custom_role")]
    assert {each["name"]: set(each["values"]["permissions"]) for each in roles} == PERMISSIONS


def test_nothing_takes_rights_away_or_gives_them_to_everybody(runs: dict[str, dict[str, Any]]) -> None:
    for state in (runs["from_an_empty_project"], runs["with_everything_that_can_be_chosen"]):
        kinds = {each["type"] for each in _resources(state)}
        # These replace what others have set; members only add.
        assert not {kind for kind in kinds if kind.endswith(("_iam_policy", "_iam_binding"))}
        assert not {kind for kind in kinds if kind == "google_service_account_key"}
        members = {each["values"].get("member") for each in _resources(state)}
        assert not members & {"allUsers", "allAuthenticatedUsers"}


def test_the_events_service_adds_only_its_call_and_its_queue(runs: dict[str, dict[str, Any]]) -> None:
    rights = _rights(
        {
            "root_module": {
                "resources": [
                    each
                    for each in _resources(runs["with_everything_that_can_be_chosen"])
                    if each["type"] != "google_kms_crypto_key_iam_member"
                    and each["type"] != "google_secret_manager_secret_iam_member"
                ]
            }
        }
    )
    assert rights["events"] - RIGHTS["events"] == {"cloudtasks.enqueuer on queue kheops-deliveries"}
    assert rights["caller"] - RIGHTS["caller"] == {"run.invoker on service kheops-events"}
    assert "kheops-migrate" not in rights


def test_a_second_apply_changes_nothing(runs: dict[str, dict[str, Any]]) -> None:
    changes = runs["again_changes_nothing"]["resource_changes"]
    assert len(changes) > 100
    assert [each["address"] for each in changes if each["change"]["actions"] != ["no-op"]] == []


def test_a_setting_is_set_for_every_service_and_job(runs: dict[str, dict[str, Any]]) -> None:
    state = runs["with_everything_that_can_be_chosen"]
    users = {}
    for each in _resources(state):
        if each["type"] == "google_cloud_run_v2_service":
            container = each["values"]["template"][0]["containers"][0]
        elif each["type"] == "google_cloud_run_v2_job":
            container = each["values"]["template"][0]["template"][0]["containers"][0]
        else:
            continue
        variables = {entry["name"]: entry["value"] for entry in container["env"]}
        assert (
            variables["KHEOPS_MAIL_SMTP_PASSWORD"]
            == "sm://projects/example-project/secrets/smtp-password/versions/latest"
        )
        users[each["values"]["name"]] = variables["KHEOPS_DATABASE_URL"]
    assert len(users) == len(("dicomweb", "api", "web", "events", "migrate")) + len(_JOBS)
    assert users["kheops-api"] == (
        "postgresql://kheops-api%40example-project.iam@/kheops"
        "?cloud_sql=example-project:europe-west4:kheops&ip_type=private"
    )
    assert users["kheops-purge"].startswith("postgresql://kheops-events%40")


def test_no_secret_is_in_the_state(runs: dict[str, dict[str, Any]]) -> None:
    versions = [
        each
        for each in _resources(runs["with_everything_that_can_be_chosen"])
        if each["type"] == "google_secret_manager_secret_version"
    ]
    assert {each["name"] for each in versions} == {"made", "client"}
    assert {each["values"].get("secret_data") for each in versions} == {None}
    assert {each["values"].get("secret_data_wo") for each in versions} == {None}
