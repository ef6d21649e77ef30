"""The check of `infra/` fails for what the provider would refuse."""

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.infra.terraform import INFRA, ROOT, needs_terraform, terraform

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
        (
            "scheduler.tf",
            '"google_cloud_scheduler_job" "task"',
            '"google_cloud_schedule_job" "task"',
            "Invalid resource type",
        ),
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


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (
            "  service_account                  = google",
            "  service_accounts                 = google",
            "service_accounts",
        ),
        ("      image       = var.image\n", "", "image"),
    ],
    ids=["misspelt", "missing"],
)
def test_infra_check_fails_and_says_where(tmp_path: Path, old: str, new: str, words: str) -> None:
    folder = tmp_path / "infra"
    shutil.copytree(INFRA, folder, ignore=shutil.ignore_patterns(".terraform*"))
    _replace(folder, "services.tf", old, new)
    # The column of what stands beside is the form's business; what is looked for is the schema's.
    subprocess.run(["terraform", "fmt", "-recursive", str(folder)], check=True, capture_output=True, timeout=60)
    done = subprocess.run(
        [str(ROOT / "local" / "terraform" / "check.sh"), str(folder)],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode != 0
    assert "== schema: infra" in done.stdout
    assert words in done.stdout
    assert "all checks passed" not in done.stdout


def test_the_configuration_is_valid(tmp_path: Path) -> None:
    done = terraform("validate", "-no-color", folder=_copy(tmp_path))
    assert done.returncode == 0, done.stderr
