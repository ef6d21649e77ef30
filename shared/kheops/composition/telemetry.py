"""Traces and metrics of a process, if its settings name a collector."""

import asyncio
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from kheops.config import Settings
from kheops.telemetry.signals import Level, install, installed

if TYPE_CHECKING:  # the SDK is imported where there is a collector only
    from kheops.telemetry.otlp import OtlpRecorder

__all__ = ["ProcessTelemetry"]


class ProcessTelemetry:
    """What tells a collector of this process, until it is closed.

    Parameters
    ----------
    settings
        The settings.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._recorder: OtlpRecorder | None = None

    async def open(self, levels: Mapping[Level, Callable[[], int]]) -> None:
        """Begin to tell; nothing happens where there is no collector.

        Parameters
        ----------
        levels
            What is read whenever metrics are sent, from another thread.

        Raises
        ------
        ConfigurationError
            If the collector is Google's and there is no service account.
        """
        if self._settings.otlp_endpoint is None:
            return
        recorder = await asyncio.to_thread(_make, self._settings, self._settings.otlp_endpoint)
        self._recorder = recorder
        for each, read in levels.items():
            recorder.watch(each, read)
        install(recorder)

    async def aclose(self) -> None:
        """Send what is there, within five seconds, and tell no more."""
        recorder, self._recorder = self._recorder, None
        if recorder is None:
            return
        if installed() is recorder:
            install(None)
        await asyncio.to_thread(recorder.close)


def _make(settings: Settings, endpoint: str) -> "OtlpRecorder":
    from kheops.telemetry.collector import session_for
    from kheops.telemetry.otlp import OtlpRecorder

    project = settings.google_project
    return OtlpRecorder(
        endpoint=endpoint,
        trace_ratio=settings.trace_ratio,
        session=session_for(endpoint),
        attributes={} if project is None else {"gcp.project_id": project},
    )
