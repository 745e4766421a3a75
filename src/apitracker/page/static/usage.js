// The usage view: headline figures, calls over time, and ranked tables.

import { SLOTS, colourOf, makeChart, readout } from "./chart.js";
import { copyButton, fill, h } from "./dom.js";
import { FIELD_NAMES, calls, count, isoTime, length, local, plain, printable, share, shellQuoted, utc } from "./format.js";
import * as source from "./source.js";
import { alarmOf, fixed, narrowed, timed } from "./state.js";
import { fileLinks, makeTable, stateLink, valueLink } from "./table.js";

const STACKS = {
  eventSource: "service",
  awsRegion: "region",
  recipientAccountId: "account",
  outcome: "outcome",
  caller: "caller",
  eventName: "API",
};
const METRIC_DOLLARS = 0.3; // a month, for each of the first 10,000: ../../prices.json
const ALARM_DOLLARS = 0.1;

/** The field to stack calls over time by: the chosen one, else the one that tells most. */
export function stackedBy(state) {
  if (state.by) return state.by;
  const values = fixed(state);
  if (!("eventSource" in values)) return "eventSource";
  if (!("eventName" in values)) return "eventName";
  return "outcome" in values ? "caller" : "outcome";
}

/** {eventSource, eventName} where the state is narrowed to one API, else null. */
export function oneApi(state) {
  const { eventSource, eventName } = fixed(state);
  return eventSource === undefined || eventName === undefined ? null : { eventSource, eventName };
}

/** Make the view. go(change) shows the present state after change. */
export function makeUsage(go) {
  let state = null;
  let data = null;
  const figures = h("dl", { class: "figures", "aria-label": "Headline figures" });
  const stack = h("div", { class: "stack", role: "group", "aria-label": "Stack by" });
  const tools = h("div", { class: "tools", role: "group", "aria-label": "Time" });
  const files = h("span", { class: "files" });
  const canvas = h("div", {
    class: "canvas",
    tabindex: "0",
    role: "group",
    "aria-label":
      "Calls over time. Arrow keys point at a time, with Shift they mark, Enter zooms to what is marked.",
  });
  const legend = h("ol", { class: "legend" });
  const pointed = h("p", { class: "readout" });
  const chart = makeChart(canvas, {
    zoom: (since, until) => go((now) => timed(now, isoTime(since), isoTime(until))),
    pointed: point,
  });
  const tables = [
    makeTable("apis", "APIs", go),
    makeTable("callers", "Callers", go),
    makeTable("services", "Services", go),
    makeTable("errors", "Outcomes and error codes", go),
    makeTable("accounts", "Accounts", go),
    makeTable("regions", "Regions", go),
  ];
  const ownNote = h("p");
  const ownLines = h("div", { class: "lines" });
  const own = h(
    "section",
    { class: "panel own", "aria-labelledby": "own-title", hidden: true },
    h("header", {}, h("h2", { id: "own-title" }, "Alarm and cost")),
    ownNote,
    ownLines,
  );
  const element = h(
    "div",
    { class: "usage" },
    figures,
    h(
      "section",
      { class: "panel over-time", "aria-labelledby": "over-time" },
      h("header", {}, h("h2", { id: "over-time" }, "Calls over time"), stack, tools, files),
      h("div", { class: "chart" }, canvas, legend),
      pointed,
    ),
    own,
    h("div", { class: "tables" }, ...tables.map((table) => table.element)),
  );

  function point(index) {
    if (!data) return;
    pointed.textContent =
      index === null
        ? `One step is ${length(data.step)}; times are UTC. ` +
          (source.report ? "" : "Drag to zoom, or use the arrow keys and Enter.")
        : readout(data, index);
    for (const [at, item] of [...legend.children].entries()) {
      const { calls } = data.series[at];
      item.lastChild.textContent = count(index === null ? calls.reduce((sum, n) => sum + n, 0) : calls[index]);
    }
  }

  function showSeries(answer) {
    const by = stackedBy(state);
    data = answer;
    chart.show(answer, by);
    fill(
      legend,
      ...answer.series.map(({ name }) => {
        const swatch = h("span", { class: `swatch fill-${colourOf(by, name)}`, "aria-hidden": "true" });
        const text = name === null ? h("span", { class: "faint" }, "all others") : valueLink(state, { [by]: name });
        return h("li", {}, swatch, text, h("span", { class: "number" }));
      }),
    );
    point(null);
  }

  function showTools(answer) {
    const chosen = stackedBy(state);
    fill(
      stack,
      ...Object.entries(STACKS).map(([by, name]) =>
        h(
          "button",
          {
            type: "button",
            name: `by-${by}`,
            "aria-pressed": String(by === chosen),
            onclick: () => go((now) => ({ ...now, by })),
          },
          name,
        ),
      ),
    );
    if (source.report) return;
    const { since, until } = answer;
    const width = Math.max(until - since, 60);
    const to = (text, label, from, upto, off) =>
      h(
        "button",
        {
          type: "button",
          name: label,
          "aria-label": label,
          title: label,
          disabled: off,
          onclick: () =>
            go((now) => timed(now, isoTime(Math.floor(from / 60) * 60), isoTime(Math.ceil(upto / 60) * 60))),
        },
        text,
      );
    fill(
      tools,
      to("‹", "Earlier", since - width / 2, until - width / 2),
      to("−", "Zoom out", since - width / 2, until + width / 2),
      to("+", "Zoom in", since + width / 4, until - width / 4, width < 240),
      to("›", "Later", since + width / 2, until + width / 2),
    );
    fill(files, ...fileLinks(state, [timeField(data?.step ?? 60), chosen], "Calls over time"));
  }

  /** Keep the place of an alarm until it is answered, so that nothing below it moves then. */
  function prepareOwn(alarm, isAnother) {
    own.hidden = !alarm;
    if (!alarm) return;
    const ignored = alarm.ignored.map((field) => FIELD_NAMES[field] ?? printable(field));
    ownNote.hidden = !ignored.length;
    ownNote.textContent = ignored.length
      ? `An alarm is on all calls of the API${inRegion(alarm)}: it cannot be narrowed by ${ignored.join(", ")}.`
      : "";
    if (isAnother) ownLines.replaceChildren();
    ownLines.style.setProperty("--lines", alarmLines(alarm).length);
  }

  function showOwn(alarm, answer) {
    const { values, outcome } = alarm;
    const many = Math.max(answer.regions, 1);
    const dollars = (amount) => `$${amount.toFixed(2)}`;
    const where = inRegion(alarm);
    fill(
      ownLines,
      ...(canAlarm(values)
        ? alarmLines(alarm).flatMap((line) => alarmLine(values, answer, line))
        : [h("p", {}, "No alarm can be made on it: a command cannot name its service or the API.")]),
      h(
        "p",
        { class: "cost" },
        outcome ? `Published by the metric set outcomes, ${outcome} calls of this time${where} are ` : `Published, the calls of this time${where} are `,
        h("strong", {}, `${count(many)} ${many === 1 ? "metric" : "metrics"}, ${dollars(many * METRIC_DOLLARS)} a month`),
        where ? "" : `: ${dollars(METRIC_DOLLARS)} for each region`,
        `. An alarm is ${dollars(ALARM_DOLLARS)} a month for each metric that it watches. List prices of us-east-1.`,
      ),
    );
  }

  return {
    element,
    redraw: chart.draw,
    /** Ask for all that state shows; still() says whether it is still looked at. */
    async show(next, still) {
      const before = state && alarmOf(state);
      state = next;
      const alarm = source.report ? null : alarmOf(state);
      const known = fixed(state);
      const shown = tables.filter(({ element }) => !hidden(element.dataset.table, known));
      for (const { element } of tables) element.hidden = !shown.some((table) => table.element === element);
      prepareOwn(alarm, JSON.stringify(alarm) !== JSON.stringify(before));
      const then = (asked, show) => asked.then((answer) => (still() ? show(answer) : null));
      const summary = source.summary(state);
      const series = source.series(state, stackedBy(state), SLOTS);
      await Promise.all([
        then(summary, (answer) => showFigures(figures, state, answer)),
        then(series, showSeries),
        then(Promise.all([summary, series]), ([answer]) => showTools(answer)),
        ...shown.map((table) =>
          then(source.top(state, table.element.dataset.table), (answer) => table.show(state, answer)),
        ),
        alarm ? then(source.thresholds(state, alarm), (answer) => showOwn(alarm, answer)) : null,
      ]);
      return summary;
    },
  };
}

/** Whether all fields of a table are narrowed to one value: a table of one row says nothing. */
function hidden(name, known) {
  return source.TABLES[name].every((field) => field in known);
}

const timeField = (step) => (step < 3600 ? "minute" : step < 86400 ? "hour" : "day");

/** Whether `apitracker alarm` takes it: a service by its eventSource, and a name that is not blank. */
const canAlarm = ({ eventSource, eventName }) =>
  /^[A-Za-z0-9.-]{1,253}$/.test(eventSource) && eventName.trim() !== "" && !/[*?]/.test(eventName);

const inRegion = ({ values }) =>
  values.awsRegion === undefined ? "" : ` in ${plain("awsRegion", values.awsRegion)}`;

const isThrottledOrDenied = (outcome) => outcome === "throttled" || outcome === "denied";

/** The alarms to offer: name, unit of time, and the outcome it counts. */
function alarmLines({ outcome }) {
  if (isThrottledOrDenied(outcome)) return [["minute", "minute", outcome]];
  const lines = [["minute", "minute", outcome], ["hour", "hour", outcome]];
  return outcome ? lines : [...lines, ["throttled", "minute", "throttled"]];
}

/** The command of an alarm, and when it fires. */
function alarmLine(values, answer, [name, unit, outcome]) {
  const threshold = isThrottledOrDenied(outcome) ? { ...answer[unit], above: 0 } : answer[unit];
  const { above } = threshold;
  const per = { minute: "1m", hour: "1h" }[unit];
  const command = above === null ? null : alarmCommand(values, above, per, values.awsRegion, outcome);
  return [
    h(
      "div",
      { class: "command" },
      h("span", { class: "faint" }, name),
      ...(command === null
        ? []
        : [
            h("code", { tabindex: "0", role: "group", "aria-label": `Alarm by the ${name}` }, command),
            copyButton(command, `the alarm by the ${name}`),
          ]),
    ),
    h("p", { class: "faint" }, ...firing(threshold, unit, outcome)),
  ];
}

/** When an alarm with this threshold fires, and whether it would have fired in the chosen time. */
function firing({ above, at, most, throttledOrDenied, exceeded }, unit, outcome) {
  const many = (n) => `${count(n)} ${unit}${n === 1 ? "" : "s"}`;
  if (isThrottledOrDenied(outcome)) {
    const had = throttledOrDenied ? `${many(throttledOrDenied)} of this time had one` : `no ${unit} of this time had one`;
    return [`Fires at the first ${outcome} call, if the metric set outcomes is published: ${had}.`];
  }
  if (above === null) {
    return [
      throttledOrDenied
        ? `In each ${unit} of this time that had calls, some were throttled. Choose a longer time for a threshold.`
        : "This time had no calls. Choose a longer time for a threshold.",
    ];
  }
  const fires = `Fires at more ${outcome ? `${outcome} calls` : "calls"} than in the busiest ${unit} of this time`;
  if (!throttledOrDenied) return [`${fires}, `, when(at), "."];
  return [
    `${fires} in which no call was throttled, `,
    when(at),
    exceeded
      ? `: ${many(exceeded)} had more, up to ${count(most)}.`
      : `. No ${unit} had more: those with throttled calls would not have made it fire.`,
  ];
}

/**
 * The command that makes an alarm on more than above calls per time, safe to paste in a shell. With
 * outcome only calls that ended so are counted.
 */
export function alarmCommand({ eventSource, eventName }, above, per, region, outcome = "") {
  const name = shellQuoted(`${eventSource}:${eventName}`);
  const where = region === undefined ? "--any-region" : `--region ${shellQuoted(region)}`;
  const ended = outcome && ` --outcome ${outcome}`;
  return `apitracker alarm --above ${above} --per ${per} ${where}${ended} ${name.startsWith("-") ? "-- " : ""}${name}`;
}

// --- headline figures ---------------------------------------------------------------------------

function showFigures(root, state, { since, until, now, before }) {
  const width = length(until - since);
  const part = (name, label, wide) => ({
    label,
    value: share(now[name], now.calls),
    note: calls(now[name]),
    change: before && points(now[name] / (now.calls || 1), before[name] / (before.calls || 1)),
    link: !wide && now[name] ? { outcome: name } : null,
    bad: now[name] > 0 && name,
  });
  const whole = (name, label) => ({
    label,
    value: count(now[name]),
    change: before && change(now[name], before[name]),
  });
  const all = [
    whole("calls", "Calls"),
    {
      label: "Busiest second",
      value: count(now.peak),
      unit: "/s",
      note: now.peakSecond === null ? null : when(now.peakSecond),
      change: before && change(now.peak, before.peak),
    },
    part("failed", "Failed"),
    part("throttled", "Throttled"),
    part("denied", "Denied"),
    whole("apis", "APIs"),
    whole("callers", "Callers"),
    whole("accounts", "Accounts"),
    whole("regions", "Regions"),
  ];
  fill(
    root,
    ...all.map(({ label, value, unit, note, change, link, bad }) =>
      h(
        "div",
        { class: bad ? `figure ${bad}` : "figure" },
        h("dt", {}, label),
        h(
          "dd",
          { class: "main" },
          link && !source.report
            ? stateLink(state, (now) => narrowed(now, link), { title: `Only calls that were ${link.outcome}` }, value)
            : value,
          unit ? h("span", { class: "unit" }, unit) : null,
        ),
        h("dd", { class: "note" }, note ?? ""),
        before ? h("dd", { class: "change", title: `against the ${width} before` }, change) : null,
      ),
    ),
  );
}

/** 120 against 100 -> "▲ 20%" */
function change(now, before) {
  if (now === before) return "= as before";
  if (!before) return "▲ from 0";
  const times = now / before;
  const text = times >= 10 ? `${count(Math.round(times))}×` : `${Math.abs(Math.round(100 * (times - 1)))}%`;
  return `${now > before ? "▲" : "▼"} ${text === "0%" ? "<1%" : text}`;
}

/** Shares, 0.05 against 0.02 -> "▲ 3 points" */
function points(now, before) {
  const difference = Math.round(1000 * (now - before)) / 10;
  if (!difference) return "= as before";
  return `${difference > 0 ? "▲" : "▼"} ${Math.abs(difference)} pt`;
}

/** A time in UTC, or only its time of day; where the browser is, on hover. */
export function when(second, part = "all") {
  const text = part === "time" ? utc(second).slice(11) : utc(second);
  return h("time", { datetime: isoTime(second), title: `${local(second)}; ${utc(second)} UTC` }, text);
}
