// The source of the figures: the server's JSON, or the answers in a report.

import { released } from "./dom.js";
import { isMoving, narrowed, selection, table } from "./state.js";

export const ROWS = 10; // of a table on the page

/** The answers in a report, or null on the page that a server gives. */
export const report = readReport();

/** The fields of each table. */
export const TABLES = {
  apis: ["eventSource", "eventName"],
  callers: ["caller"],
  services: ["eventSource"],
  errors: ["outcome", "errorCode"],
  accounts: ["recipientAccountId"],
  regions: ["awsRegion"],
};

/** A question without an answer: its text says why; passing: the same question may be answered later. */
export class Unanswered extends Error {
  constructor(text, passing) {
    super(text);
    this.passing = passing;
  }
}

const answers = new Map(); // by address: the promise of its answer, and its minute if that matters

/** Forget all answers: there is something new in the store. */
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

/** The thresholds that the chosen time suggests for an alarm of alarmOf in state.js. */
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

export const balance = () => answer("reconciliation", null, "/api/reconciliation", "");

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

/** The present minute: an answer to a question that moves with the time holds for so long. */
export const thisMinute = () => Math.floor(Date.now() / 60_000);

async function fetched(url) {
  const response = await fetch(url, { headers: { accept: "application/json" } }).catch(() => null);
  const body = await response?.json().catch(() => ({}));
  await released();
  if (!response) throw new Unanswered("The server does not answer. Is apitracker serve still running?", true);
  if (response.ok) return body;
  const text = typeof body.detail === "string" ? body.detail : `The server answered ${response.status}.`;
  throw new Unanswered(text, response.status >= 500);
}

function readReport() {
  const element = document.getElementById("answers");
  return element ? JSON.parse(element.textContent) : null;
}
