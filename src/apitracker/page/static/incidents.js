// The throttled (or denied) view: the APIs, their places and times, their peaks, and the callers behind them.

import { fill, h } from "./dom.js";
import { calls, count, isoTime, share, utc } from "./format.js";
import * as source from "./source.js";
import { narrowed, timed } from "./state.js";
import { fileLinks, valueLink } from "./table.js";
import { when } from "./usage.js";

// A quota is shared: the caller that uses it up is throttled no more than others; shares are of calls.
const WHO = { throttled: "who called it then, by calls", denied: "who was, by calls" };
const CALLERS = 3; // that are named for one API
const APIS = source.report ? 10 : 100; // that are shown, the worst first

/** Make the view of an outcome: "throttled" or "denied". */
export function makeIncidents(outcome) {
  const id = `incidents-${outcome}`;
  const files = h("span", { class: "files" });
  const total = h("span", { class: "total" });
  const body = h("tbody");
  const rest = h("p", { class: "faint" });
  const element = h(
    "section",
    { class: "panel incidents", "aria-labelledby": id },
    h(
      "header",
      {},
      h("h2", { id }, outcome === "throttled" ? "Throttled APIs" : "Denied APIs"),
      total,
      source.report ? null : files,
    ),
    h(
      "div",
      { class: "scroll", tabindex: "0", role: "group", "aria-labelledby": id },
      h(
        "table",
        {},
        h(
          "thead",
          {},
          h(
            "tr",
            {},
            h("th", { scope: "col", class: "calls" }, outcome),
            ...["API", WHO[outcome], "region, account", "when", "worst second", "worst minute"].map(
              (name) => h("th", { scope: "col" }, name),
            ),
          ),
        ),
        body,
      ),
    ),
    rest,
  );
  return {
    element,
    redraw: () => null,
    async show(state, still) {
      const incidents = await source.incidents(state, outcome);
      if (!still()) return null;
      total.textContent = count(incidents.length);
      fill(files, ...fileLinks(within(state, outcome), ["eventSource", "eventName", "awsRegion", "recipientAccountId", "caller"], outcome));
      const shown = incidents.slice(0, APIS);
      fill(body, ...shown.map((incident) => line(state, incident, outcome)));
      rest.textContent = shown.length < incidents.length ? `the first ${APIS}` : "";
      if (!incidents.length) {
        body.append(h("tr", {}, h("td", { colspan: "7", class: "none" }, `No call was ${outcome}.`)));
      }
      return null;
    },
  };
}

/** The state of the usage view with only the calls of an outcome. */
const within = (state, outcome) => ({
  ...state,
  view: "usage",
  where: [...state.where.filter(([field]) => field !== "outcome"), ["outcome", outcome]],
});

const AROUND = 300; // seconds before and after an incident that are shown with it

/**
 * The usage view of an incident: its API, region and account in its time. A quota is used up by all
 * calls, so those of a throttled API are shown with any outcome, by caller.
 */
function during(state, incident, outcome) {
  const { eventSource, eventName, awsRegion, recipientAccountId, first, last } = incident;
  const since = first - (first % 60) - AROUND;
  const until = last - (last % 60) + 60 + AROUND;
  const all = { ...timed(state, isoTime(since), isoTime(until)), view: "usage", where: [], by: "caller" };
  const own = narrowed(all, { eventSource, eventName, awsRegion, recipientAccountId });
  return outcome === "throttled" ? own : within(own, outcome);
}

function line(state, incident, outcome) {
  const { eventSource, eventName, awsRegion, recipientAccountId, first, last } = incident;
  const show = (now) => during(now, incident, outcome);
  const change = (now) => within(now, outcome);
  const sameDay = utc(first).slice(0, 10) === utc(last).slice(0, 10);
  const worst = (peak) =>
    peak
      ? h("td", { class: "span" }, h("strong", {}, count(peak.calls)), " at ", when(peak.at, sameDay && "time"))
      : h("td", { class: "span" }, "–");
  return h(
    "tr",
    {},
    h("td", { class: `calls ${outcome}` }, count(incident.calls)),
    h(
      "th",
      { scope: "row", class: "name" },
      valueLink(state, { eventSource, eventName }, show),
    ),
    h("td", {}, callers(state, incident, outcome, show)),
    h(
      "td",
      {},
      valueLink(state, { awsRegion }, change),
      " ",
      valueLink(state, { recipientAccountId }, change),
    ),
    h("td", { class: "span" }, when(first), first === last ? null : h("span", {}, " – ", when(last, sameDay && "time"))),
    worst(incident.worstSecond),
    worst(incident.worstMinute),
  );
}

function callers(state, { callers, outsideQuota, awsTriggered }, outcome, change) {
  const outside = outsideQuota.reduce((sum, each) => sum + each.calls, 0);
  const names = outsideQuota.map((each) => each.caller).join("\n");
  return h(
    "ol",
    { class: "callers" },
    ...callers.slice(0, CALLERS).map(({ caller, calls: made, throttled: ended, share: part }) => {
      const bar = h("span", { class: "bar", "aria-hidden": "true" });
      bar.style.width = `${100 * part}%`;
      const title = `${calls(made)}, ${count(ended)} ${outcome}`;
      const number = h("span", { class: "number", title }, share(part, 1));
      return h("li", {}, bar, valueLink(state, { caller }, change), number);
    }),
    callers.length > CALLERS ? h("li", { class: "faint" }, `and ${count(callers.length - CALLERS)} more`) : null,
    outside ? h("li", { class: "faint", title: names }, `${calls(outside)} do not count toward the limit`) : null,
    awsTriggered ? h("li", { class: "faint" }, `${calls(awsTriggered)} throttled by an issue of AWS`) : null,
  );
}
