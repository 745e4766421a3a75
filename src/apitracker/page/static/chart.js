// Calls over time, stacked, above a lane of throttled and denied calls.

import uPlot from "./vendor/uplot/uPlot.esm.js";
import { h, say } from "./dom.js";
import { calls, compact, count, length, local, utc } from "./format.js";

export const SLOTS = 7; // colours that can be told apart; the rest is one grey
const OUTCOMES = { ok: "ok", failed: "failed", throttled: "throttled", denied: "denied" };
const HEIGHT = 240;
const LANE = 66;

/** Which class of colour each name has; a name keeps its own while others come and go. */
const slots = new Map();

export function colourOf(by, name) {
  if (name === null) return "rest";
  if (by === "outcome" && name in OUTCOMES) return `outcome-${OUTCOMES[name]}`;
  return `slot-${slots.get(by)?.get(name) ?? 0}`;
}

function assignSlots(by, names) {
  const before = slots.get(by) ?? new Map();
  const kept = new Map(names.filter((name) => before.has(name)).map((name) => [name, before.get(name)]));
  const free = [...Array(SLOTS).keys()].filter((slot) => ![...kept.values()].includes(slot));
  for (const name of names) if (!kept.has(name)) kept.set(name, free.shift() ?? 0);
  slots.set(by, kept);
}

/** A CSS colour as the canvas needs it: light or dark is decided by the style sheet. */
function colours(root, names) {
  return names.map((name) => {
    const probe = h("span", { class: `ink-${name}`, hidden: true });
    root.append(probe);
    const { color } = getComputedStyle(probe);
    probe.remove();
    return color;
  });
}

/**
 * Make a chart in root. zoom(since, until) is called with seconds; pointed(index or null) when the
 * bucket that is pointed at changes.
 */
export function makeChart(root, { zoom, pointed }) {
  const plot = h("div", { class: "plot" });
  const lane = h("div", { class: "plot" });
  const key = h(
    "p",
    { class: "lane-key" },
    ...["throttled", "denied"].map((outcome) =>
      h("span", {}, h("i", { class: `swatch fill-outcome-${outcome}`, "aria-hidden": "true" }), outcome),
    ),
  );
  const quiet = h("p", { class: "quiet-lane", hidden: true }, "No throttled or denied calls");
  root.append(plot, key, lane, quiet);
  let shown = null;
  let charts = [];
  let anchor = null;

  function at(index) {
    const { times, step } = shown.data;
    return [times[index], times[index] + step];
  }

  /** The bucket that is pointed at, or null; beyond an edge it is the one at the edge. */
  function pointedAt(chart) {
    const { times } = shown.data;
    if (!(chart.cursor.left >= 0)) return null;
    return Math.min(bucket(times, chart.posToVal(chart.cursor.left, "x")), times.length - 1);
  }

  /** Zoom to the brushed time, rounded out to whole buckets. */
  function brushed(chart) {
    if (chart.select.width < 4) return;
    const { times, step } = shown.data;
    const left = chart.posToVal(chart.select.left, "x");
    const right = chart.posToVal(chart.select.left + chart.select.width, "x");
    chart.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
    const first = times.findLastIndex((time) => time <= left);
    const last = times.findLastIndex((time) => time < right);
    zoom(times[Math.max(first, 0)], times[Math.max(last, 0)] + step);
  }

  function draw() {
    for (const chart of charts) chart.destroy();
    charts = [];
    if (!shown || !shown.data.times.length || !root.clientWidth) return;
    const { data, by } = shown;
    const { times, step } = data;
    const last = times.at(-1) + step;
    const xs = [...times, last];
    const closed = (values) => [...values, values.at(-1)]; // a step chart ends where a bucket does
    const stacked = [];
    let sums = times.map(() => 0);
    for (const { calls } of data.series) {
      sums = sums.map((sum, index) => sum + calls[index]);
      stacked.unshift(sums);
    }
    const fills = colours(root, data.series.map(({ name }) => colourOf(by, name))).reverse();
    const [ink, grid, throttled, denied] = colours(root, [
      "axis",
      "grid",
      "outcome-throttled",
      "outcome-denied",
    ]);
    const steps = uPlot.paths.stepped({ align: 1 });
    const font = `11px ${getComputedStyle(root).fontFamily}`;
    const common = {
      width: root.clientWidth,
      legend: { show: false },
      tzDate: (second) => uPlot.tzDate(new Date(second * 1000), "UTC"),
      cursor: {
        y: false,
        points: { show: false },
        drag: { x: true, y: false, setScale: false },
        sync: { key: "calls" },
        bind: { dblclick: () => null },
      },
      scales: { x: { time: true, range: () => [times[0], last] } },
    };
    const y = {
      stroke: ink,
      font,
      size: 52,
      gap: 6,
      grid: { stroke: grid, width: 1 },
      ticks: { show: false },
    };
    const hasLane = [...data.throttled, ...data.denied].some((n) => n);
    lane.hidden = key.hidden = !hasLane;
    quiet.hidden = hasLane;
    charts.push(
      new uPlot(
        {
          ...common,
          height: HEIGHT,
          padding: [8, 20, 0, 0],
          scales: { ...common.scales, y: { range: (_, __, most) => [0, Math.max(most, 4) * 1.05] } },
          series: [
            {},
            ...fills.map((fill) => ({ fill, width: 0, paths: steps, points: { show: false } })),
          ],
          axes: [
            {
              stroke: ink,
              font,
              space: 70,
              size: 36,
              gap: 4,
              grid: { show: false },
              ticks: { stroke: grid, size: 4, width: 1 },
              values: (_, splits, __, ___, increment) => timeLabels(splits, increment),
            },
            { ...y, values: (_, splits) => splits.map((n) => (Number.isInteger(n) ? compact(n) : "")) },
          ],
          hooks: {
            drawClear: [(chart) => shade(chart, data, throttled, denied)],
            setSelect: [brushed], // a brush over the lane comes here too
            setCursor: [(chart) => pointed(pointedAt(chart))],
          },
        },
        [xs, ...stacked.map(closed)],
        plot,
      ),
    );
    if (!hasLane) return;
    const both = data.throttled.map((n, index) => n + data.denied[index]);
    const least = Math.max(...both) / 16; // one call is seen beside hundreds
    const seen = (values) => closed(values.map((n) => n && Math.max(n, least)));
    charts.push(
      new uPlot(
        {
          ...common,
          height: LANE,
          padding: [9, 20, 9, 0],
          scales: { ...common.scales, y: { range: (_, __, most) => [0, Math.max(most, 2)] } },
          series: [
            {},
            { fill: denied, width: 0, paths: steps, points: { show: false } },
            { fill: throttled, width: 0, paths: steps, points: { show: false } },
          ],
          axes: [
            { show: false },
            {
              ...y,
              splits: (_, __, ___, most) => [0, Math.floor(most)],
              values: (_, splits) => splits.map((n) => compact(n)),
            },
          ],
        },
        [xs, seen(both), seen(data.throttled)],
        lane,
      ),
    );
  }

  root.addEventListener("keydown", (event) => {
    const [chart] = charts;
    if (!chart || event.target !== root) return;
    const many = shown.data.times.length;
    const now = pointedAt(chart);
    const moves = { ArrowLeft: -1, ArrowRight: 1, PageUp: -10, PageDown: 10, Home: -many, End: many };
    if (event.key in moves) {
      const start = moves[event.key] > 0 ? -1 : many;
      const next = Math.min(Math.max((now ?? start) + moves[event.key], 0), many - 1);
      if (!event.shiftKey) anchor = null;
      else anchor ??= now ?? next;
      move(chart, next);
      event.preventDefault();
    } else if (event.key === "Enter" && now !== null) {
      const from = anchor ?? now;
      anchor = null;
      zoom(at(Math.min(from, now))[0], at(Math.max(from, now))[1]);
    } else if (event.key === "Escape") {
      anchor = null;
      for (const each of charts) {
        each.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
        each.setCursor({ left: -10, top: -10 });
      }
    }
  });

  /** Point at a bucket, and mark the buckets between it and the anchor. */
  function move(chart, index) {
    const [since, until] = at(index);
    const left = chart.valToPos((since + until) / 2, "x");
    for (const each of charts) {
      const from = each.valToPos(at(Math.min(anchor ?? index, index))[0], "x");
      const to = each.valToPos(at(Math.max(anchor ?? index, index))[1], "x");
      const width = anchor === null ? 0 : to - from;
      each.setSelect({ left: from, top: 0, width, height: each.over.clientHeight }, false);
      each.setCursor({ left, top: 1 });
    }
    say(readout(shown.data, index));
  }

  let width = 0;
  new ResizeObserver(() => {
    if (root.clientWidth !== width) {
      width = root.clientWidth;
      draw();
    }
  }).observe(root);

  return {
    /** Show the answer of /api/series for the field by. */
    show(data, by) {
      assignSlots(by, data.series.map(({ name }) => name).filter((name) => name !== null));
      shown = { data, by };
      anchor = null;
      draw();
    },
    /** Draw again, in other colours. */
    draw,
  };
}

/** The last of times that is not after x. */
function bucket(times, x) {
  const step = times.length > 1 ? times[1] - times[0] : 1;
  return Math.max(Math.floor((x - times[0]) / step), 0);
}

/** One bucket in words. */
export function readout(data, index) {
  const since = data.times[index];
  const all = data.series.reduce((sum, { calls }) => sum + calls[index], 0);
  return (
    `${utc(since)} UTC, ${length(data.step)}: ${calls(all)}, ${count(data.throttled[index])} throttled,` +
    ` ${count(data.denied[index])} denied (${local(since)})`
  );
}

/** Tint the buckets in which calls were throttled or denied, the more the stronger. */
function shade(chart, data, throttled, denied) {
  const { ctx, bbox } = chart;
  for (const [values, colour] of [[data.throttled, throttled], [data.denied, denied]]) {
    const most = values.reduce((most, n) => Math.max(most, n), 0);
    values.forEach((n, index) => {
      if (n < 2 || n < most / 5) return;
      const left = chart.valToPos(data.times[index], "x", true);
      const right = chart.valToPos(data.times[index] + data.step, "x", true);
      ctx.save();
      ctx.globalAlpha = 0.05 + (0.2 * n) / most;
      ctx.fillStyle = colour;
      ctx.fillRect(left, bbox.top, Math.max(right - left, 1), bbox.height);
      ctx.restore();
    });
  }
}

/** "14:10" under each tick; the day under the first and under each midnight. */
function timeLabels(splits, increment) {
  let day = "";
  return splits.map((second) => {
    const [date, time] = utc(second).split(" ");
    if (increment >= 86400) return date.slice(5);
    const label = date === day ? time : `${time}\n${date.slice(5)}`;
    day = date;
    return label;
  });
}
