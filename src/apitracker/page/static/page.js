// The page: reads the address, shows its view, and looks for new calls in the store.

import { makeBalance } from "./balance.js";
import { fill, h, say } from "./dom.js";
import { FIELD_NAMES, calls, count, isoTime, length, plain, printable, shellQuoted, utc } from "./format.js";
import { makeIncidents } from "./incidents.js";
import * as source from "./source.js";
import { address, exact, isMoving, read, timed } from "./state.js";
import { makeUsage, oneApi, when } from "./usage.js";

const POLL_MILLISECONDS = 3000;
const VIEWS = {
  usage: ["Usage", () => makeUsage(go)],
  throttled: ["Throttled", () => makeIncidents("throttled")],
  denied: ["Denied", () => makeIncidents("denied")],
  reconciliation: ["Balance", makeBalance], // the name in addresses is that of 0.2.0
};
const PRESETS = [["1 h", 3600], ["6 h", 21600], ["24 h", 86400], ["7 d", 604800], ["30 d", 2592000], ["90 d", 7776000]];

const part = (id) => document.getElementById(id);
const views = new Map();
let state = read(source.report ? source.report.address : location.search);
let about = null;
let unanswered = false; // whether to ask the failed question again
let shownIn = null; // the minute in which it was shown
let turn = 0; // the number of the latest showing: answers to an older one come too late

function view(name) {
  if (!views.has(name)) views.set(name, VIEWS[name][1]());
  return views.get(name);
}

/** Show the state after change. */
function go(change, { replace = false } = {}) {
  state = change(state);
  if (!source.report && address(state) !== (location.search || "?")) {
    history[replace ? "replaceState" : "pushState"](null, "", address(state));
  }
  show();
}

const isEmpty = () => !about.calls && !about.logs;

async function show() {
  const mine = ++turn;
  const still = () => mine === turn;
  shownIn = source.thisMinute();
  showFrame();
  if (isEmpty()) {
    showEmpty();
    return;
  }
  const names = source.report ? Object.keys(VIEWS) : [state.view];
  const shown = names.map(view);
  const main = part("view");
  const elements = shown.map(({ element }) => element);
  if (elements.some((element, at) => main.children[at] !== element)) main.replaceChildren(...elements);
  main.setAttribute("aria-busy", "true");
  try {
    const answers = await Promise.all(shown.map((each) => each.show(state, still)));
    if (!still()) return;
    showProblem("");
    showSpan(answers[0]);
  } catch (e) {
    if (!(e instanceof source.Unanswered)) throw e;
    if (still()) showProblem(e.message, e.passing);
  } finally {
    if (still()) main.setAttribute("aria-busy", "false");
  }
}

// --- the frame around the views -----------------------------------------------------------------

function showFrame() {
  const crumbs = showCrumbs();
  const title = state.view === "reconciliation" ? "All logs" : crumbs;
  part("title").textContent = title;
  document.title = title === "All calls" ? "API usage" : `${title} – API usage`;
  fill(
    part("views"),
    ...(source.report ? [] : Object.entries(VIEWS)).map(([name, [text]]) =>
      h(
        "a",
        { href: address({ ...state, view: name, tables: {} }), "aria-current": name === state.view ? "page" : null },
        text,
      ),
    ),
  );
  fill(
    part("store"),
    h("bdi", {}, printable(about.store)),
    ...(about.last ? [" until ", when(about.last)] : []),
  );
  fill(part("foot"), `apitracker ${about.version}: `, foot());
  part("filters").hidden = part("crumbs").hidden =
    source.report !== null || state.view === "reconciliation" || isEmpty();
  if (!source.report) showFilters();
}

function foot() {
  if (source.report) return `a report of ${calls(about.calls)} in ${count(about.logs)} logs. Times are UTC.`;
  return h(
    "span",
    {},
    `${calls(about.calls)} in ${count(about.logs)} logs. Times are UTC, local on hover. `,
    h("a", { href: "/openapi.json" }, "All figures as JSON"),
  );
}

/** Show the values that the page is narrowed to; returns the title. */
function showCrumbs() {
  const bare = { ...state, tables: {}, by: null };
  const crumbs = [];
  const where = state.where.map(([field, glob]) => {
    const value = exact(glob);
    return [field, glob, value === null ? printable(glob) : plain(field, value)];
  });
  where.forEach(([field, , text], at) => {
    crumbs.push({
      label: `${FIELD_NAMES[field] ?? printable(field)} `,
      text,
      here: { ...bare, where: state.where.slice(0, at + 1) },
      without: { ...bare, where: state.where.filter((_, other) => other !== at) },
    });
  });
  if (state.since || state.until) {
    crumbs.push({
      label: "time ",
      text: [state.since && `from ${printable(state.since)}`, state.until && `to ${printable(state.until)}`]
        .filter(Boolean)
        .join(" "),
      here: bare,
      without: timed(bare, "", ""),
    });
  }
  fill(
    part("crumbs"),
    ...(crumbs.length
      ? [
          h(
            "ol",
            {},
            h("li", {}, h("a", { href: address({ ...bare, where: [], since: "", until: "" }) }, "All calls")),
            ...crumbs.map(({ label, text, here, without }) =>
              h(
                "li",
                {},
                h("a", { href: address(here) }, h("span", { class: "faint" }, label), h("bdi", {}, text)),
                h("a", { class: "remove", href: address(without), "aria-label": `Remove ${label}${text}` }, "×"),
              ),
            ),
          ),
        ]
      : []),
  );
  const api = oneApi(state);
  if (api) return `${plain("eventSource", api.eventSource)} ${plain("eventName", api.eventName)}`;
  return where.length ? where.map(([, , text]) => text).join(", ") : "All calls";
}

function showSpan(summary) {
  if (!summary || summary.since === null || about.last === null) {
    fill(part("span"));
    return;
  }
  const { since, until } = summary;
  fill(
    part("span"),
    when(since),
    " to ",
    when(until),
    ` UTC, ${length(until - since)}`,
    ...(source.report ? [] : offerLastDay(since, until)),
  );
}

/** Where no call can be: an age is from now, and the calls of a store may have ended long before. */
function offerLastDay(since, until) {
  const isBefore = until <= about.first;
  if (!isBefore && since <= about.last) return [];
  return [
    `. The store has no calls ${isBefore ? "before" : "after"} `,
    when(isBefore ? about.first : about.last),
    ": ",
    h("a", { href: address(timed(state, lastly(86400), "")) }, "show the last 24 h of the store"),
  ];
}

function showProblem(text, passing = false) {
  unanswered = passing;
  if (part("problem").textContent !== printable(text)) part("problem").textContent = printable(text);
  part("problem").hidden = !text;
  part("view").classList.toggle("stale", text !== "");
}

function showEmpty() {
  const store = about.store === "usage.duckdb" ? "" : ` --store ${shellQuoted(about.store)}`;
  const command = (text) => h("code", { class: "block" }, text);
  part("view").setAttribute("aria-busy", "false");
  showSpan(null);
  showProblem("");
  fill(
    part("view"),
    h(
      "section",
      { class: "panel empty" },
      h("h2", {}, about.exists ? "Nothing has been counted yet" : "There is no store yet"),
      h("p", {}, "Count log files into it, and they show up here within seconds:"),
      command(`apitracker ingest FOLDER${store}`),
      command(`apitracker ingest s3://BUCKET/AWSLogs/ACCOUNT/CloudTrail${store}`),
      h("p", {}, "With no account, try it on a synthetic trail:"),
      command(`apitracker sample trail && apitracker ingest trail${store}`),
    ),
  );
}

// --- filters ------------------------------------------------------------------------------------

/** Whether calls come in, so that the last hour is the one up to now. */
const isLive = () => Date.now() / 1000 - about.last < 7200;

/** From when the last width seconds are: an age while calls come in, else before the last call. */
function lastly(width) {
  const ages = { 3600: "1h", 21600: "6h", 86400: "24h", 604800: "7d", 2592000: "30d", 7776000: "90d" };
  if (isLive()) return ages[width];
  return isoTime(Math.ceil((about.last + 1) / 60) * 60 - width);
}

function makeFilters() {
  const input = (name, label, hint) =>
    h("label", {}, `${label} `, h("input", { name, placeholder: hint, size: "17", spellcheck: "false", autocomplete: "off" }));
  const presets = h("div", { class: "presets", role: "group", "aria-label": "Time" });
  const fields = h("select", { name: "field", "aria-label": "Field to narrow by" });
  const form = part("filters");
  fill(
    form,
    presets,
    input("since", "from", "2026-10-01T12:30Z, 2d"),
    input("until", "to", "now"),
    h(
      "span",
      { class: "narrow" },
      h("label", {}, "only ", fields),
      h("input", { name: "glob", "aria-label": "Glob that it matches", title: "* is any text, ? is any character, [ab] is either", placeholder: "Describe*", size: "14", spellcheck: "false", autocomplete: "off" }),
    ),
    h("button", { type: "submit" }, "Apply"),
  );
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const { since, until, field, glob } = Object.fromEntries(new FormData(form));
    form.elements.glob.value = "";
    go((now) => ({
      ...timed(now, since.trim(), until.trim()),
      where: glob ? [...now.where, [field, glob]] : now.where,
    }));
  });
}

function showFilters() {
  const form = part("filters");
  const { since, until, field } = form.elements;
  if (document.activeElement !== since) since.value = state.since;
  if (document.activeElement !== until) until.value = state.until;
  if (!field.options.length) {
    field.append(...about.fields.map((name) => h("option", { value: name }, name)));
    if (about.fields.includes("eventName")) field.value = "eventName";
  }
  const upto = about.last === null || isLive() ? ", to now" : ` of the store, to ${utc(about.last)}`;
  const choice = (text, from) =>
    h(
      "a",
      {
        title: from ? `the last ${text}${upto}` : null,
        href: address(timed(state, from, "")),
        "aria-current": state.since === from && !state.until ? "true" : null,
      },
      text,
    );
  fill(
    form.querySelector(".presets"),
    choice("All", ""),
    ...(about.last === null ? [] : PRESETS.map(([text, width]) => choice(text, lastly(width)))),
  );
}

// --- theme --------------------------------------------------------------------------------------

const THEMES = ["auto", "light", "dark"];

function chosenTheme() {
  return document.documentElement.dataset.theme ?? "auto";
}

function showTheme() {
  part("theme").textContent = `Theme: ${chosenTheme()}`;
  for (const each of views.values()) each.redraw();
}

function nextTheme() {
  const theme = THEMES[(THEMES.indexOf(chosenTheme()) + 1) % THEMES.length];
  if (theme === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
  try {
    localStorage.setItem("theme", theme);
  } catch {
    // Where nothing may be kept, it holds for this page.
  }
  showTheme();
}

// --- starting, and new calls --------------------------------------------------------------------

/** Look whether there is something new in the store, now and then, while somebody looks. */
async function poll() {
  if (document.hidden) return;
  try {
    const next = await source.about();
    const isNew = about === null || next.logs !== about.logs || next.calls !== about.calls;
    const first = about === null;
    about = next;
    if (isNew) source.forget();
    const hasMoved = isMoving(state) && source.thisMinute() !== shownIn;
    if (isNew || unanswered || hasMoved) await show();
    if (isNew && !first) say(`Updated: ${calls(about.calls)} in ${count(about.logs)} logs`);
  } catch (e) {
    if (!(e instanceof source.Unanswered)) throw e;
    showProblem(e.message, e.passing);
  }
}

async function pollOn() {
  try {
    await poll();
  } finally {
    if (!source.report) setTimeout(pollOn, POLL_MILLISECONDS);
  }
}

function start() {
  showTheme();
  part("theme").addEventListener("click", nextTheme);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", showTheme);
  if (!source.report) {
    makeFilters();
    document.addEventListener("click", followed);
    addEventListener("popstate", () => {
      state = read(location.search);
      if (about) show();
    });
    document.addEventListener("visibilitychange", poll);
  }
  pollOn();
}

/** A link within the page is followed without loading it again. */
function followed(event) {
  const link = event.target.closest?.('a[href^="?"]');
  if (!link || event.button || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
  event.preventDefault();
  const kept = link.closest("nav, form");
  go(link.change ?? (() => read(link.getAttribute("href"))));
  if (!kept) {
    scrollTo({ top: 0 });
    part("title").focus({ preventScroll: true });
  }
}

start();
