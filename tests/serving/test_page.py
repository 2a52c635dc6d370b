"""The page in a real browser: Debian's Chromium with its driver. Skipped if they are not installed."""

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from retrieval.stage import read_card, write_card

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from selenium import webdriver
from selenium.common.exceptions import NoAlertPresentException
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import Select, WebDriverWait
from service_process import SECONDS, start
from worlds import ROOT, write_world

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
FLAGS = ["headless", "no-sandbox", "disable-gpu", "disable-quic", "no-first-run", "disable-background-networking"]
FLAGS += ["disable-component-update", "disable-sync", "window-size=1280,1000"]

pytestmark = pytest.mark.skipif(not CHROMIUM or not DRIVER, reason="chromium and chromium-driver are not installed")


class Page:
    """The open page, and what a person does with it."""

    def __init__(self, browser: webdriver.Chrome, url: str) -> None:
        self.browser, self.url = browser, url
        browser.get(url)
        self.until(lambda: all(self.titles(panel) for panel in (0, 1)))

    def until(self, condition) -> None:
        WebDriverWait(self.browser, SECONDS, 0.05).until(lambda _: condition())

    def all(self, selector: str) -> list[WebElement]:
        return self.browser.find_elements(By.CSS_SELECTOR, selector)

    def texts(self, selector: str) -> list[str]:
        script = "return [...document.querySelectorAll(arguments[0])].map((one) => one.textContent)"
        return self.browser.execute_script(script, selector)

    def titles(self, panel: int) -> list[str]:
        return self.texts(f"#lists section:nth-child({panel + 1}) b")

    def type(self, field: str, text: str) -> None:
        self.all(f"#{field}")[0].clear()
        self.all(f"#{field}")[0].send_keys(text)

    def click(self, selector: str, text: str) -> None:
        """Click what has this text, once it is there. In one step: a later answer may replace it at any time."""
        script = """
            const [selector, text] = arguments;
            const one = [...document.querySelectorAll(selector)].find((one) => one.textContent === text);
            one?.click();
            return Boolean(one);
        """
        self.until(lambda: self.browser.execute_script(script, selector, text))

    def pick_user(self, user: int | str) -> None:
        self.type("user-query", str(user))
        self.click("#users button", f"User {user}")
        self.until(lambda: self.texts("#history-note")[0].startswith(f"User {user} "))

    def add_film(self, title: str) -> None:
        self.type("film-query", title)
        self.click("#films button", f"{title} (1994)")
        self.until(lambda: title in self.texts("#history b"))


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    world = write_world(tmp_path_factory.mktemp("world"))
    with start(world, "--metrics", "metrics.json") as (_, url):
        yield url


@pytest.fixture(scope="module")
def text_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A service whose ids are text, and odd."""
    with start(write_world(tmp_path_factory.mktemp("text") / "world", text=True)) as (_, url):
        yield url


MARKUP, ENDLESS = "<img src=x onerror=alert(1)>", "W" * 5000


@pytest.fixture(scope="module")
def hostile_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A service whose titles are markup or endless, and whose genres are both."""
    world = write_world(tmp_path_factory.mktemp("hostile") / "world")
    folder = world / "models" / "catalogue"
    card, table = read_card(folder / "catalogue.json", ""), pq.read_table(folder / "items.parquet")
    texts = {"title": [MARKUP, ENDLESS], "genres": [[MARKUP, ENDLESS]] * 2}
    for name, values in texts.items():
        column = [values[row % 2] for row in range(len(table))]
        table = table.set_column(table.column_names.index(name), name, pa.array(column))
    pq.write_table(table, folder / "items.parquet")
    write_card(folder / "catalogue.json", {name: value for name, value in card.items() if name != "sha256"})
    with start(world, "--metrics", "metrics.json") as (_, url):
        yield url


@contextmanager
def screen(browser: webdriver.Chrome, width: int) -> Iterator[None]:
    """A screen of this width; below 700 pixels that of a phone."""
    size = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 700}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    try:
        yield
    finally:
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    options = webdriver.ChromeOptions()
    options.binary_location = str(CHROMIUM)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    for flag in [*FLAGS, f"user-data-dir={tmp_path_factory.mktemp('profile')}"]:
        options.add_argument(f"--{flag}")
    browser = webdriver.Chrome(options=options, service=Service(DRIVER))
    yield browser
    browser.quit()


@pytest.fixture
def page(browser: webdriver.Chrome, url: str) -> Iterator[Page]:
    yield Page(browser, url)
    assert [line for line in browser.get_log("browser") if line["level"] == "SEVERE"] == []


def test_two_models_answer_for_a_user_side_by_side(page):
    page.pick_user(15)
    assert [Select(one).first_selected_option.text for one in page.all("#lists select")] == ["dssm", "popular"]
    watched = set(page.texts("#history b"))
    assert watched
    page.until(lambda: not watched & {*page.titles(0), *page.titles(1)})
    assert len(page.titles(0)) == len(page.titles(1)) == 10
    assert len(page.texts("#demographics span")) == 2
    before = page.titles(0)
    Select(page.all("#lists select")[0]).select_by_visible_text("ease")
    page.until(lambda: page.titles(0) != before)
    Select(page.all("#k")[0]).select_by_visible_text("50")
    page.all("#exclude")[0].click()
    page.until(lambda: len(page.titles(1)) == 50 and page.texts("#lists .seen"))


def test_the_random_button_picks_another_user(page):
    first = page.texts("#history-note")

    def another() -> bool:
        page.all("#random")[0].click()
        return page.texts("#history-note") != first

    page.until(another)


def test_every_film_and_demographic_of_a_profile_changes_the_answers(page):
    page.all("#tab-profile")[0].click()
    page.until(lambda: page.texts("#lists section:first-child p") == ["the same for everyone"])
    assert len(page.titles(0)) == 10
    scores = [page.texts("#lists section:first-child .score")]

    def changed() -> bool:
        return page.texts("#lists section:first-child .score") not in scores

    page.add_film("Film 12")
    page.until(changed)
    scores.append(page.texts("#lists section:first-child .score"))
    assert "Film 12" not in page.titles(0)
    page.add_film("Film 30")
    page.until(changed)
    assert page.texts("#history b") == ["Film 30", "Film 12"]
    scores.append(page.texts("#lists section:first-child .score"))
    Select(page.all("#column-age")[0]).select_by_visible_text("old")
    page.until(changed)
    page.all("#history .off")[0].click()
    page.until(lambda: page.texts("#history b") == ["Film 12"])
    Select(page.all("#lists select")[0]).select_by_visible_text("dssm")


def test_a_click_shows_similar_films_and_escape_closes_them(page):
    title = page.titles(0)[0]
    page.all("#lists .film")[0].click()
    page.until(lambda: len(page.texts("#similar b")) == 10)
    assert page.texts("#similar-title") == [f"Items like {title}"]
    assert title not in page.texts("#similar b")
    before = page.texts("#similar b")
    Select(page.all("#similar-model")[0]).select_by_visible_text("ials")
    page.until(lambda: page.texts("#similar b") not in ([], before))
    page.browser.switch_to.active_element.send_keys(Keys.ESCAPE)
    page.until(lambda: not page.all("#similar")[0].is_displayed())


def test_a_profile_can_be_made_with_the_keyboard_alone(page):
    """From the top: Tab to the tabs, an arrow to the profile, a title, Tab to the first match, Enter."""
    active = lambda: page.browser.switch_to.active_element  # noqa: E731
    for _ in range(20):
        active().send_keys(Keys.TAB)
        if active().get_attribute("id") == "tab-user":
            break
    active().send_keys(Keys.ARROW_RIGHT)
    assert active().get_attribute("id") == "tab-profile"
    active().send_keys(Keys.TAB)
    active().send_keys("Film 77")
    page.until(lambda: page.texts("#films button") == ["Film 77 (1994)"])
    active().send_keys(Keys.TAB)
    active().send_keys(Keys.ENTER)
    page.until(lambda: page.texts("#history b") == ["Film 77"])
    assert active().get_attribute("id") == "film-query"


NAME = """
    const everything = [...document.querySelectorAll('*')];
    const name = (one) => `${everything.indexOf(one)} ${one.tagName} ${one.id} ${one.textContent.slice(0, 40)}`;
"""
CONTROLS = f"""{NAME}
    const all = [...document.querySelectorAll('a[href], button, input, select, summary, [tabindex]')];
    return all.filter((one) => one.checkVisibility() && one.tabIndex >= 0 && !one.disabled).map(name);
"""
FOCUS = f"""{NAME}
    const one = document.activeElement, style = getComputedStyle(one), box = one.getBoundingClientRect();
    const outlined = style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 2;
    return [name(one), one === document.body || (outlined && box.bottom > 0 && box.top < innerHeight)];
"""


@pytest.mark.parametrize("width", [390, 1280])
def test_tab_reaches_every_control_and_shows_where_it_is(browser, url, width):
    """All but the tab that is not chosen, which the arrows reach."""
    with screen(browser, width):
        page = Page(browser, url)
        page.all("#tab-profile")[0].click()
        page.until(lambda: page.texts("#lists section:first-child p") == ["the same for everyone"])
        page.add_film("Film 12")
        page.until(lambda: page.texts("#lists section:first-child p") == ["made for this user"])
        browser.execute_script("document.activeElement.blur(); getSelection().removeAllRanges(); scrollTo(0, 0)")
        reached: list[str] = []
        while wanted := set(browser.execute_script(CONTROLS)) - set(reached):  # a late answer replaces a list
            assert len(reached) < 400, wanted
            browser.switch_to.active_element.send_keys(Keys.TAB)
            name, is_seen = browser.execute_script(FOCUS)
            assert is_seen, name
            reached.append(name)
        assert len(set(reached)) > 25


@pytest.mark.parametrize("user", ["007", "7.0", "Ünïcode/slash", "/", "a/b/history", "a?b&c=7", "a#b", "%2F", "a+b"])
def test_text_ids_work_like_integers(browser, text_url, user):
    page = Page(browser, text_url)
    page.pick_user(user)
    watched = set(page.texts("#history b"))
    page.until(lambda: len(page.titles(0)) == 10 and not watched & {*page.titles(0), *page.titles(1)})
    page.click("#history b", page.texts("#history b")[0])
    page.until(lambda: len(page.texts("#similar b")) == 10)


def test_long_titles_are_cut(page):
    script = "return film({ title: 'x'.repeat(50000), year: null, genres: [] }).textContent"
    assert page.browser.execute_script(script) == "x" * 119 + "…"


def test_integers_of_64_bits_are_exact(page):
    exact = "return JSON.parse(arguments[0], exact)"
    numbers = "[9007199254740993, -9223372036854775808, 7, 1e300, 0.5]"
    read = page.browser.execute_script(exact, numbers)
    assert read == ["9007199254740993", "-9223372036854775808", 7, 1e300, 0.5]


def test_the_page_shows_the_metrics_of_the_models(page):
    rows = [row.text.split() for row in page.all("#metrics tbody tr")]
    assert ["dssm", "0.2500", "137"] in rows  # 8 of the towers, 1 of the bias, 128 of co-occurrence
    assert ["popular", "0.1250", "1"] in rows


def test_input_is_text_and_not_markup(page):
    page.all("#tab-profile")[0].click()
    page.type("film-query", "<img src=x onerror=document.title='broken'>")
    page.until(lambda: page.texts("#films li") == ["Nothing found."])
    assert page.browser.title == "Two-tower retrieval"


@pytest.mark.parametrize("width", [320, 390, 768, 1280])
def test_nothing_is_cut_off_at_any_width(browser, url, width, tmp_path):
    with screen(browser, width):
        fits(Page(browser, url), width)
        browser.save_screenshot(str(Path(os.environ.get("SCREENSHOTS", tmp_path)) / f"{width}.png"))
        browser.get(f"{url}/docs")
        assert browser.execute_script("return document.documentElement.scrollWidth") <= width


def fits(page: Page, width: int) -> None:
    """Nothing is wider than the screen, and no control is cut off."""
    assert page.browser.execute_script("return document.documentElement.scrollWidth") <= width
    script = "return [...document.querySelectorAll('button, select, input')].filter((one) => one.checkVisibility()"
    script += " && one.getBoundingClientRect().right > innerWidth + 1).length"
    assert page.browser.execute_script(script) == 0


@pytest.mark.parametrize("width", [390, 1280])
def test_titles_of_markup_and_of_5000_characters_are_text_that_fits(browser, hostile_url, width, tmp_path):
    with screen(browser, width):
        page = Page(browser, hostile_url)
        page.all("#tab-profile")[0].click()
        for query, shown in ((MARKUP, MARKUP), (ENDLESS[:200], "W" * 119 + "…")):
            page.type("film-query", query)
            page.until(lambda shown=shown: any(text.startswith(shown) for text in page.texts("#films button")))
            fits(page, width)
            page.all("#films button")[0].click()
            page.until(lambda shown=shown: shown in page.texts("#history b"))
        page.until(lambda: page.texts("#lists section:first-child p") == ["made for this user"])
        assert set(page.titles(0)) == {MARKUP, "W" * 119 + "…"}
        fits(page, width)
        page.browser.save_screenshot(str(Path(os.environ.get("SCREENSHOTS", tmp_path)) / f"hostile-{width}.png"))
        for place in (0, 1):
            page.all("#history .film")[place].click()
            page.until(lambda: len(page.texts("#similar b")) == 10)
            fits(page, width)
            page.browser.switch_to.active_element.send_keys(Keys.ESCAPE)
        assert page.all("img") == []
        with pytest.raises(NoAlertPresentException):
            _ = page.browser.switch_to.alert


AXE = Path(os.environ.get("AXE", ROOT / "node_modules" / "axe-core" / "axe.min.js"))


@pytest.mark.skipif(not AXE.exists(), reason="needs axe-core: npm install --no-save axe-core")
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_axe_finds_nothing_serious(browser, url, scheme, width):
    """On the page, on a new profile, in the dialog of similar items, and on the page of the API."""
    dark = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", dark)
    with screen(browser, width):
        page = Page(browser, url)
        page.pick_user(15)
        assert serious(browser) == []
        page.all("#lists .film")[0].click()
        page.until(lambda: len(page.texts("#similar b")) == 10)
        assert serious(browser) == []
        page.browser.switch_to.active_element.send_keys(Keys.ESCAPE)
        page.all("#tab-profile")[0].click()
        page.add_film("Film 12")
        assert serious(browser) == []
        browser.get(f"{url}/docs")
        assert serious(browser) == []
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


def serious(browser: webdriver.Chrome) -> list[str]:
    """Rule and place of each serious or critical finding."""
    browser.execute_script(AXE.read_text(encoding="utf-8"))
    found = browser.execute_async_script("axe.run().then(arguments[0])")["violations"]
    return [
        f"{rule['id']}: {node['html'][:200]} {node['failureSummary']}"
        for rule in found
        for node in rule["nodes"]
        if rule["impact"] in ("serious", "critical")
    ]


def test_the_page_sends_no_request_to_another_host(browser, url):
    browser.get_log("performance")
    Page(browser, url)
    events = [json.loads(line["message"])["message"] for line in browser.get_log("performance")]
    asked = {one["params"]["request"]["url"] for one in events if one["method"] == "Network.requestWillBeSent"}
    assert f"{url}/models" in asked
    assert all(address.startswith((f"{url}/", "data:")) for address in asked), asked
