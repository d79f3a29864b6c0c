"""The status page in a real browser: Debian's Chromium without a window, driven by Selenium."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from selenium import webdriver
from selenium.webdriver.chrome.service import Service

from support.worker import until

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
MISSING = None if CHROMIUM and DRIVER else "install chromium and chromedriver (Debian: chromium chromium-driver)"
_QUIET = (
    "--headless=new",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-default-apps",
    "--disable-extensions",
    "--disable-dev-shm-usage",  # containers have little of it
    "--no-proxy-server",
    "--force-device-scale-factor=1",
)


class Browser:
    """One window. What it is asked is JavaScript, an expression."""

    def __init__(self, driver: webdriver.Chrome) -> None:
        self.driver = driver

    def open(self, url: str) -> None:
        """Open an address, and wait until the page is live."""
        self.driver.get("about:blank")  # another fragment of the same page would be no new page
        self.driver.get(url)
        self.until("document.body.className === 'live'")

    def ask(self, expression: str, *values: object) -> Any:
        """The value of an expression; `values` are its `arguments`."""
        return self.driver.execute_script(f"return {expression}", *values)

    def until(self, expression: str, *values: object, seconds: float = 20) -> Any:
        """Wait until an expression is true; what it is then."""
        try:
            return until(lambda: self.ask(expression, *values), expression, seconds)
        except BaseException as failure:
            failure.add_note(self.ask("document.body.innerText"))
            raise

    def text(self, selector: str) -> str:
        """All that can be read in an element; "" without one."""
        return str(self.ask("document.querySelector(arguments[0])?.innerText ?? ''", selector))

    def until_text(self, selector: str, part: str) -> str:
        """Wait for words in an element; all that it says then."""
        return str(
            self.until(
                "(t => t.includes(arguments[1]) && t)(document.querySelector(arguments[0])?.innerText ?? '')",
                selector,
                part,
            )
        )

    def row(self, model: str) -> str:
        """What the table says of a model; "" if it is not there."""
        return str(self.ask(_ROW, model))

    def until_row(self, model: str, part: str) -> str:
        """Wait for words in a model's row; all that it says then."""
        return str(self.until(f"(t => t.includes(arguments[1]) && t)({_ROW})", model, part))

    def complaints(self) -> list[str]:
        """What the console has got since the last call: violations of the policy, exceptions."""
        told: list[dict[str, Any]] = self.driver.get_log("browser")  # type: ignore[no-untyped-call]
        return [str(one["message"]) for one in told]


_ROW = (
    "[...document.querySelectorAll('#models-table tbody')].find(b => b.querySelector('a').textContent === arguments[0])"
    "?.innerText ?? ''"
)


@contextmanager
def browser(profile: Path, *more: str) -> Iterator[Browser]:
    """A browser with an empty profile; `more` are flags."""
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM or ""
    root = ["--no-sandbox"] if os.geteuid() == 0 else []
    for flag in (*_QUIET, *root, *more, f"--user-data-dir={profile}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    environment = os.environ | {"SE_OFFLINE": "true", "HOME": str(profile)}
    driver = webdriver.Chrome(options, Service(executable_path=DRIVER or "", env=environment))
    try:
        yield Browser(driver)
    finally:
        driver.quit()
