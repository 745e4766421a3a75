// Where the figures come from: the server's JSON, or what is written into a report.

import { released } from "./dom.js";
import { isMoving, narrowed, selection, table } from "./state.js";

export const ROWS = 10; // of a table on the page

/** The answers in a report, or null on the page that a server gives. */
export const report = readReport();

/** What a table is asked by -> its fields. */
export const TABLES = {
  apis: ["eventSource", "eventName"],
  callers: ["caller"],
  services: ["eventSource"],
  errors: ["outcome", "errorCode"],
  accounts: ["recipientAccountId"],
  regions: ["awsRegion"],
};

/** An answer that is none: its text says why, passing whether the same question may be answered later. */
export class Refusal extends Error {
  constructor(text, passing) {
    super(text);
    this.passing = passing;
  }
}

const answers = new Map(); // address -> what was asked, and in which minute if that matters

/** Forget what was answered: there is something new in the store. */
export const forget = () => answers.clear();

export const about = () => (report ? Promise.resolve(report.about) : fetched("/api/about"));

export const summary = (state) => answer("summary", null, "/api/summary", selection(state));

export function series(state, by, most) {
  const parameters = selection(state);
  parameters.set("by", by);
  parameters.set("most", most);
  return answer("series", by, "/api/series", parameters);
}

export function top(state, name) {
  const { sort, descending, page, search } = table(state, name);
  const parameters = selection(state);
  parameters.set("by", TABLES[name].join(","));
  parameters.set("sort", sort);
  parameters.set("descending", descending);
  parameters.set("limit", ROWS);
  parameters.set("offset", (page - 1) * ROWS);
  if (search) parameters.set("search", search);
  return answer("top", name, "/api/top", parameters);
}

/** What the chosen time suggests for an alarm, as alarmOf of state.js makes it. */
export function thresholds(state, alarm) {
  const parameters = selection(narrowed({ ...state, where: [] }, alarm.values));
  if (alarm.outcome) parameters.set("outcome", alarm.outcome);
  return answer("thresholds", null, "/api/thresholds", parameters);
}

export function incidents(state, outcome) {
  const parameters = selection(state);
  parameters.set("outcome", outcome);
  return answer("throttles", outcome, "/api/throttles", parameters);
}

export const reconciliation = () => answer("reconciliation", null, "/api/reconciliation", "");

/** The address of the rows of fields as a file, as a table shows them: {sort, descending, search}. */
export function exported(state, fields, form, { sort, descending, search } = {}) {
  const parameters = selection(state);
  parameters.set("by", fields.join(","));
  if (sort) {
    parameters.set("sort", sort);
    parameters.set("descending", descending);
  }
  if (search) parameters.set("search", search);
  parameters.set("format", form);
  return `/api/export?${parameters}`;
}

function answer(name, key, path, parameters) {
  if (report) return Promise.resolve(key === null ? report[name] : report[name][key]);
  const url = `${path}?${parameters}`;
  const minute = isMoving(Object.fromEntries(new URLSearchParams(parameters))) ? thisMinute() : null;
  const held = answers.get(url);
  if (held && held.minute === minute) return held.asked;
  const asked = fetched(url);
  answers.set(url, { asked, minute });
  asked.catch(() => answers.delete(url));
  return asked;
}

/** The minute that it is: an answer to what moves with the time holds for so long. */
export const thisMinute = () => Math.floor(Date.now() / 60_000);

async function fetched(url) {
  const response = await fetch(url, { headers: { accept: "application/json" } }).catch(() => null);
  const body = await response?.json().catch(() => ({}));
  await released();
  if (!response) throw new Refusal("The server does not answer. Is apitracker serve still running?", true);
  if (response.ok) return body;
  const text = typeof body.detail === "string" ? body.detail : `The server answered ${response.status}.`;
  throw new Refusal(text, response.status >= 500);
}

function readReport() {
  const element = document.getElementById("answers");
  return element ? JSON.parse(element.textContent) : null;
}
