"""``make smoke``: the main job end to end on fresh data, each step with its duration; exit status 0 if all held."""

import argparse
import sys
import time
from collections.abc import Callable
from typing import Final

import httpx

from local.oidc_login import LoginError
from local.ports import PortTakenError
from local.processes import ProcessError, unwinding_on_signals
from local.smoke.caller import StepError
from local.smoke.credential import SHORT_LIVED, credential_is_renewed
from local.smoke.login_and_store import alice_finds_and_bob_does_not, alice_stores, log_in
from local.smoke.refusals import bad_input_is_refused, cut_off_upload_leaves_nothing, nobody_adds_or_replaces
from local.smoke.scene import Scene
from local.smoke.secrecy import logs_tell_nothing
from local.smoke.sharing import (
    alice_removes_bob,
    alice_shares_one_series,
    bytes_are_the_same,
    link_reads_until_revoked,
)
from local.stack import ProviderKind, Stack, StackRunningError, StoreKind

__all__ = ["main"]

_STEPS: Final[tuple[Callable[[Scene], None], ...]] = (
    log_in,
    alice_stores,
    alice_finds_and_bob_does_not,
    alice_shares_one_series,
    bytes_are_the_same,
    link_reads_until_revoked,
    alice_removes_bob,
    nobody_adds_or_replaces,
    bad_input_is_refused,
    cut_off_upload_leaves_nothing,
    credential_is_renewed,
    logs_tell_nothing,
)


def main() -> int:
    """Run the steps and return the exit status."""
    parser = argparse.ArgumentParser(prog="make smoke", description=__doc__)
    parser.add_argument("--store", choices=("emulator", "orthanc"), default="emulator", help="the DICOM store")
    parser.add_argument("--idp", choices=("canaille", "keycloak"), default="canaille", help="the login provider")
    arguments = parser.parse_args()
    try:
        return _run(arguments.store, arguments.idp)
    except KeyboardInterrupt:
        return 130
    except (PortTakenError, ProcessError, StackRunningError) as error:
        print(f"smoke: {error}", file=sys.stderr)
        return 1


def _run(store: StoreKind, idp: ProviderKind) -> int:
    name = f"smoke-{store}"
    begun = time.monotonic()
    stack = Stack(
        name,
        store=store,
        idp=idp,
        fresh=True,
        emulator_options=SHORT_LIVED,
        say=lambda text: print(f"smoke: {text}", flush=True),
    )
    with unwinding_on_signals(), stack:
        print(f"smoke: Everything runs after {time.monotonic() - begun:.1f} s.", flush=True)
        held = _steps(Scene(stack))
        if not held:
            print(f"smoke: Logs are in {stack.processes.logs}.", flush=True)
    words = "Every step held" if held else "NOT every step held"
    print(f"smoke: {words} ({store}, {idp}, {time.monotonic() - begun:.1f} s in all).", flush=True)
    return 0 if held else 1


def _steps(scene: Scene) -> bool:
    for number, step in enumerate(_STEPS, start=1):
        begun = time.monotonic()
        print(f"{number:>3}. {_first_line(step)}", flush=True)
        try:
            step(scene)
        except (StepError, LoginError, httpx.HTTPError, KeyError, ValueError) as error:
            # Later steps stand on this one's results.
            print(f"     FAILED after {time.monotonic() - begun:.2f} s: expected that {error!s}", flush=True)
            if not isinstance(error, StepError):
                print(f"     ({type(error).__name__})", flush=True)
            return False
        print(f"     held, {time.monotonic() - begun:.2f} s", flush=True)
    return True


def _first_line(step: Callable[[Scene], None]) -> str:
    return (step.__doc__ or step.__name__).splitlines()[0]


if __name__ == "__main__":
    sys.exit(main())
