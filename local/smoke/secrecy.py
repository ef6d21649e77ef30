"""The last step: what the run wrote into logs."""

from local.smoke.caller import expect
from local.smoke.scene import Scene

__all__ = ["logs_tell_nothing"]


def logs_tell_nothing(scene: Scene) -> None:
    """No log of the run holds a token, a password or a patient's name."""
    names = {part for file in scene.data.everything for part in file.patient_name.split("=") if part}
    passwords = {person.password for person in scene.stack.people}
    settings = scene.stack.services.environment
    secrets = {settings["KHEOPS_TOKEN_PEPPER"], settings["KHEOPS_SESSION_KEY"], scene.stack.postgres.password}
    needles = {text.encode() for text in {*names, *passwords, *scene.tokens, *secrets}}
    for log in sorted(scene.stack.processes.logs.glob("*.log")):
        content = log.read_bytes()
        found = [needle for needle in needles if needle in content]
        expect(not found, f"{log.name} holds no token, password or patient's name, but {len(found)} of them are in it")
