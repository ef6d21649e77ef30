"""The check of `infra/` fails for what the provider would refuse."""

import shutil
from pathlib import Path

import pytest

from tests.infra.terraform import INFRA, needs_terraform, terraform

pytestmark = needs_terraform


def _copy(folder: Path) -> Path:
    for file in (*INFRA.glob("*.tf"), *INFRA.glob("*.tf.json")):
        shutil.copy(file, folder)
    return folder


def _replace(folder: Path, file: str, old: str, new: str) -> None:
    text = (folder / file).read_text("utf-8")
    assert text.count(old) == 1, f"{file} has {text.count(old)} of {old!r}"
    (folder / file).write_text(text.replace(old, new), "utf-8")


@pytest.mark.parametrize(
    ("file", "old", "new", "words"),
    [
        ("services.tf", "invoker_iam_disabled = true", "invoker_iam_disable = true", "Unsupported argument"),
        ("healthcare.tf", "  location        = var.region\n", "", "Missing required argument"),
        ("scheduler.tf", "google_cloud_scheduler_job", "google_cloud_schedule_job", "Invalid resource type"),
        ("armor.tf", "count        = var.requests_per_minute\n", "", "Missing required argument"),
        (
            "services.tf",
            '"INGRESS_TRAFFIC_INTERNAL_LOAD_BALANCER"',
            '"INGRESS_TRAFFIC_INTERNAL_LOADBALANCER"',
            "Value is not offered",
        ),
        (
            "secrets.tf",
            "secret_data_wo         = var.client_secrets",
            "secret_data            = var.client_secrets",
            "Invalid use of ephemeral value",
        ),
    ],
    ids=["misspelt", "missing", "no such resource", "missing further in", "no such value", "secret into the state"],
)
def test_what_the_provider_would_refuse_is_found(tmp_path: Path, file: str, old: str, new: str, words: str) -> None:
    folder = _copy(tmp_path)
    _replace(folder, file, old, new)
    done = terraform("validate", "-no-color", folder=folder)
    assert done.returncode != 0
    assert words in done.stderr + done.stdout


def test_the_configuration_is_valid(tmp_path: Path) -> None:
    done = terraform("validate", "-no-color", folder=_copy(tmp_path))
    assert done.returncode == 0, done.stderr
