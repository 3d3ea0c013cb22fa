"""Uses the Swagger page as a person does, in a headless Chromium, and checks what it shows.

    make browser-test                         or: python3 scripts/browser_test.py --screenshot a.png

Starts a stack of its own on free ports and stops it. Needs Chromium or Chrome on PATH; Playwright
comes from the pinned package in `.venv` and downloads no browser.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
from pathlib import Path

import cargo
import python_venv
from processes import StartError
from stack import isolated

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
ADVICE = "no Chromium on PATH; on Debian: apt install chromium"
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
PATIENCE_MS = 30_000
OPERATION = '.opblock-post:has([data-path="/WeatherForecast/city"])'


def main() -> int:
    options = _arguments()
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        print(f"browser test {'skipped' if options.skip_without_browser else 'failed'}: {ADVICE}")
        return 0 if options.skip_without_browser else 1
    try:
        _continue_with_playwright()
        with tempfile.TemporaryDirectory() as data:
            stack = isolated(options.bin_dir or cargo.binaries(options.profile), Path(data))
            try:
                stack.start(print)
                try_out_the_forecast(browser, stack.url("INGRESS_LISTEN"), options.screenshot)
            finally:
                stack.stop()
    except (StartError, python_venv.Unavailable, AssertionError) as problem:
        print(f"browser test failed: {problem}")
        return 1
    print("browser test passed")
    return 0


def try_out_the_forecast(browser: str, gateway: str, screenshot: Path) -> None:
    """Opens the page, executes its example, compares what it shows with what was asked."""
    from playwright.sync_api import Error, sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=browser, args=FLAGS)
        page = chromium.new_page(viewport={"width": 1280, "height": 1600})
        page.set_default_timeout(PATIENCE_MS)
        foreign, broken = [], []
        page.on("request", lambda request: foreign.append(request.url) if _is_foreign(request.url, gateway) else None)
        page.on("pageerror", lambda error: broken.append(str(error)))
        try:
            _execute(page, gateway)
        except Error as problem:
            raise AssertionError(f"{problem}\nscreenshot: {screenshot}") from None
        finally:
            screenshot.parent.mkdir(parents=True, exist_ok=True)
            page.screenshot(path=screenshot)
            chromium.close()
        assert not broken, f"the page's scripts failed: {broken}"
        assert not foreign, f"the page needs other hosts: {foreign}"


def _execute(page, gateway: str) -> None:
    page.goto(f"{gateway}/swagger")
    operation = page.locator(OPERATION)
    operation.locator(".opblock-summary-control").click()
    # The page may be configured to open an operation ready to be tried; the button then cancels.
    try_out = operation.locator(".try-out__btn")
    if "cancel" not in (try_out.get_attribute("class") or ""):
        try_out.click()
    asked = json.loads(operation.locator(".body-param__text").input_value())
    with page.expect_response("**/WeatherForecast/city") as response:
        operation.locator(".execute").click()

    answers = operation.locator(".live-responses-table")
    answers.scroll_into_view_if_needed()
    shown = answers.locator(".response .response-col_status").first.inner_text()
    assert shown.split()[0] == "200", f"the page shows status {shown!r}: {response.value.text()}"
    answer = response.value.json()
    assert answer.get("city") == asked["city"], f"asked for {asked}, got {answer}"
    body = answers.locator(".response .highlight-code").first.inner_text()
    assert asked["city"] in body, f"the page does not show the answer: {body!r}"


def _is_foreign(url: str, gateway: str) -> bool:
    return url.startswith("http") and not url.startswith(f"{gateway}/")


def _continue_with_playwright() -> None:
    """Starts over in the project's environment, which has Playwright."""
    python = python_venv.ensure("playwright")
    if Path(sys.prefix).resolve() != python_venv.VENV.resolve():
        sys.stdout.flush()
        os.execv(python, [str(python), *sys.argv])


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    picture = cargo.ROOT / ".data" / "swagger.png"
    parser.add_argument("--screenshot", type=Path, default=picture, help="where the picture goes")
    parser.add_argument("--profile", choices=("release", "debug"), default="release", help="which build to test")
    parser.add_argument("--bin-dir", type=Path, help="take ingress and proxy from here instead")
    parser.add_argument("--skip-without-browser", action="store_true", help="no browser is no failure")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
