"""The page as people use it: in a browser, on the synthetic trail and on hostile names."""

import csv
import io
import json
import re
import subprocess
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Locator, Page, Route, expect
from tests.commands import APITRACKER
from tests.web.serving import HOSTILE, THEMES, Open, figure, ingest, serving, settled

AUGUST = "?since=2026-08-01&until=2026-08-02"
API = "ec2.amazonaws.com:DescribeInstances"
ONE_API = "?where=eventSource=ec2.amazonaws.com&where=eventName=DescribeInstances"


def table(page: Page, name: str) -> Locator:
    """A table's panel, by its name in the address."""
    return page.locator(f"[data-table={name}]")


def cells(page: Page, name: str, row: int) -> list[str]:
    """The texts of a row of a table, without its sparkline."""
    return table(page, name).locator("tbody tr").nth(row).locator("th, td").all_inner_texts()[:5]


def query(page: Page) -> list[tuple[str, str]]:
    """The parameters in the address."""
    return parse_qsl(urlsplit(page.url).query)


def hold(page: Page, url: str) -> list[Route]:
    """Keep requests from being answered; they are in the list, which grows."""
    held: list[Route] = []

    def keep(route: Route) -> None:
        held.append(route)

    page.route(url, keep)
    return held


def drag(page: Page, start: float, end: float) -> None:
    """Brush over the chart, from and to shares of its width."""
    box = page.locator(".canvas .u-over").first.bounding_box()
    assert box is not None
    height = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + start * box["width"], height)
    page.mouse.down()
    page.mouse.move(box["x"] + (start + end) / 2 * box["width"], height)
    page.mouse.move(box["x"] + end * box["width"], height)
    page.mouse.up()


# --- what it shows ------------------------------------------------------------------------------


def test_the_figures_are_those_of_the_command_line(open_page: Open, site: str) -> None:
    """The first thing seen is the whole store: figures as `apitracker top` has them."""
    page = open_page(site)

    expect(figure(page, "Calls")).to_have_text("20,000")
    expect(figure(page, "Throttled")).to_have_text("1.5%")
    expect(page.locator("#title")).to_have_text("All calls")
    assert cells(page, "apis", 0) == ["sts: AssumeRole", "2,614", "0", "16", "0"]
    assert cells(page, "apis", 1)[:2] == ["ec2: DescribeInstances", "1,524"]
    expect(page.locator(".legend li")).to_have_count(8)
    expect(page.locator(".legend li").first).to_have_text("sts3,345")


def test_a_brush_zooms_and_back_widens(open_page: Open, site: str) -> None:
    """Dragging over the chart narrows all figures to that time, in whole steps; back undoes it."""
    page = open_page(f"{site}?since=2026-10-30T14:00Z&until=2026-10-30T15:00Z")
    before = figure(page, "Calls").inner_text()
    drag(page, 0.26, 0.49)
    page.wait_for_url("**since=2026-10-30T14%3A15Z**")

    assert dict(query(page)) == {"since": "2026-10-30T14:15Z", "until": "2026-10-30T14:30Z"}
    expect(figure(page, "Calls")).not_to_have_text(before)
    page.get_by_role("link", name="Remove time").click()
    expect(figure(page, "Calls")).to_have_text("20,000")
    page.go_back()
    page.go_back()
    expect(figure(page, "Calls")).to_have_text(before)


def test_a_brush_beyond_the_edge_ends_there(open_page: Open, site: str) -> None:
    """What is dragged out of the chart zooms up to its last step, without an error."""
    page = open_page(f"{site}?since=2026-10-30T14:00Z&until=2026-10-30T15:00Z")
    drag(page, 0.755, 1.2)
    page.wait_for_url("**since=2026-10-30T14%3A45Z**")

    assert dict(query(page)) == {"since": "2026-10-30T14:45Z", "until": "2026-10-30T15:00Z"}


@pytest.mark.parametrize(("at", "minute"), [(4.1, "14:04"), (4.9, "14:04"), (9.9, "14:09")])
def test_the_step_that_is_pointed_at_is_read_out(
    open_page: Open, site: str, at: float, minute: str
) -> None:
    """From its beginning to its end it is that step, and not the one whose start is closest."""
    page = open_page(f"{site}?since=2026-10-30T14:00Z&until=2026-10-30T14:10Z")
    box = page.locator(".canvas .u-over").first.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + at / 10 * box["width"], box["y"] + box["height"] / 2)

    expect(page.locator(".readout")).to_contain_text(f"2026-10-30 {minute} UTC, 1 min: ")


def test_the_incident_is_found_with_the_keyboard(open_page: Open, site: str) -> None:
    """Arrow keys point at a time and read it out; with Shift and Enter they zoom."""
    page = open_page(f"{site}?since=2026-10-30T14:00Z&until=2026-10-30T15:00Z")
    page.locator(".canvas").focus()
    page.keyboard.press("Home")
    expect(page.locator("#said")).to_contain_text("2026-10-30 14:00 UTC, 1 min: ")
    expect(page.locator("#said")).to_contain_text("30 Oct 2026, 15:00:00 CET")
    for _ in range(19):
        page.keyboard.press("Shift+ArrowRight")
    expect(page.locator(".readout")).to_contain_text("14:19 UTC")
    page.keyboard.press("Enter")
    page.wait_for_url("**until=2026-10-30T14**")

    assert dict(query(page)) == {"since": "2026-10-30T14:00Z", "until": "2026-10-30T14:20Z"}
    expect(figure(page, "Throttled")).to_have_text("28.4%")


def test_changes_are_against_the_time_before(open_page: Open, site: str) -> None:
    """The second day is compared with the first, which is as long."""
    page = open_page(f"{site}?since=2026-10-29&until=2026-10-30")
    changes = page.locator(".usage > .figures .change")

    expect(changes.first).to_have_attribute("title", "against the 1 d before")
    expect(changes).to_have_count(9)
    expect(changes.first).to_have_text(re.compile(r"[▲▼] \d+%|= as before"))


def test_what_calls_are_stacked_by(open_page: Open, site: str) -> None:
    """The chart stacks by outcome when that is chosen, and the address says so."""
    page = open_page(site)
    page.get_by_role("button", name="outcome", exact=True).click()
    expect(page.locator(".legend li")).to_have_text(
        ["ok18,903", "failed566", "throttled304", "denied227"]
    )
    expect(page.get_by_role("button", name="outcome", exact=True)).to_have_attribute(
        "aria-pressed", "true"
    )

    assert query(page) == [("by", "outcome")]


# --- narrowing ----------------------------------------------------------------------------------


def test_clicks_narrow_and_crumbs_widen(open_page: Open, site: str) -> None:
    """From a service to its API to a caller, by clicks; a crumb goes back to where it was."""
    page = open_page(site)
    table(page, "services").get_by_role("link", name="ec2").click()
    expect(page.locator("#title")).to_have_text("ec2")
    table(page, "apis").get_by_role("link", name="ec2: DescribeInstances").first.click()
    expect(page.locator("#title")).to_have_text("ec2 DescribeInstances")
    expect(figure(page, "Calls")).to_have_text("1,524")
    table(page, "callers").get_by_role("link", name="role/inventory-scanner").first.click()
    expect(figure(page, "Calls")).to_have_text("606")
    crumbs = page.locator("#crumbs li")
    expect(crumbs).to_have_count(4)
    address = page.url

    crumbs.nth(2).get_by_role("link").first.click()
    expect(figure(page, "Calls")).to_have_text("1,524")
    page.get_by_role("link", name="Remove API DescribeInstances").click()
    expect(page.locator("#title")).to_have_text("ec2")
    page.get_by_role("link", name="All calls").click()
    expect(figure(page, "Calls")).to_have_text("20,000")
    for calls in ("3,287", "1,524", "606"):
        page.go_back()
        expect(figure(page, "Calls")).to_have_text(calls)
    expect(figure(open_page(address), "Calls")).to_have_text("606")


def test_what_is_pressed_is_clicked(open_page: Open, site: str) -> None:
    """A link that is pressed stays until it is released, whatever is answered in between."""
    page = open_page(site)
    held = hold(page, "**/api/top?*")
    table(page, "services").get_by_role("link", name="ec2").click()
    expect(page.locator("#title")).to_have_text("ec2")
    table(page, "callers").get_by_role("link", name="role/inventory-scanner").hover()
    page.mouse.down()
    with page.expect_response(re.compile(r"/api/top\?.*by=caller&")) as answer:
        for route in held:
            route.continue_()
    page.unroute("**/api/top?*")
    answer.value.finished()
    page.evaluate("new Promise((done) => setTimeout(done, 100))")
    page.mouse.up()

    expect(page.locator("#crumbs li")).to_have_count(3)
    expect(table(page, "callers")).to_be_hidden()
    expect(table(page, "apis").locator("tbody")).not_to_contain_text("sts")


def test_what_is_pointed_at_keeps_its_place(open_page: Open, site: str) -> None:
    """The alarm of an API, which is answered last, moves nothing that is below it."""
    page = open_page(f"{site}?where=eventSource=ec2.amazonaws.com")
    held = hold(page, "**/api/thresholds?*")
    table(page, "apis").get_by_role("link", name="ec2: DescribeInstances").first.click()
    expect(figure(page, "Calls")).to_have_text("1,524")
    expect(table(page, "callers").locator("tbody")).to_contain_text("606")
    place = table(page, "callers").bounding_box()
    expect(page.locator(".own code")).to_have_count(0)
    held[0].continue_()

    expect(page.locator(".own code")).to_have_count(3)
    assert place is not None
    assert table(page, "callers").bounding_box() == place


def test_a_glob_and_a_time_narrow(open_page: Open, site: str) -> None:
    """What is typed narrows as it does on the command line; what is no time is said."""
    page = open_page(site)
    page.get_by_label("Field to narrow by").select_option("eventName")
    page.get_by_label("Glob that it matches").fill("DescribeInst*")
    page.get_by_role("button", name="Apply").click()
    expect(page.locator("#title")).to_have_text("DescribeInst*")
    expect(table(page, "apis").locator(".total")).to_have_text("4")
    page.get_by_label("from").fill("yesterdayish")
    page.get_by_role("button", name="Apply").click()

    expect(page.locator("#problem")).to_contain_text("yesterdayish: not a time: use 2026-10-01")


def test_a_table_is_sorted_searched_and_paged(open_page: Open, site: str) -> None:
    """Its order, page and search are in the address, and a link shows the same rows."""
    page = open_page(site)
    apis = table(page, "apis")
    apis.get_by_role("button", name="throttled").click()
    expect(apis.locator("th.throttled")).to_have_attribute("aria-sort", "descending")
    expect(apis.locator("tbody tr").first).to_contain_text("DescribeInstances")
    apis.get_by_role("button", name="Next page").click()
    expect(apis.locator(".pager")).to_contain_text("11\u201320 of")
    shown = cells(page, "apis", 0)
    assert query(page) == [("apis.sort", "throttled"), ("apis.page", "2")]
    assert cells(open_page(page.url), "apis", 0) == shown

    page.get_by_label("Search APIs").fill("getbucketacl")
    expect(apis.locator("tbody tr")).to_have_count(1)
    expect(apis.locator("tbody tr").first).to_contain_text("GetBucketAcl")
    expect(page.get_by_label("Search APIs")).to_be_focused()
    page.get_by_label("Search APIs").fill("<b>none</b>")
    expect(apis.locator("tbody")).to_have_text("Nothing contains “<b>none</b>”")


def test_one_api_has_its_alarm_and_its_cost(open_page: Open, site: str) -> None:
    """One API shows who calls it, how it ends, where, the alarm on it, and what it costs."""
    page = open_page(f"{site}{ONE_API}")
    commands = page.locator(".own code")

    expect(commands).to_have_count(3)
    expect(commands.first).to_have_text(
        re.compile(rf"apitracker alarm --above \d+ --per 1m --any-region {re.escape(API)}")
    )
    expect(page.locator(".own")).to_contain_text("3 metrics, $0.90 a month")
    expect(page.locator("[data-table]:visible h2")).to_have_text(
        ["Callers", "Outcomes and error codes", "Accounts", "Regions"]
    )
    page.get_by_role("button", name="Copy the alarm by the hour").click()
    expect(page.get_by_role("button", name="Copy the alarm by the hour")).to_have_text("Copied")
    assert page.evaluate("navigator.clipboard.readText()") == commands.nth(1).inner_text()


def test_throttles_name_the_culprit(open_page: Open, site: str) -> None:
    """The throttled view has the incident first, with who is behind it; a click shows it whole."""
    page = open_page(f"{site}?view=throttled")
    first = page.locator(".incidents tbody tr").first

    expect(first).to_contain_text("ec2: DescribeInstances")
    expect(first.locator(".callers li").first).to_contain_text("role/inventory-scanner")
    first.get_by_role("link", name="ec2: DescribeInstances").click()
    expect(page.locator(".over-time")).to_be_visible()
    expect(page.locator(".legend li").first).to_contain_text("role/inventory-scanner")


def test_reconciliation_adds_up(open_page: Open, site: str) -> None:
    """Every record is accounted for, and those that were rejected are named."""
    page = open_page(f"{site}?view=reconciliation")

    expect(page.locator(".figure .main")).to_have_text(["392", "20,198", "20,000", "196", "0", "2"])
    expect(page.locator(".adds-up")).to_contain_text("It adds up")
    expect(page.locator("[aria-labelledby=rejections] tbody tr")).to_have_count(2)


@pytest.mark.parametrize("form", ["CSV", "JSON"])
def test_exports_are_all_rows_of_what_is_shown(open_page: Open, site: str, form: str) -> None:
    """The file has the rows of the table, all of them, of what is narrowed to."""
    page = open_page(f"{site}?where=outcome=throttled")
    with page.expect_download() as downloading:
        table(page, "callers").get_by_role("link", name=f"Callers as {form}").click()
    text = downloading.value.path().read_text("utf-8")
    rows = list(csv.DictReader(io.StringIO(text))) if form == "CSV" else json.loads(text)

    assert sum(int(row["calls"]) for row in rows) == 304
    assert len(rows) == int(table(page, "callers").locator(".total").inner_text())


@pytest.mark.parametrize("form", ["CSV", "JSON"])
def test_exports_have_the_search_and_the_order_beside_them(
    open_page: Open, hostile: str, form: str
) -> None:
    """The file of a searched and sorted table has the rows that are shown, in their order."""
    page = open_page(f"{hostile}?callers.sort=name&callers.descending=false")
    page.get_by_label("Search Callers").fill("HACKED")
    expect(table(page, "callers").locator(".total")).to_have_text("3")
    with page.expect_download() as downloading:
        table(page, "callers").get_by_role("link", name=f"Callers as {form}").click()
    text = downloading.value.path().read_text("utf-8")
    rows = list(csv.DictReader(io.StringIO(text))) if form == "CSV" else json.loads(text)
    names = [row["caller"] for row in rows]

    assert names == [HOSTILE["image"], HOSTILE["shell"], HOSTILE["script"]]
    assert names == table(page, "callers").locator("tbody th").all_inner_texts()


# --- its looks ----------------------------------------------------------------------------------


def test_light_and_dark(open_page: Open, site: str) -> None:
    """The system's choice holds until another is made, which is kept."""
    page = open_page(site, theme="dark")
    ground = "getComputedStyle(document.documentElement).backgroundColor"
    dark = page.evaluate(ground)
    page.get_by_role("button", name="Theme: auto").click()
    light = page.evaluate(ground)
    page.reload()
    settled(page)

    assert (dark, light) == ("rgb(15, 19, 23)", "rgb(245, 246, 248)")
    assert page.evaluate(ground) == light
    expect(page.get_by_role("button", name="Theme: light")).to_be_visible()


@pytest.mark.parametrize("address", ["", ONE_API, "?view=throttled", "?view=reconciliation"])
def test_a_narrow_window_has_all_of_it(open_page: Open, site: str, address: str) -> None:
    """At 360 pixels nothing is wider than the window, but for tables that scroll by themselves."""
    page = open_page(f"{site}{address}", width=360)

    assert page.evaluate("document.documentElement.scrollWidth") == 360


@pytest.mark.parametrize(
    "address",
    [
        "",
        ONE_API,
        "?view=throttled&where=eventName=DescribeInstances",
        "?view=reconciliation",
        AUGUST,
    ],
)
def test_axe_finds_nothing_serious(open_page: Open, site: str, address: str) -> None:
    """No view breaks a rule of accessibility: labels, roles, and contrast in light and dark."""
    page = open_page(f"{site}{address}")
    found = []
    for theme in THEMES:
        page.emulate_media(color_scheme=theme)
        found += Axe().run(page).response["violations"]

    assert [(each["id"], node["html"]) for each in found for node in each["nodes"][:3]] == []


def test_the_keyboard_reaches_the_figures(open_page: Open, site: str) -> None:
    """The first stop leads past the controls; a followed link leaves the focus on the title."""
    page = open_page(site)
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the figures")).to_be_focused()
    link = table(page, "regions").get_by_role("link", name="eu-west-1")
    link.focus()
    page.keyboard.press("Enter")
    expect(page.locator("#title")).to_have_text("eu-west-1")
    expect(page.locator("#title")).to_be_focused()


# --- nothing there, and what comes --------------------------------------------------------------


def test_an_empty_store_says_what_to_do_and_then_shows(
    open_page: Open, trail: Path, tmp_path: Path
) -> None:
    """Without a store there are the commands to fill it; what they count shows up by itself."""
    path = tmp_path / "it's new.duckdb"
    with serving(path) as url:
        page = open_page(url)
        expect(page.get_by_role("heading", level=2)).to_have_text("There is no store yet")
        quoted = str(path).replace("'", "'\\''")
        expect(page.locator("code").first).to_have_text(
            f"apitracker ingest FOLDER --store '{quoted}'"
        )
        ingest(path, trail)

        expect(figure(page, "Calls")).to_have_text("20,000")


def test_a_time_without_calls_is_no_error(open_page: Open, site: str) -> None:
    """Zeros and empty tables, and a way back."""
    page = open_page(f"{site}{AUGUST}")

    expect(figure(page, "Calls")).to_have_text("0")
    expect(table(page, "apis").locator("tbody")).to_have_text("None")
    expect(page.locator("#span")).to_contain_text("The store has no calls before")
    page.get_by_role("link", name="All", exact=True).click()
    expect(figure(page, "Calls")).to_have_text("20,000")


def test_a_server_that_is_gone_is_said(open_page: Open, store: Path) -> None:
    """When the server ends, the page says so instead of showing nothing."""
    with serving(store) as url:
        page = open_page(url)
        page.route("**/api/**", lambda route: route.abort())
        page.get_by_role("link", name="24 h").click()

        expect(page.locator("#problem")).to_contain_text("The server does not answer")
        page.unroute_all()
        expect(page.locator("#problem")).to_be_hidden()


# --- hostile strings ----------------------------------------------------------------------------


def test_hostile_names_are_text(open_page: Open, hostile: str) -> None:
    """Markup, templates, formulas, control and bidirectional characters are shown as they are."""
    page = open_page(f"{hostile}?callers.sort=name&callers.descending=false")
    shown = table(page, "callers").locator("tbody th").all_inner_texts()

    assert "<script>window.hacked = 1</script>" in shown
    assert "{{7*7}}${7*7}#{7*7}<%= 7*7 %>" in shown
    assert '=HYPERLINK("http://example.com","x")' in shown
    assert "bell\\x07 escape\\x1b[31m null\\x00 line\\nbreak" in shown
    assert "\\u202egnp.exe\\u2066 \\u200b" in shown
    for view in ("throttled", "denied", "reconciliation"):
        page.goto(f"{hostile}?view={view}")
        settled(page)
    expect(page.locator("#view")).to_contain_text("<img src=x onerror=alert(1)>.json")
    assert page.evaluate("window.hacked") is None
    assert page.locator("main :is(script, img, iframe, b)").count() == 0


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_narrow_to_themselves(open_page: Open, hostile: str, name: str) -> None:
    """Whatever is in a name, a click on it narrows to its calls, and one API is shown as such."""
    page = open_page(f"{hostile}?apis.sort=name&apis.descending=false")
    order = sorted(HOSTILE.values())
    table(page, "apis").locator("tbody tr").nth(order.index(HOSTILE[name])).get_by_role(
        "link"
    ).click()

    expect(page.locator("#crumbs li")).to_have_count(3)
    expect(figure(page, "Calls")).to_have_text("1")
    assert page.evaluate("window.hacked") is None
    assert page.evaluate("document.documentElement.scrollWidth") == 1280


def test_commands_are_safe_to_paste(open_page: Open, site: str, tmp_path: Path) -> None:
    """A shell takes a name in the command of an alarm as one word, and runs nothing in it."""
    names = [text.replace("\0", "") for text in HOSTILE.values()]  # no word of a shell can hold it
    commands = open_page(site).evaluate(
        """async (names) => {
            const { alarmCommand } = await import("/static/usage.js");
            const api = (eventName) => ({ eventSource: "ec2.amazonaws.com", eventName });
            return names.map((name) => alarmCommand(api(name), 5, "1m", "-r"));
        }""",
        names,
    )
    done = subprocess.run(
        ["bash", "-c", "; ".join(["apitracker() { printf '%s\\0' \"$@\"; }", *commands])],  # noqa: S607
        cwd=tmp_path,
        env={"LC_ALL": "C.UTF-8"},
        capture_output=True,
        check=True,
    )
    words = iter(done.stdout.decode().split("\0"))

    for name in names:
        assert [next(words) for _ in range(8)] == [
            *("alarm", "--above", "5", "--per", "1m", "--region", "-r"),
            f"ec2.amazonaws.com:{name}",
        ]
    assert list(words) == [""]
    assert list(tmp_path.iterdir()) == []
    assert all(command.isprintable() for command in commands)


# --- the report ---------------------------------------------------------------------------------


def test_a_report_is_one_file_that_opens_offline(
    open_page: Open, store: Path, tmp_path: Path
) -> None:
    """The same overview, with nothing asked of any origin, the file's own folder included."""
    path = tmp_path / "usage.html"
    command: list[str | Path] = [APITRACKER, "report", "--store", store, "-o", path]
    subprocess.run(command, check=True, capture_output=True)
    page = open_page(path.as_uri())

    expect(figure(page, "Calls")).to_have_text("20,000")
    assert cells(page, "apis", 0) == ["sts: AssumeRole", "2,614", "0", "16", "0"]
    expect(page.locator(".incidents tbody tr").first).to_contain_text("role/inventory-scanner")
    expect(page.locator(".adds-up")).to_contain_text("It adds up")
    page.get_by_role("button", name="outcome", exact=True).click()
    expect(page.locator(".legend li").first).to_have_text("ok18,903")
    expect(page.locator("main a")).to_have_count(0)
    assert "http://" not in re.sub(r"http://www\.w3\.org/\S*", "", path.read_text("utf-8"))
