"""Who may what on Google Cloud: the rights that Terraform gives, against what is written down here.

The configuration's own tests run with a mocked provider; this reads what they applied.
"""

import hashlib
import inspect
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any, Final

import pytest

from kheops.composition.background import SECRETS_READ
from kheops.jobs import command_line
from tests.infra.terraform import INFRA, needs_terraform, run_configuration_tests

pytestmark = needs_terraform

_ROLES: Final = "projects/example-project/roles/kheops_"
_PEPPER: Final = "secret_reader on kheops-token-pepper"
_KEYS: Final = {_PEPPER, "secret_reader on kheops-session-key"}
_WAKES: Final = "cloudtasks.enqueuer on queue kheops-deliveries"
_TELEMETRY: Final = {"telemetry.metricsWriter on project", "telemetry.tracesWriter on project"}
_DATABASE: Final = {
    "cloudsql.client on project, only-this-instance",
    "cloudsql.instanceUser on project, only-this-instance",
}
_JOBS: Final = ("audit-verify", "import")

RIGHTS: Final = {
    "dicomweb": {*_DATABASE, *_KEYS, "store_writer on store", _WAKES},
    "api": {*_DATABASE, *_KEYS, _WAKES},
    "web": {*_DATABASE, *_KEYS, _WAKES},
    "events": {*_DATABASE, _PEPPER, "store_deleter on store", "operation_viewer on dataset", _WAKES},
    "migrate": {*_DATABASE, "store_notifier on store"},
    "caller": {*(f"run.invoker on job kheops-{name}" for name in _JOBS), "run.invoker on service kheops-events"},
}
"""All rights of an installation as it is by default."""

PERMISSIONS: Final = {
    "store_writer": {"healthcare.dicomStores.dicomWebRead", "healthcare.dicomStores.dicomWebWrite"},
    "store_deleter": {"healthcare.dicomStores.dicomWebRead", "healthcare.dicomStores.dicomWebDelete"},
    "store_notifier": {"healthcare.dicomStores.get", "healthcare.dicomStores.update"},
    "operation_viewer": {"healthcare.operations.get"},
    "secret_reader": {"secretmanager.versions.access", "secretmanager.versions.list"},
}
LEFT_ALONE: Final[Mapping[str, set[str]]] = defaultdict(
    set,
    events={"KHEOPS_SESSION_KEY"},
    migrate={"KHEOPS_SESSION_KEY", "KHEOPS_TOKEN_PEPPER"},
)
"""Required settings that name a secret which the process neither needs nor may read."""
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


def _containers(state: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, str]]]:
    """Give each service and job with its environment."""
    for each in _resources(state):
        if each["type"] == "google_cloud_run_v2_service":
            container = each["values"]["template"][0]["containers"][0]
        elif each["type"] == "google_cloud_run_v2_job":
            container = each["values"]["template"][0]["template"][0]["containers"][0]
        else:
            continue
        yield each["values"]["name"], {entry["name"]: entry["value"] for entry in container["env"]}


def _environments(state: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, str]]]:
    """Give each service and job by the account that it runs as."""
    for name, variables in _containers(state):
        short = name.removeprefix("kheops-")
        yield "events" if short in _JOBS else short, variables


def _rights(state: Mapping[str, Any]) -> dict[str, set[str]]:
    rights: dict[str, set[str]] = defaultdict(set)
    for each in _resources(state):
        if "iam_member" not in each["type"]:
            continue
        member = each["values"]["member"].removeprefix("serviceAccount:")
        # Of the agents of Google's services, where data is under keys of one's own.
        if each["type"] == "google_kms_crypto_key_iam_member":
            continue
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


def test_what_can_be_chosen_adds_only_secrets_to_whom_they_serve_and_the_writing_of_telemetry(
    runs: dict[str, dict[str, Any]],
) -> None:
    rights = _rights(runs["with_everything_that_can_be_chosen"])
    client = f"client-{hashlib.sha256(b'https://login.example.org').hexdigest()[:12]}"
    added = {name: had - RIGHTS[name] for name, had in rights.items() if had - RIGHTS[name]}
    assert added == {
        "api": _TELEMETRY,
        "dicomweb": _TELEMETRY,
        "web": {f"secret_reader on kheops-{client}", *_TELEMETRY},
        "events": {"secret_reader on smtp-password", *_TELEMETRY},
    }


def test_traces_and_metrics_go_to_google_under_the_name_of_the_service(runs: dict[str, dict[str, Any]]) -> None:
    for name, variables in _containers(runs["with_everything_that_can_be_chosen"]):
        assert variables["KHEOPS_OTLP_ENDPOINT"] == "https://telemetry.googleapis.com"
        assert (
            variables["OTEL_SERVICE_NAME"] == variables["KHEOPS_DATABASE_URL"].partition("//")[2].partition("%40")[0]
        )
        assert variables["OTEL_SERVICE_NAME"] == name or name.removeprefix("kheops-") in _JOBS
        assert variables["OTEL_RESOURCE_ATTRIBUTES"] == "cloud.provider=gcp,cloud.region=europe-west4"
    for _, variables in _containers(runs["from_an_empty_project"]):
        assert "KHEOPS_OTLP_ENDPOINT" not in variables
        assert variables["KHEOPS_GOOGLE_PROJECT"] == "example-project", (
            "lines of the log name their trace all the same"
        )


def test_each_process_is_told_of_no_secret_that_it_may_not_read_but_for_those_that_it_leaves_alone(
    runs: dict[str, dict[str, Any]],
) -> None:
    state = runs["with_everything_that_can_be_chosen"]
    rights = _rights(state)
    for account, variables in _environments(state):
        named = {
            variable: secret
            for variable, text in variables.items()
            for secret in re.findall(r"/secrets/([a-z0-9-]+)/", text)
        }
        unread = {
            variable for variable, secret in named.items() if f"secret_reader on {secret}" not in rights[account]
        }
        assert unread == LEFT_ALONE[account] & named.keys(), account


def test_what_is_left_alone_is_what_the_code_does_not_read() -> None:
    assert LEFT_ALONE["events"].isdisjoint(SECRETS_READ)
    source = inspect.getsource(command_line.migrate)
    assert 'reads=("KHEOPS_DATABASE_PASSWORD",)' in source


def test_a_second_apply_changes_nothing(runs: dict[str, dict[str, Any]]) -> None:
    changes = runs["again_changes_nothing"]["resource_changes"]
    assert len(changes) > 100
    assert [each["address"] for each in changes if each["change"]["actions"] != ["no-op"]] == []


def test_a_setting_is_set_for_whom_it_serves(runs: dict[str, dict[str, Any]]) -> None:
    state = runs["with_everything_that_can_be_chosen"]
    users = {}
    for name, variables in _containers(state):
        is_deliverer = name in {"kheops-events", *(f"kheops-{job}" for job in _JOBS)}
        assert ("KHEOPS_MAIL_SMTP_PASSWORD" in variables) == is_deliverer
        assert ("KHEOPS_MAIL_SMTP_USER" in variables) == is_deliverer
        assert ("client_secret" in variables["KHEOPS_ISSUERS"]) == (name == "kheops-web")
        assert ("KHEOPS_STORE_TOPIC" in variables) == (name == "kheops-migrate")
        assert variables["KHEOPS_MAIL_FROM"] == "kheops@example.org"
        assert variables["KHEOPS_DELIVERY_QUEUE"] == (
            "https://cloudtasks.googleapis.com/v2/projects/example-project/locations/europe-west4/queues/"
            "kheops-deliveries"
        )
        users[name] = variables["KHEOPS_DATABASE_URL"]
    assert len(users) == len(("dicomweb", "api", "web", "events", "migrate")) + len(_JOBS)
    assert users["kheops-api"] == (
        "postgresql://kheops-api%40example-project.iam@/kheops"
        "?cloud_sql=example-project:europe-west4:kheops&ip_type=private"
    )
    assert users["kheops-import"].startswith("postgresql://kheops-events%40")


def test_no_secret_is_in_the_state(runs: dict[str, dict[str, Any]]) -> None:
    versions = [
        each
        for each in _resources(runs["with_everything_that_can_be_chosen"])
        if each["type"] == "google_secret_manager_secret_version"
    ]
    assert {each["name"] for each in versions} == {"made", "client"}
    assert {each["values"].get("secret_data") for each in versions} == {None}
    assert {each["values"].get("secret_data_wo") for each in versions} == {None}
