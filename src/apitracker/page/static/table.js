// A ranked table of calls: sorted, searched, paged; a click narrows everything to a row.

import { fill, h, s } from "./dom.js";
import { FIELD_NAMES, count, printable, share, short } from "./format.js";
import { ROWS, TABLES, exported, report } from "./source.js";
import { address, narrowed, table, withTable } from "./state.js";

const NUMBERS = ["calls", "throttled", "denied", "failed"];

/**
 * Make the panel of the table name. go(change, {replace}) shows the present
 * state after change: the rows shown here may be older, while an answer is awaited.
 *
 * Returns its element, and show(state, answer).
 */
export function makeTable(name, title, go) {
  const fields = TABLES[name];
  const id = `table-${name}`;
  let state = null;
  const total = h("span", { class: "total" });
  const files = h("span", { class: "files" });
  const search = h("input", {
    type: "search",
    class: "search",
    placeholder: "Search",
    "aria-label": `Search ${title}`,
    spellcheck: "false",
    autocomplete: "off",
  });
  let typing = 0;
  search.addEventListener("input", () => {
    clearTimeout(typing);
    typing = setTimeout(
      () => go((now) => withTable(now, name, { search: search.value }), { replace: true }),
      200,
    );
  });
  const head = h("tr");
  const body = h("tbody");
  const pager = h("div", { class: "pager" });
  const element = h(
    "section",
    { class: "panel", "aria-labelledby": id, "data-table": name },
    h("header", {}, h("h2", { id }, title), total, report ? null : search, report ? null : files),
    h(
      "div",
      { class: "scroll", tabindex: "0", role: "group", "aria-labelledby": id },
      h("table", { class: "top" }, h("thead", {}, head), body),
    ),
    pager,
  );

  function show(next, answer) {
    state = next;
    const { sort, descending, page, search: text } = table(state, name);
    if (document.activeElement !== search) search.value = text;
    total.textContent = count(answer.total);
    fill(files, ...fileLinks(state, fields, title, table(state, name)));
    fill(
      head,
      heading("name", fields.map((field) => FIELD_NAMES[field] ?? field).join(", "), sort, descending),
      ...NUMBERS.map((number) => heading(number, number, sort, descending)),
      h("th", { scope: "col", class: "spark" }, "over time"),
    );
    const most = answer.rows.reduce((most, row) => Math.max(most, row.calls), 0);
    fill(body, ...answer.rows.map((row) => line(state, fields, row, most)));
    if (!answer.rows.length) {
      body.append(
        h("tr", {}, h("td", { colspan: "6", class: "none" }, text ? `Nothing contains “${printable(text)}”` : "None")),
      );
    }
    fill(pager, ...(report ? cut(answer) : pages(page, answer.total)));
  }

  function heading(column, text, sort, descending) {
    const sorted = column === sort;
    const next = { sort: column, descending: sorted ? !descending : column !== "name" };
    const change = (now) => withTable(now, name, next);
    const order = sorted ? (descending ? "descending" : "ascending") : "none";
    return h(
      "th",
      { scope: "col", class: column, "aria-sort": order },
      report ? text : h("button", { type: "button", name: `sort-${column}`, onclick: () => go(change) }, text),
    );
  }

  function pages(page, many) {
    if (many <= ROWS) return [];
    const last = Math.ceil(many / ROWS);
    const to = (text, label, target) =>
      h(
        "button",
        {
          type: "button",
          name: label,
          "aria-label": `${label} page of ${title}`,
          disabled: target < 1 || target > last,
          onclick: () => go((now) => withTable(now, name, { page: target })),
        },
        text,
      );
    const first = (page - 1) * ROWS + 1;
    return [
      h("span", {}, `${count(first)}–${count(Math.min(page * ROWS, many))} of ${count(many)}`),
      to("‹", "Previous", page - 1),
      to("›", "Next", page + 1),
    ];
  }

  return { element, show };
}

/** How much of a table a report has. */
function cut({ rows, total }) {
  return rows.length < total ? [h("span", {}, `the first ${count(rows.length)} of ${count(total)}`)] : [];
}

/** Links to the rows of fields as CSV and JSON, in the order and with the search of how, a table. */
export function fileLinks(state, fields, what, how) {
  return ["csv", "json"].map((form) =>
    h(
      "a",
      { href: exported(state, fields, form, how), download: true, "aria-label": `${what} as ${form.toUpperCase()}` },
      form.toUpperCase(),
    ),
  );
}

/** A link to the present state after change, as of when it is followed. */
export function stateLink(state, change, attributes, ...children) {
  const link = h("a", { href: address(change(state)), ...attributes }, ...children);
  link.change = change;
  return link;
}

/** A link that narrows to values, after change; in a report it is text. */
export function valueLink(state, values, change = (now) => now) {
  const title = Object.values(values).map(printable).join(" ");
  if (report) return h("span", { title }, named(values));
  return stateLink(state, (now) => narrowed(change(now), values), { title }, named(values));
}

/** The values of fields, shortened; the part that matters less is faint. */
function named(values) {
  const parts = Object.entries(values).map(([field, value]) => {
    const [name, rest] = short(field, value);
    return h("bdi", { class: field }, name, rest ? h("span", { class: "faint" }, name ? ` ${rest}` : rest) : null);
  });
  const between = "eventSource" in values ? ": " : " ";
  return h("span", { class: "value" }, ...parts.flatMap((part, index) => (index ? [between, part] : [part])));
}

function line(state, fields, row, most) {
  const bar = h("span", { class: "bar", "aria-hidden": "true" });
  bar.style.width = `${(100 * row.calls) / (most || 1)}%`;
  const values = Object.fromEntries(fields.map((field) => [field, row.key[field]]));
  return h(
    "tr",
    {},
    h("th", { scope: "row", class: "name" }, bar, valueLink(state, values)),
    h("td", { class: "calls" }, count(row.calls)),
    ...NUMBERS.slice(1).map((number) =>
      h(
        "td",
        { class: row[number] ? number : `${number} zero`, title: `${share(row[number], row.calls)} of its calls` },
        count(row[number]),
      ),
    ),
    h("td", { class: "spark" }, spark(row.spark)),
  );
}

/** The calls of a row over time, by itself: its most is the full height. */
function spark(values) {
  const [width, height] = [80, 18];
  const most = values.reduce((most, n) => Math.max(most, n), 0) || 1;
  const x = (index) => ((index * width) / values.length).toFixed(1);
  const y = (n) => (height - 1 - (n / most) * (height - 2)).toFixed(1);
  const top = values.map((n, index) => `H${x(index)}V${y(n)}`).join("");
  return s(
    "svg",
    { viewBox: `0 0 ${width} ${height}`, width, height, "aria-hidden": "true" },
    s("path", { d: `M0 ${height}${top}H${width}V${height}Z` }),
  );
}
