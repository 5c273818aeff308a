"""A headless Chromium, driven through its own debugging protocol over a pipe.

It needs no driver program, no download and no package.

    with Browser() as browser:
        browser.open(page.as_uri())
        assert browser.run("document.title") == "eosbench report"
        assert not browser.complaints

The protocol is JSON with a NUL byte after each message, read on the browser's descriptor 3 and
written on 4 (https://chromedevtools.github.io/devtools-protocol, `--remote-debugging-pipe`).
"""

from __future__ import annotations

import base64
import fcntl
import json
import os
import select
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
OPTIONS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-sync",
    "--disable-extensions",
    "--no-first-run",
    "--hide-scrollbars",
    "--remote-debugging-pipe",
)
PATIENCE = 120.0  # seconds: a busy machine may take long to start it


def find() -> str | None:
    """The program of an installed browser."""
    return next((path for name in NAMES if (path := shutil.which(name))), None)


class Browser:
    """One page of one browser.

    `complaints` holds console errors, uncaught exceptions and refusals of the security policy.
    """

    def __init__(self, width: int = 1280, height: int = 900) -> None:
        program = find()
        assert program is not None, "no browser: ask find() first"
        self.complaints: list[str] = []
        self._profile = tempfile.TemporaryDirectory(
            prefix="eosbench-browser-", ignore_cleanup_errors=True
        )
        their_in, self._out = _pipe()
        self._in, their_out = _pipe()
        command = [
            program,
            *OPTIONS,
            f"--user-data-dir={self._profile.name}",
            f"--window-size={width},{height}",
            "about:blank",
        ]
        self._process = subprocess.Popen(
            ["bash", "-c", f'exec "$@" 3<&{their_in} 4>&{their_out}', "bash", *command],
            pass_fds=(their_in, their_out),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(their_in)
        os.close(their_out)
        self._buffer, self._number, self._session, self._loaded = b"", 0, "", 0
        target = self._call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self._call("Target.attachToTarget", targetId=target, flatten=True)[
            "sessionId"
        ]
        for domain in ("Page", "Runtime", "Log"):
            self._call(f"{domain}.enable")

    def open(self, address: str) -> None:
        """Loads a page and waits until its load event."""
        before = self._loaded
        self._call("Page.navigate", url=address)
        deadline = time.monotonic() + PATIENCE
        while self._loaded == before:
            self._receive(deadline)

    def run(self, expression: str) -> Any:
        """The value of a JavaScript expression in the page."""
        outcome = self._call("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in outcome, outcome
        return outcome["result"].get("value")

    def press(self, key: str, code: int = 0, text: str = "") -> None:
        """One key, as from a keyboard: `press("Tab", 9)`, `press("Enter", 13, "\\r")`."""
        up = {"key": key, "code": key, "windowsVirtualKeyCode": code}
        down = {**up, "text": text} if text else up
        self._call("Input.dispatchKeyEvent", type="keyDown", **down)
        self._call("Input.dispatchKeyEvent", type="keyUp", **up)

    def resize(self, width: int, height: int) -> None:
        """Gives the page another size, in pixels; below 600 it is a phone's."""
        self._call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=width < 600,
        )

    def prefer(self, scheme: str) -> None:
        """Sets the color scheme that the user prefers, `light` or `dark`."""
        self._call(
            "Emulation.setEmulatedMedia",
            features=[{"name": "prefers-color-scheme", "value": scheme}],
        )

    def screenshot(self, path: Path, *, whole: bool = False) -> None:
        """Writes what is seen as a PNG file; `whole` takes in the part below the window as well."""
        image = self._call("Page.captureScreenshot", captureBeyondViewport=whole)["data"]
        path.write_bytes(base64.b64decode(image))

    def close(self) -> None:
        """Ends the browser and removes its profile."""
        self._process.kill()
        self._process.wait()
        os.close(self._in)
        os.close(self._out)
        self._profile.cleanup()

    def __enter__(self) -> Browser:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _call(self, method: str, **params: Any) -> dict[str, Any]:
        self._number += 1
        message = {"id": self._number, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._out, json.dumps(message).encode() + b"\0")
        deadline = time.monotonic() + PATIENCE
        while True:
            answer = self._receive(deadline)
            if answer.get("id") == self._number:
                assert "error" not in answer, f"{method}: {answer['error']}"
                return dict(answer["result"])

    def _receive(self, deadline: float) -> dict[str, Any]:
        """The next message; events are noted on the way."""
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self._in], [], [], max(0.0, deadline - time.monotonic()))
            assert ready, "the browser does not answer"
            piece = os.read(self._in, 1 << 20)
            assert piece, "the browser is gone"
            self._buffer += piece
        line, _, self._buffer = self._buffer.partition(b"\0")
        message: dict[str, Any] = json.loads(line)
        self._note(message.get("method", ""), message.get("params", {}))
        return message

    def _note(self, event: str, params: dict[str, Any]) -> None:
        if event == "Page.loadEventFired":
            self._loaded += 1
        elif event == "Runtime.exceptionThrown":
            self.complaints.append(str(params["exceptionDetails"]))
        elif event == "Runtime.consoleAPICalled" and params["type"] in ("error", "assert"):
            self.complaints.append(str(params["args"]))
        elif event == "Log.entryAdded" and params["entry"]["level"] == "error":
            self.complaints.append(params["entry"]["text"])


def _pipe() -> tuple[int, int]:
    """The reading and the writing end, both numbered from 20 on, to leave 3 and 4 to the child."""
    ends = os.pipe()
    high = tuple(fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 20) for end in ends)
    for end in ends:
        os.close(end)
    return high[0], high[1]
