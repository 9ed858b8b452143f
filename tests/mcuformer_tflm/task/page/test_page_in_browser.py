"""The page of a run as a browser shows it: on a phone, on a desk, in the dark and on paper.

``make browser`` installs Chromium and keeps the pictures of the page.
"""

import os
from pathlib import Path

import pytest
from chromium import PROGRAM, chromium
from run_record import full_record, run_folder

from mcuformer_tflm.task.page.page import write_page

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        PROGRAM is None, reason="there is no chromium; `make browser` installs it and runs this"
    ),
]
FIGURES = 9
# Wider than any card, and without a place to break it.
LONG = "w" * 120


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with chromium(tmp_path_factory.mktemp("profile")) as tab:
        yield tab


@pytest.fixture(scope="module")
def url(tmp_path_factory):
    record = full_record(("cat", LONG, "fish"), command=f"mcuformer search {LONG}.toml")
    folder = run_folder(tmp_path_factory.mktemp("run") / "run", record)
    return write_page(folder).as_uri()


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    kept = os.environ.get("MCUFORMER_SCREENSHOTS")
    return Path(kept) if kept else tmp_path_factory.mktemp("screenshots")


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [360, 1280])
def test_a_page_is_whole_and_no_wider_than_its_screen(browser, url, pictures, width, dark):
    browser.show(url, width=width, dark=dark)
    browser.screenshot(pictures / f"report-{width}-{'dark' if dark else 'light'}.png")
    assert browser.ask("document.documentElement.scrollWidth") <= width
    boxes = browser.ask(
        "[...document.querySelectorAll('svg')].map(s => s.getBoundingClientRect())"
        ".map(b => [b.width, b.height, b.right])"
    )
    assert len(boxes) == FIGURES
    # Of a phone, not a stamp of a picture: nearly as wide as the screen.
    assert all(box[0] > 290 and box[1] > 100 and box[2] <= width for box in boxes)
    assert browser.ask("[...document.images].every(i => i.complete && i.naturalWidth > 0)")
    paper, ink = (
        sum(map(int, browser.ask(f"getComputedStyle({what}").strip("rgb()").split(",")[:3]))
        for what in ("document.body).backgroundColor", "document.querySelector('svg text')).fill")
    )
    assert (paper < ink) == dark, "figures have the ink of their page"
    assert abs(paper - ink) > 400
    smallest = browser.ask(
        "Math.min(...[...document.querySelectorAll('svg text')].map("
        "t => parseFloat(getComputedStyle(t).fontSize)"
        " * Math.hypot(t.getScreenCTM().a, t.getScreenCTM().b)))"
    )
    assert smallest > 5, "the least writing of a figure, in points of the screen"
    assert browser.troubles == []


def test_a_page_is_printed_dark_on_light_whatever_the_screen_has(browser, url, pictures):
    browser.show(url, width=794, dark=True, media="print")
    assert browser.ask("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert browser.ask("getComputedStyle(document.body).color") == "rgb(0, 0, 0)"
    printed = browser.pdf()
    assert printed.startswith(b"%PDF")
    pictures.mkdir(parents=True, exist_ok=True)
    (pictures / "report.pdf").write_bytes(printed)
    assert browser.troubles == []
