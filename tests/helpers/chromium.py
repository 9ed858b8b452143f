"""A page in headless Chromium, driven over a pipe by its DevTools protocol, without a package."""

import base64
import contextlib
import fcntl
import json
import os
import select
import shutil
import subprocess
import time

PROGRAM = shutil.which("chromium") or shutil.which("chromium-browser")
_SECONDS = 90


class Browser:
    """One tab.

    Attributes:
        troubles: What the page wrote to the console or raised, and what it could not load.
    """

    def __init__(self, to_browser, from_browser):
        self._to, self._from = to_browser, from_browser
        self._rest, self._number, self._session = b"", 0, None
        self.troubles = []
        tab = self._call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self._call("Target.attachToTarget", targetId=tab, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self._call(f"{domain}.enable")

    def show(self, url, *, width, height=800, dark=False, media=""):
        """Opens a page anew as a screen of so many points has it."""
        self._call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1,
            mobile=width < 500,
        )  # fmt: skip
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self._call("Emulation.setEmulatedMedia", media=media, features=[scheme])
        self._call("Page.navigate", url=url)
        until = time.monotonic() + _SECONDS
        while self.ask("document.readyState + location.href") != f"complete{url}":
            assert time.monotonic() < until, f"{url} is not loaded"
            time.sleep(0.05)

    def ask(self, expression):
        """Returns the value of an expression of JavaScript."""
        told = self._call("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in told, told
        return told["result"].get("value")

    def screenshot(self, path):
        """Writes the whole page to a .png."""
        size = self._call("Page.getLayoutMetrics")["cssContentSize"]
        told = self._call(
            "Page.captureScreenshot", captureBeyondViewport=True, clip={**size, "scale": 1}
        )
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(base64.b64decode(told["data"]))

    def pdf(self):
        """Returns the bytes of the page as it is printed."""
        told = self._call("Page.printToPDF", preferCSSPageSize=True, printBackground=False)
        return base64.b64decode(told["data"])

    def _call(self, method, **parameters):
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._to, json.dumps(message).encode() + b"\0")
        while True:
            told = self._next()
            if told.get("id") == self._number:
                assert "error" not in told, told
                return told["result"]
            self._hear(told.get("method"), told.get("params", {}))

    def _hear(self, method, told):
        if method == "Runtime.exceptionThrown":
            self.troubles.append(told["exceptionDetails"]["text"])
        elif method == "Runtime.consoleAPICalled":
            self.troubles.append(f"{told['type']}: {told['args']}")
        elif method == "Log.entryAdded":
            self.troubles.append(f"{told['entry']['level']}: {told['entry']['text']}")
        elif method == "Network.requestWillBeSent":
            url = told["request"]["url"]
            if not url.startswith(("file:", "data:", "about:")):
                self.troubles.append(f"asked for {url}")

    def _next(self):
        while b"\0" not in self._rest:
            ready, _, _ = select.select([self._from], [], [], _SECONDS)
            assert ready, "Chromium does not answer"
            part = os.read(self._from, 1 << 20)
            assert part, "Chromium has ended"
            self._rest += part
        message, self._rest = self._rest.split(b"\0", 1)
        return json.loads(message)


@contextlib.contextmanager
def chromium(profile):
    """Starts a browser with an empty profile, and ends it."""
    # Chromium reads descriptor 3 and writes to 4.
    low_in, to_browser = os.pipe()
    from_browser, low_out = os.pipe()
    # High ones, which neither 3 nor 4 is.
    theirs_in, theirs_out = (fcntl.fcntl(end, fcntl.F_DUPFD, 100) for end in (low_in, low_out))
    os.close(low_in)
    os.close(low_out)
    command = [
        PROGRAM, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
        "--hide-scrollbars", "--remote-debugging-pipe", f"--user-data-dir={profile}", "about:blank",
    ]  # fmt: skip
    redirected = f'exec "$@" 3<&{theirs_in} 4>&{theirs_out} {theirs_in}<&- {theirs_out}>&-'
    process = subprocess.Popen(
        ["bash", "-c", redirected, "bash", *command], pass_fds=(theirs_in, theirs_out),
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    os.close(theirs_in)
    os.close(theirs_out)
    try:
        yield Browser(to_browser, from_browser)
    finally:
        os.close(to_browser)  # upon which it ends
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
        os.close(from_browser)
