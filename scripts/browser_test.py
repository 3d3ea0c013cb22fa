"""Uses the Swagger pages as a person does, in a headless Chromium, and checks what they show: that of the
gateway as it is, and those of both processes behind a proxy that ends TLS and strips a prefix.

    make browser-test

`stack run` starts the stack that it uses. Needs Chromium or Chrome on PATH; Playwright comes from the pinned
package in `.venv` and downloads no browser.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Callable

import python_venv
from prefix_proxy import PrefixProxy

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

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
HEALTH = '.opblock-get:has([data-path="/healthz"])'
PREFIX = "/gw"


def main() -> int:
    options = arguments()
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        print(f"browser test {'skipped' if options.skip_without_browser else 'failed'}: {ADVICE}")
        return 0 if options.skip_without_browser else 1
    try:
        continue_with_playwright()
        gateway, operations = os.environ["INGRESS_URL"], os.environ["PROXY_URL"]
        use(browser, gateway, options.screenshot, try_out_the_forecast)
        with tempfile.TemporaryDirectory() as folder:
            for server, steps in ((gateway, try_out_the_forecast), (operations, try_out_the_health)):
                with PrefixProxy(server, PREFIX, Path(folder)) as proxy:
                    print(f"using the Swagger page of {server} at {proxy.url}/swagger")
                    use(browser, proxy.url, options.screenshot, steps)
    except (python_venv.Unavailable, AssertionError) as problem:
        print(f"browser test failed: {problem}")
        return 1
    print("browser test passed")
    return 0


def use(
    browser: str, root: str, screenshot: Path, steps: Callable[[Page], None], path: str = "/swagger"
) -> None:
    """Opens the page at `path` below `root` and does `steps` there; everything it asks for must be below `root` too."""
    from playwright.sync_api import Error, sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=browser, args=FLAGS)
        page = chromium.new_page(viewport={"width": 1280, "height": 1600}, ignore_https_errors=True)
        page.set_default_timeout(PATIENCE_MS)
        foreign, broken = [], []
        page.on("request", lambda request: foreign.append(request.url) if _is_foreign(request.url, root) else None)
        page.on("pageerror", lambda error: broken.append(str(error)))
        try:
            page.goto(f"{root}{path}")
            steps(page)
        except Error as problem:
            asked = f"\nasked for, outside {root}/: {foreign}" if foreign else ""
            raise AssertionError(f"{problem}{asked}\nscreenshot: {screenshot}") from None
        finally:
            screenshot.parent.mkdir(parents=True, exist_ok=True)
            page.screenshot(path=screenshot)
            chromium.close()
        assert not broken, f"the page's scripts failed: {broken}"
        assert not foreign, f"the page asks for what is not below {root}/: {foreign}"


def try_out_the_forecast(page: Page) -> None:
    """Executes the example and compares what the page shows with what was asked."""
    operation = opened(page, OPERATION)
    asked = json.loads(operation.locator(".body-param__text").input_value())
    answers, answer = _executed(page, operation, "**/WeatherForecast/city")
    assert answer.get("city") == asked["city"], f"asked for {asked}, got {answer}"
    body = answers.locator(".response .highlight-code").first.inner_text()
    assert asked["city"] in body, f"the page does not show the answer: {body!r}"


def try_out_the_health(page: Page) -> None:
    """Executes an operation of the proxy; without an admin token in its settings nothing is locked."""
    operation = opened(page, HEALTH)
    assert page.locator(".authorize, .authorization__btn").count() == 0, "there is a lock and nothing to open it"
    summaries = page.locator(".opblock-summary-description").all_inner_texts()
    assert len(summaries) > 5 and not any("`" in text for text in summaries), f"not plain text: {summaries}"
    _, answer = _executed(page, operation, "**/healthz")
    assert answer.get("service") == "proxy", f"another server answered: {answer}"


def opened(page: Page, selector: str) -> Locator:
    """The operation, ready to be tried."""
    operation = page.locator(selector)
    operation.locator(".opblock-summary-control").click()
    # The page may be configured to open an operation ready to be tried; the button then cancels.
    try_out = operation.locator(".try-out__btn")
    if "cancel" not in (try_out.get_attribute("class") or ""):
        try_out.click()
    return operation


def _executed(page: Page, operation: Locator, url: str) -> tuple[Locator, dict]:
    """Where the page shows the answer, a 200, and its JSON."""
    with page.expect_response(url) as response:
        operation.locator(".execute").click()
    answers = operation.locator(".live-responses-table")
    answers.scroll_into_view_if_needed()
    shown = answers.locator(".response .response-col_status").first.inner_text()
    assert shown.split()[0] == "200", f"the page shows status {shown!r}: {response.value.text()}"
    return answers, response.value.json()


def _is_foreign(url: str, root: str) -> bool:
    return url.startswith("http") and not url.startswith(f"{root}/")


def continue_with_playwright() -> None:
    """Starts over in the project's environment, which has Playwright."""
    python = python_venv.ensure("playwright")
    if Path(sys.prefix).resolve() != python_venv.VENV.resolve():
        sys.stdout.flush()
        os.execv(python, [str(python), *sys.argv])


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    picture = python_venv.ROOT / ".data" / "swagger.png"
    parser.add_argument("--screenshot", type=Path, default=picture, help="where the picture goes")
    parser.add_argument("--skip-without-browser", action="store_true", help="no browser is no failure")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
