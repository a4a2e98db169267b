"""The demo in a real browser, served by a process of its own; `make test-browser` runs these."""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from .conftest import SCRIPT

pytestmark = pytest.mark.browser
ROOT = Path(__file__).parents[2]
CHROMIUM = os.environ.get("CHROMIUM", shutil.which("chromium") or shutil.which("google-chrome") or "/usr/bin/chromium")
# No calls home, and no sandbox: as root Chromium has none.
FLAGS = ("no-sandbox", "disable-gpu", "disable-background-networking", "disable-component-update", "disable-sync")


class Served:
    """A process that serves a Space's folder on a free port."""

    def __init__(self, folder: Path, environment: dict[str, str]):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.url, self.log = f"http://127.0.0.1:{port}", folder / "served.log"
        own = {"GRADIO_SERVER_PORT": str(port), "GRADIO_SERVER_NAME": "127.0.0.1", "GRADIO_ANALYTICS_ENABLED": "False"}
        with open(self.log, "w") as log:
            self.process = subprocess.Popen(
                [sys.executable, "app.py"], cwd=folder, env={**environment, **own}, stdout=log, stderr=log
            )

    def wait(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            assert self.process.poll() is None, self.log.read_text()[-3000:]
            try:
                urllib.request.urlopen(self.url, timeout=5).close()
                return
            except OSError:
                time.sleep(0.3)
        raise AssertionError(f"not served after {seconds} s: {self.log.read_text()[-3000:]}")

    def stop(self) -> None:
        self.process.terminate()  # a process in the background may have been told to ignore interrupts
        self.process.wait(30)


def space_of(folder: Path, models) -> Path:
    """A copy of the committed Space that names models."""
    shutil.copytree(ROOT / "spaces" / "demo", folder)
    readme = folder / "README.md"
    front = "models:\n" + "".join(f"- {model}\n" for model in models)
    readme.write_text(readme.read_text().replace("license:", f"{front}license:", 1))
    return folder


@pytest.fixture(scope="module")
def served(sources, tmp_path_factory):
    # The title that attacks needs no Hub: folders of this machine do as well where the app itself is concerned.
    folder = space_of(tmp_path_factory.mktemp("served") / "space", sources)
    found = Served(folder, dict(os.environ))
    found.wait(120)
    yield found
    found.stop()


@pytest.fixture(scope="module")
def browser():
    from playwright.sync_api import sync_playwright

    assert Path(CHROMIUM).is_file(), f"{CHROMIUM} is not there: install chromium, or set CHROMIUM to its place"
    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=CHROMIUM, args=[f"--{flag}" for flag in FLAGS])
        yield found
        found.close()


@pytest.fixture
def page(browser, served):
    found = browser.new_page(viewport={"width": 1280, "height": 1000})
    found.errors = []
    found.on("pageerror", lambda error: found.errors.append(str(error)))
    found.goto(served.url)
    found.get_by_role("button", name="Recommend").wait_for()
    yield found
    assert not found.errors
    found.close()


def search(page, text: str):
    field = page.get_by_label("Search the catalogue")
    field.fill("")
    field.press_sequentially(text, delay=20)
    return page.locator("#matches label")


def add(page, text: str) -> None:
    options = search(page, text)
    options.first.click()
    page.locator("#history .token").last.wait_for()


def shown(page, what: str = "item.dataset.item") -> list[list[str]]:
    """The item ids, or something else of the items, in each panel."""
    read = f"all => all.map(panel => [...panel.querySelectorAll('li.rec')].map(item => {what}))"
    return page.locator("[id^=panel-]").evaluate_all(read)


def ask(page, until) -> list[list[str]]:
    """Recommend, and wait until what is shown satisfies a condition."""
    page.get_by_role("button", name="Recommend").click()
    end = time.monotonic() + 30
    while not until(found := shown(page)):
        assert time.monotonic() < end, found
        page.wait_for_timeout(50)
    return found


def whole(found: list[list[str]], count: int = 5) -> bool:
    return len(found) == 3 and all(len(panel) == count for panel in found)


def test_search_choose_and_recommend(page, sources):
    from hf_llmrec.space.shop import Shop

    options = search(page, "piece 10")
    options.first.wait_for()
    assert options.all_inner_texts() == ["Ring piece 10 blue"]
    options.first.click()
    page.locator("#history .token").first.wait_for()
    add(page, "i11")  # by its id
    page.wait_for_function("document.querySelectorAll('#history .token').length == 2")
    shop = Shop.load(sources)

    def expected(history: list[str]) -> list[list[str]]:
        return [[shop.item_ids[row] for row in each.rows] for each in shop.recommend(history, count=5)]

    both, one = expected(["i10", "i11"]), expected(["i11"])
    assert both != one
    ask(page, lambda found: found == both)
    assert page.locator("#panel-0 .code-tree, #panel-0 .note").count() >= 5
    assert "neighbours that it read" in page.locator("#panel-1").inner_text()
    assert page.locator("#map .bought").count() >= 1 and page.locator("#map .recommended").count() >= 1

    # Without one of the two, the answer is another one.
    page.locator("#history .token-remove").first.click()
    page.wait_for_function("document.querySelectorAll('#history .token').length == 1")
    ask(page, lambda found: found == one)


def test_a_wish_changes_what_lcrec_says_and_nothing_else(page):
    add(page, "piece 7")
    plain, score = ask(page, whole), "item.querySelector('.score').innerText"
    before = shown(page, score)
    page.get_by_label("A wish").fill("I would like number 20")
    wished = ask(page, lambda found: whole(found) and shown(page, score)[0] != before[0])
    assert wished[1:] == plain[1:] and shown(page, score)[1:] == before[1:]
    assert "the wish plays no part" in page.locator("#panel-2").inner_text()


def test_a_title_that_is_a_script_stays_text(page):
    options = search(page, "taken over")
    options.first.wait_for()
    assert options.first.inner_text() == SCRIPT
    options.first.click()
    page.locator("#history .token").first.wait_for()
    page.get_by_label("A wish").fill(SCRIPT)
    ask(page, whole)
    slider = page.get_by_role("spinbutton", name=re.compile("Recommendations"))
    slider.fill("20")
    slider.press("Tab")
    page.get_by_role("button", name="Start over").click()
    found = ask(page, lambda found: whole(found, 20))
    assert any("i3" in panel for panel in found), "the title was never shown"
    assert page.locator("li.rec", has_text="<script>").count() >= 1
    assert page.title() == "hf_llmrec" and page.locator("li.rec img, li.rec script").count() == 0


def test_on_a_phone_nothing_sticks_out(browser, served):
    page = browser.new_page(viewport={"width": 375, "height": 740}, has_touch=True, is_mobile=True)
    page.goto(served.url)
    page.get_by_role("button", name="Recommend").wait_for()
    page.get_by_role("button", name="Give me a history").tap()
    page.locator("#history .token").nth(3).wait_for()
    ask(page, whole)
    assert page.evaluate("document.documentElement.scrollWidth") <= 375
    widths = page.locator("[id^=panel-]").evaluate_all("all => all.map(x => x.getBoundingClientRect().width)")
    assert min(widths) > 250, "the panels stand below each other"
    page.close()


def test_many_at_once_wait_and_get_their_own_answers(served):
    from gradio_client import Client

    clients = [Client(served.url, verbose=False) for _ in range(8)]

    def request(number: int) -> list[str]:
        panels = clients[number].predict([f"i{number}"], "", 4, api_name="/recommend")
        return [re.findall(r'data-item="([^"]+)"', panel) for panel in panels[:3]]

    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(request, range(8)))
    assert together == [request(number) for number in range(8)]
    assert len({json.dumps(each) for each in together}) > 1
    # What no page sends is bounded all the same.
    panels = clients[0].predict(["nobody", "i1"], "w" * 10_000, 20, api_name="/recommend")
    assert len(re.findall("data-item", panels[2])) == 20


def test_the_first_start_trains_and_the_second_does_not(tmp_path, browser):
    """The committed Space as it is: no model is named."""
    folder = tmp_path / "space"
    shutil.copytree(ROOT / "spaces" / "demo", folder)
    environment = {**os.environ, "HF_HOME": str(tmp_path / "home")}
    environment.pop("OMP_NUM_THREADS", None)
    for start, trains in (("first", True), ("second", False)):
        served = Served(folder, environment)
        try:
            served.wait(400)
            assert ("training the demo models" in served.log.read_text()) == trains, start
            page = browser.new_page()
            page.goto(served.url)
            page.get_by_role("button", name="Give me a history").click()
            page.locator("#history .token").nth(3).wait_for()
            ask(page, whole)
            page.close()
        finally:
            served.stop()
    models = list((tmp_path / "home" / "hf_llmrec").iterdir())
    assert len(models) == 1 and {path.name for path in models[0].iterdir()} >= {"lcrec", "galrec", "sasrec"}
