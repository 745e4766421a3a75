// The balance view: the place of every record, and the logs that could not be read.

import { fill, h } from "./dom.js";
import { count, printable } from "./format.js";
import * as source from "./source.js";

const NAMED = 200; // rejected records and unread logs that the server names

/** Make the view. */
export function makeBalance() {
  const element = h("div", { class: "balance" });
  return {
    element,
    redraw: () => null,
    async show(_, still) {
      const answer = await source.balance();
      if (still()) fill(element, records(answer), ...details(answer));
      return null;
    },
  };
}

function records({ logs, received, counted, duplicates, skipped, rejected, unreadable }) {
  const skips = Object.values(skipped).reduce((sum, n) => sum + n, 0);
  const sum = counted + duplicates + skips + rejected;
  const figure = (label, n, note) =>
    h("div", { class: "figure" }, h("dt", {}, label), h("dd", { class: "main" }, count(n)), h("dd", { class: "note" }, note ?? ""));
  return h(
    "section",
    { class: "panel", "aria-labelledby": "balance" },
    h("header", {}, h("h2", { id: "balance" }, "Every record")),
    h(
      "dl",
      { class: "figures" },
      figure("Logs read", logs, unreadable ? `${count(unreadable)} more could not be` : "all that were found"),
      figure("Records received", received),
      figure("= counted", counted),
      figure("+ duplicate", duplicates, "the same event again"),
      figure("+ skipped", skips, Object.entries(skipped).map(([kind, n]) => `${count(n)} ${printable(kind)}`).join(", ")),
      figure("+ rejected", rejected),
    ),
    h(
      "p",
      { class: sum === received ? "adds-up" : "adds-up wrong" },
      sum === received
        ? "It adds up: every record is in exactly one of these."
        : `It does not add up: ${count(received)} received, ${count(sum)} accounted for.`,
    ),
    h("p", { class: "faint" }, "This is the whole store; the choice above does not change it."),
  );
}

function details({ rejected, rejections, unreadable, unread }) {
  return [
    listing("rejections", "Rejected records", rejected, ["log", "place", "reason"], rejections),
    listing("unread", "Logs that could not be read", unreadable, ["log", "fault"], unread),
  ];
}

function listing(id, title, total, columns, rows) {
  return h(
    "section",
    { class: "panel", "aria-labelledby": id },
    h("header", {}, h("h2", { id }, title), h("span", { class: "total" }, count(total))),
    h(
      "div",
      { class: "scroll", tabindex: "0", role: "group", "aria-labelledby": id },
      h(
        "table",
        { class: "listing" },
        h("thead", {}, h("tr", {}, ...columns.map((name) => h("th", { scope: "col" }, name)))),
        h(
          "tbody",
          {},
          ...(rows.length
            ? rows.map((row) => h("tr", {}, ...columns.map((name) => h("td", {}, h("bdi", {}, printable(row[name]))))))
            : [h("tr", {}, h("td", { colspan: columns.length, class: "none" }, "None"))]),
        ),
      ),
    ),
    total > rows.length && rows.length >= NAMED ? h("p", { class: "faint" }, `the first ${count(rows.length)}`) : null,
  );
}
