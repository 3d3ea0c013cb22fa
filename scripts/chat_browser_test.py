"""Uses the page of examples/chat as two people do, in a headless Chromium: each at a replica of its own, one with the
keyboard only, in light and in dark, over a network that breaks.

    make chat-test

`stack system chat` starts the replicas. Needs Chromium or Chrome on PATH; Playwright comes from the pinned package in
`.venv` and downloads no browser.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import time
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING

import python_venv
from browser_test import ADVICE, BROWSERS, FLAGS, PATIENCE_MS, continue_with_playwright
from relay import Relay

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext, Page

# Each would run a script, if any field were put on the page as markup.
INJECTIONS = (
    "<img src=x onerror=window.broken=1>",
    "<script>window.broken=1</script>",
    "<svg/onload=window.broken=1>",
    "\"><b onmouseover=window.broken=1>",
    "javascript:window.broken=1",
)
# AA of the Web Content Accessibility Guidelines for text, 1.4.3.
CONTRAST = 4.5
RATIO = """(selector) => {
    const light = (color) => {
        const [r, g, b] = color.match(/[\\d.]+/g).slice(0, 3).map((part) => {
            const share = part / 255;
            return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
        });
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const element = document.querySelector(selector);
    let behind = element;
    const back = () => getComputedStyle(behind).backgroundColor;
    while (/, 0\\)$|^transparent$/.test(back())) behind = behind.parentElement;
    const [low, high] = [light(getComputedStyle(element).color), light(back())].sort((a, b) => a - b);
    return (high + 0.05) / (low + 0.05);
}"""
# What the browser's own client of event streams gets, beside the one of the page.
STANDARD = """() => {
    window.standard = [];
    new EventSource("api/chat/stream?userId=standard").addEventListener("chat-message", (event) => {
        window.standard.push(event.lastEventId);
    });
}"""


def main() -> int:
    options = _arguments()
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        print(f"chat browser test {'SKIPPED' if options.skip_without_browser else 'failed'}: {ADVICE}")
        return 0 if options.skip_without_browser else 1
    try:
        continue_with_playwright()
        chat(browser, os.environ["CHAT_1_URL"], os.environ["CHAT_2_URL"], options.pictures)
    except (python_venv.Unavailable, AssertionError) as problem:
        print(f"chat browser test failed: {problem}")
        return 1
    print("chat browser test passed")
    return 0


def chat(browser: str, first: str, second: str, pictures: Path) -> None:
    from playwright.sync_api import Error, sync_playwright

    relay, complaints = Relay(first), []
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=browser, args=FLAGS)
        try:
            ann = _page(chromium.new_context(color_scheme="light"), relay.url, complaints)
            bob = _page(chromium.new_context(color_scheme="dark"), second, complaints)
            people_join(ann, bob)
            people_talk(ann, bob)
            scripts_stay_text(ann, bob, first)
            wrong_input_is_told(ann, first)
            a_cut_network_loses_nothing(ann, bob, relay, second)
            for page, name in ((ann, "light"), (bob, "dark")):
                for place in ("body", "#state", "#hint", ".text", ".who", ".id", "time", "button:not([hidden])"):
                    ratio = page.evaluate(RATIO, place)
                    assert ratio >= CONTRAST, f"{place} has a contrast of {ratio:.1f} in {name}"
        except Error as problem:
            raise AssertionError(f"{problem}\npictures: {pictures}") from None
        finally:
            pictures.mkdir(parents=True, exist_ok=True)
            for page, name in ((ann, "light"), (bob, "dark")):
                page.screenshot(path=pictures / f"chat-{name}.png")
            chromium.close()
    assert not complaints, f"the browser complains: {complaints}"


def people_join(ann: Page, bob: Page) -> None:
    """Ann has no mouse; Bob uses the labels that a screen reader reads to him."""
    order = ["name", "user", "role", "room", "filter", "key", "enter"]
    assert _focus(ann) == order[0], "the first field has the focus"
    ann.keyboard.type("Ann")
    for place in order[1:]:
        ann.keyboard.press("Tab")
        assert _focus(ann) == place, f"Tab leads to {_focus(ann)}, not to {place}"
        outline = ann.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        assert outline == "solid", f"{place} does not show that it has the focus"
    ann.keyboard.press("Enter")
    assert _focus(ann) == "content", "who has joined can write"
    bob.get_by_label("Name").fill("Bob")
    bob.get_by_label("User id").fill("bob-1")
    bob.get_by_label("Role").select_option("admin")
    bob.get_by_role("button", name="Join").click()
    for page in (ann, bob):
        _shows(page, "#state", "Connected")
        log = page.get_by_role("log", name="Room general")
        assert log.get_attribute("aria-live") == "polite", "a screen reader reads new messages"
        assert page.get_by_role("status").count() == 1 and page.get_by_role("alert").count() == 1


def people_talk(ann: Page, bob: Page) -> None:
    ann.keyboard.type("Hello Bob")
    _shows(bob, "#typing", "Ann is typing…")
    ann.keyboard.press("Shift+Enter")
    ann.keyboard.type("second line")
    ann.keyboard.press("Enter")
    bob.get_by_label("Message").fill("Grüße, Ann 👋")
    bob.get_by_role("button", name="Send").click()
    for page in (ann, bob):
        _has(page, ["Hello Bob\nsecond line", "Grüße, Ann 👋"])
        assert page.locator("#messages .who").all_inner_texts() == ["Ann", "Bob"]
        assert page.locator("#messages .role").all_inner_texts() == ["customer", "admin"]
    assert ann.evaluate("content.value") == "", "what is sent is gone from the field"
    ann.keyboard.press("Shift+Tab")
    assert _focus(ann) == "messages", "the keyboard scrolls the messages"
    ann.keyboard.press("Shift+Tab")
    assert _focus(ann) == "leave"
    ann.keyboard.press("Tab")
    ann.keyboard.press("Tab")


def scripts_stay_text(ann: Page, bob: Page, replica: str) -> None:
    for markup in INJECTIONS:
        for field in ("userId", "userName", "content"):
            body = {"userId": "eve", "userName": "Eve", "userRole": "customer", "content": "hello", field: markup}
            _post(f"{replica}/api/chat/send", body)
            for page in (ann, bob):
                _wait(page, "(text) => messages.lastElementChild?.textContent.includes(text)", markup)
    _post(f"{replica}/api/chat/typing", {"userId": "eve", "userName": INJECTIONS[0]})
    _shows(bob, "#typing", f"{INJECTIONS[0]} is typing…")
    for page in (ann, bob):
        made = page.evaluate("messages.querySelectorAll(':not(li, div, span, time, p)').length")
        handlers = page.evaluate("[...messages.querySelectorAll('*')].flatMap((it) => it.getAttributeNames())")
        assert made == 0 and set(handlers) <= {"class", "datetime", "data-id"}, f"{made} elements, {set(handlers)}"
        assert page.evaluate("window.broken") is None, "a script of somebody else ran"


def wrong_input_is_told(ann: Page, replica: str) -> None:
    """What a person types wrong comes back as text, too."""
    context = ann.context.browser.new_context()
    page = context.new_page()
    page.goto(replica)
    page.get_by_label("Name").fill(INJECTIONS[0])
    page.get_by_label("User id").fill(INJECTIONS[1])
    page.get_by_role("textbox", name="Room").fill(INJECTIONS[2])
    page.get_by_label("API key").fill("none is needed")
    page.get_by_role("button", name="Join").click()
    _wait(page, "() => problem.textContent.includes('room may have only')")
    assert INJECTIONS[0] in page.locator("#room-title").text_content()
    assert page.evaluate("window.broken") is None and page.locator("main img, main svg, main script").count() == 0
    assert page.get_by_label("Name").is_visible(), "the person can mend it"
    context.close()


def a_cut_network_loses_nothing(ann: Page, bob: Page, relay: Relay, second: str) -> None:
    """Ann's network breaks; when it is back, another replica answers."""
    ann.evaluate(STANDARD)
    before = bob.locator("#messages li").count()
    _say(bob, "you should see this")
    _wait(ann, "() => standard.length === 1")

    relay.cut()
    _shows(ann, "#state", "Connection lost; trying again")
    for text in ("while you were away 1", "while you were away 2"):
        _say(bob, text)
    ann.keyboard.type("kept")
    ann.keyboard.press("Enter")
    _wait(ann, "() => problem.textContent.startsWith('Not sent')")
    relay.mend(second)

    _shows(ann, "#state", "Connected")
    ann.keyboard.press("Enter")
    _wait(bob, "(text) => messages.lastElementChild.textContent.includes(text)", "kept")
    expected = bob.locator("#messages .text").all_inner_texts()
    _has(ann, expected)
    assert len(expected) == before + 4 and ann.locator("#problem").text_content() == ""
    ids = bob.evaluate("[...messages.children].slice(-4).map((item) => item.dataset.id)")
    _wait(ann, "(ids) => JSON.stringify(standard) === JSON.stringify(ids)", ids)


def _page(context: BrowserContext, url: str, complaints: list[str]) -> Page:
    page = context.new_page()
    page.set_default_timeout(PATIENCE_MS)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    # A network that is cut is an error in the console; a policy that was broken is one, too.
    page.on("console", lambda line: complaints.append(line.text) if "Policy" in line.text else None)
    page.goto(url)
    return page


def _say(page: Page, text: str) -> None:
    page.get_by_label("Message").fill(text)
    page.get_by_role("button", name="Send").click()
    _wait(page, "(text) => content.value === '' && messages.lastElementChild.textContent.includes(text)", text)


def _shows(page: Page, selector: str, text: str) -> None:
    _wait(page, "([selector, text]) => document.querySelector(selector).textContent === text", [selector, text])


def _has(page: Page, texts: list[str]) -> None:
    """Exactly these messages, each once, in this order."""
    every = "JSON.stringify([...messages.querySelectorAll('.text')].map((it) => it.textContent))"
    _wait(page, f"(texts) => {every} === JSON.stringify(texts)", texts)


def _wait(page: Page, condition: str, argument: object = None) -> None:
    """Playwright waits inside the page, with a script that the policy of the page forbids. This asks from outside."""
    deadline = time.monotonic() + PATIENCE_MS / 1000
    while not page.evaluate(condition, argument):
        shown = page.evaluate("document.body.innerText")
        assert time.monotonic() < deadline, f"not in time: {condition} with {argument}\nthe page shows: {shown}"
        page.wait_for_timeout(20)


def _focus(page: Page) -> str:
    return page.evaluate("document.activeElement.id")


def _post(url: str, body: dict[str, str]) -> None:
    headers = {"content-type": "application/json"}
    request = urllib.request.Request(url, json.dumps(body).encode(), headers)
    with urllib.request.urlopen(request, timeout=10) as answer:
        assert answer.status < 300


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    pictures = python_venv.ROOT / ".data"
    parser.add_argument("--pictures", type=Path, default=pictures, help="the folder for the pictures")
    parser.add_argument("--skip-without-browser", action="store_true", help="no browser is no failure")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
