"""Uses the Swagger page of examples/events as a person does: without a token it is refused, then it logs in, authorizes
and creates a user.

    make events-swagger

`stack system events` starts what it uses. See browser_test.py.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from typing import TYPE_CHECKING

import browser_test
import python_venv

if TYPE_CHECKING:
    from playwright.sync_api import Page

CREATE = '#operations-users-createUser'
LOGIN = '#operations-auth-login'


def main() -> int:
    options = browser_test.arguments()
    browser = next(filter(None, map(shutil.which, browser_test.BROWSERS)), None)
    if browser is None:
        print(f"events browser test {'skipped' if options.skip_without_browser else 'failed'}: {browser_test.ADVICE}")
        return 0 if options.skip_without_browser else 1
    try:
        browser_test.continue_with_playwright()
        screenshot = options.screenshot.with_name("events.png")
        browser_test.use(browser, os.environ["EVENTS_API_URL"], screenshot, create_a_user, "/api-docs")
    except (python_venv.Unavailable, AssertionError) as problem:
        print(f"events browser test failed: {problem}")
        return 1
    print("events browser test passed")
    return 0


def create_a_user(page: Page) -> None:
    """The example of the description, first without and then with a token."""
    browser_test.opened(page, CREATE)
    assert _executed(page, CREATE, "**/api/users")[0] == 401, "a token must be needed"

    browser_test.opened(page, LOGIN)
    login = {"username": "admin", "password": os.environ["EVENTS_ADMIN_PASSWORD"]}
    page.locator(f"{LOGIN} .body-param__text").fill(json.dumps(login))
    status, answer = _executed(page, LOGIN, "**/api/auth/login")
    assert status == 200, f"the login was answered with {status}: {answer}"

    page.locator(".btn.authorize").first.click()
    dialog = page.locator(".dialog-ux")
    dialog.locator("input").first.fill(answer["token"])
    dialog.locator("button.authorize[type=submit]").click()
    dialog.locator(".btn-done").click()
    status, created = _executed(page, CREATE, "**/api/users")
    assert status == 201, f"the page got {status}: {created}"
    shown = page.locator(f"{CREATE} .live-responses-table .response .highlight-code").first.inner_text()
    assert created["messageId"] in shown, f"the page does not show the answer: {shown!r}"


def _executed(page: Page, operation: str, url: str) -> tuple[int, dict]:
    """The status that the page shows, and the JSON of the answer."""
    with page.expect_response(url) as response:
        page.locator(f"{operation} .execute").click()
    status = response.value.status
    column = page.locator(f"{operation} .live-responses-table .response .response-col_status").first
    column.filter(has_text=str(status)).wait_for()
    return status, response.value.json()


if __name__ == "__main__":
    sys.exit(main())
