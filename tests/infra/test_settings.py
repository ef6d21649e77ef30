"""What Terraform sets, what `kheops.config` reads, and what docs/settings.md lists are the same variables."""

import re
from pathlib import Path

import typer.main

from kheops.composition.scheduled import EACH_MINUTE, ScheduledTask
from kheops.config import Settings
from kheops.jobs import command_line
from tests.infra.terraform import INFRA, ROOT

_VARIABLE = re.compile(r"\bKHEOPS_[A-Z_]+\b")


def _text() -> str:
    return (INFRA / "settings.tf").read_text("utf-8")


def _listed(name: str) -> list[str]:
    found = re.search(rf"{name} = toset\(\[(.*?)\]\)", _text(), re.DOTALL)
    assert found is not None
    return re.findall(r'^\s*"(KHEOPS_[A-Z_]+)"', found[1], re.MULTILINE)


def _set() -> set[str]:
    everywhere = re.sub(r"(?:optional|local)_settings = toset\(\[.*?\]\)", "", _text(), flags=re.DOTALL)
    return set(re.findall(r"\b(KHEOPS_[A-Z_]+)\s*=[^=]", everywhere))


def _read() -> set[str]:
    return {f"KHEOPS_{name.upper()}" for name in Settings.model_fields}


def test_each_setting_is_set_may_be_set_or_is_for_local_use() -> None:
    groups = [sorted(_set()), _listed("optional_settings"), _listed("local_settings")]
    together = [name for group in groups for name in group]
    assert set(together) == _read(), "infra/settings.tf says of each setting which of the three it is"
    assert len(together) == len(set(together)), "one of the three, and no other"


def test_what_has_no_default_is_set() -> None:
    required = {f"KHEOPS_{name.upper()}" for name, field in Settings.model_fields.items() if field.is_required()}
    assert required <= _set()


def test_settings_are_those_of_the_documentation() -> None:
    page = (ROOT / "docs" / "settings.md").read_text("utf-8")
    rows = set(re.findall(r"^\| `(KHEOPS_[A-Z_]+)` \|", page, re.MULTILINE))
    assert rows == _read()


def test_no_other_file_sets_one() -> None:
    elsewhere: set[Path] = set()
    for file in INFRA.rglob("*.tf"):
        if file.name != "settings.tf" and re.search(r"\bKHEOPS_[A-Z_]+\"?\s*=[^=]", file.read_text("utf-8")):
            elsewhere.add(file)
    assert not elsewhere


def test_connections_are_counted_as_the_services_open_them() -> None:
    counted = re.search(r"connections_per_instance = (\d+)", (INFRA / "database.tf").read_text("utf-8"))
    assert counted is not None
    fields = Settings.model_fields
    assert int(counted[1]) == fields["database_pool"].default + fields["lookup_threads"].default


def test_jobs_run_commands_that_there_are() -> None:
    text = (INFRA / "jobs.tf").read_text("utf-8")
    run = {*re.findall(r'command = "([a-z-]+)[ "]', text), *re.findall(r'args += \["([a-z-]+)"\]', text)}
    commands = getattr(typer.main.get_command(command_line.application), "commands")  # noqa: B009 - as typer's stubs are
    assert run == {"migrate", "audit-verify", "import", "reconcile", "deliver", "purge"}
    assert run <= set(commands)


def test_each_scheduled_task_of_the_code_has_one_entry_and_there_is_no_other() -> None:
    text = (INFRA / "scheduler.tf").read_text("utf-8")
    listed = re.search(r"tasks = var\.events_enabled \? \{(.*?)\}", text, re.DOTALL)
    assert listed is not None
    entries = re.findall(r"^\s*([a-z_]+)\s*= var\.schedule\.([a-z_]+)$", listed[1], re.MULTILINE)
    assert [task for task, _ in entries] == sorted(task.value for task in ScheduledTask)
    assert [task for task, schedule in entries if task != schedule] == []


def test_what_is_due_each_minute_is_scheduled_at_least_each_ten_and_the_rest_daily() -> None:
    text = (INFRA / "variables.tf").read_text("utf-8")
    cron = dict(re.findall(r'^\s*([a-z_]+)\s*= optional\(string, "([^"]+ [^"]+)"\)', text, re.MULTILINE))
    assert set(cron) == {*(task.value for task in ScheduledTask), "audit_verify", "import"}
    often = {ScheduledTask.DELIVER, *EACH_MINUTE}
    for name, when in cron.items():
        pattern = r"\*(/(5|10))? \* \* \* \*" if name in often else r"\d+ \d+ \* \* \*"
        assert re.fullmatch(pattern, when), name


def test_watched_events_are_events_of_the_code() -> None:
    watched = re.findall(r'event = "([a-z_.]+)"', (INFRA / "monitoring.tf").read_text("utf-8"))
    sources = "".join(file.read_text("utf-8") for file in (ROOT / "shared").rglob("*.py"))
    assert watched
    assert [event for event in watched if f'("{event}"' not in sources] == []
