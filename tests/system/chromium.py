"""A real browser without a window, driven over a pipe (Chrome DevTools Protocol)."""

import itertools
import json
import os
import shutil
import subprocess
import time
from base64 import b64decode
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

__all__ = ["CHROMIUM", "Tab", "open_tab"]

CHROMIUM: Final = shutil.which("chromium") or shutil.which("google-chrome")
"""Where it is; ``None`` where there is none."""

_FLAGS: Final = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--remote-debugging-pipe",
)


class Tab:
    """One tab."""

    def __init__(self, sent: int, received: int) -> None:
        self._sent = sent
        self._received = received
        self._buffer = b""
        self._numbers = itertools.count(1)
        self._session: str | None = None
        self.seen: list[dict[str, Any]] = []
        """Everything that the browser told of its own accord."""
        target = self.command("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.command("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Network", "Log", "Runtime"):
            self.command(f"{domain}.enable")

    def command(self, method: str, **parameters: object) -> dict[str, Any]:
        """Send a command and return its result."""
        number = next(self._numbers)
        message: dict[str, object] = {"id": number, "method": method, "params": parameters}
        if self._session is not None:
            message["sessionId"] = self._session
        os.write(self._sent, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next()
            if answer.get("id") == number:
                assert "error" not in answer, answer
                result: dict[str, Any] = answer["result"]
                return result
            self.seen.append(answer)

    def go(self, url: str) -> None:
        """Load a page and wait until its scripts have run."""
        self.command("Page.navigate", url=url)
        self.until("document.readyState === 'complete' && location.href !== 'about:blank'")

    def run(self, expression: str) -> Any:
        """Return what a script's expression comes to."""
        result = self.command("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    def until(self, expression: str, *, seconds: float = 20) -> None:
        """Wait until an expression is true."""
        end = time.monotonic() + seconds
        while not self.run(expression):
            assert time.monotonic() < end, f"{expression} did not come true; the page says: {self.text()}"
            time.sleep(0.1)

    def text(self) -> str:
        """Return what the page shows."""
        shown: str = self.run("document.body.innerText")
        return shown

    def resize(self, width: int, height: int, *, dark: bool = False) -> None:
        """Set the window's size in CSS pixels, and the colours that its user prefers."""
        self.command(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.command("Emulation.setEmulatedMedia", features=[scheme])

    def picture(self, file: Path) -> None:
        """Write what the whole page looks like."""
        data = self.command("Page.captureScreenshot", format="png", captureBeyondViewport=True)["data"]
        file.write_bytes(b64decode(data))

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            chunk = os.read(self._received, 65536)
            assert chunk, "the browser has ended"
            self._buffer += chunk
        message, _, self._buffer = self._buffer.partition(b"\0")
        found: dict[str, Any] = json.loads(message)
        return found


@contextmanager
def open_tab(folder: Path) -> Iterator[Tab]:
    """Start a browser with an empty profile in ``folder``, and end it at the end."""
    assert CHROMIUM is not None
    to_browser, sent = os.pipe()
    received, from_browser = os.pipe()
    # The browser reads from descriptor 3 and writes to 4.
    command = 'exec 3<&"$1" 4>&"$2"; shift 2; exec "$@"'
    with (folder / "chromium.log").open("wb") as log:
        process = subprocess.Popen(
            [
                *("/bin/bash", "-c", command, "browser", str(to_browser), str(from_browser)),
                CHROMIUM,
                *_FLAGS,
                f"--user-data-dir={folder / 'profile'}",
            ],
            pass_fds=(to_browser, from_browser),
            stdout=log,
            stderr=log,
        )
    os.close(to_browser)
    os.close(from_browser)
    try:
        yield Tab(sent, received)
    finally:
        process.terminate()
        process.wait(10)
        os.close(sent)
        os.close(received)
