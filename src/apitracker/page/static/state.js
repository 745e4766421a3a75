// The state of the page and its address: a link or the back button shows the same again.

export const VIEWS = ["usage", "throttled", "denied", "reconciliation"];
export const BYS = ["eventSource", "awsRegion", "recipientAccountId", "outcome", "caller", "eventName"];
export const SORTS = ["name", "calls", "throttled", "denied", "failed"];
const TABLE = { sort: "calls", descending: true, page: 1, search: "" };

/** Read the address. Unknown or invalid parts are left out. */
export function read(search) {
  const parameters = new URLSearchParams(search);
  const one = (name, allowed) => {
    const value = parameters.get(name);
    return allowed.includes(value) ? value : null;
  };
  const tables = {};
  for (const [name, value] of parameters) {
    const [table, member] = name.split(".");
    if (!(member in TABLE)) continue;
    tables[table] ??= {};
    if (member === "sort" && SORTS.includes(value)) tables[table].sort = value;
    if (member === "descending") tables[table].descending = value !== "false";
    if (member === "page" && /^[1-9]\d{0,6}$/.test(value)) tables[table].page = Number(value);
    if (member === "search") tables[table].search = value;
  }
  return {
    view: one("view", VIEWS) ?? "usage",
    since: parameters.get("since") ?? "",
    until: parameters.get("until") ?? "",
    where: parameters
      .getAll("where")
      .map((text) => [text.split("=", 1)[0], text.slice(text.indexOf("=") + 1)])
      .filter(([field]) => field),
    by: one("by", BYS),
    tables,
  };
}

/** Write the address of a state: "?since=…", or "?" for everything. */
export function address(state) {
  const parameters = selection(state);
  if (state.view !== "usage") parameters.set("view", state.view);
  if (state.by) parameters.set("by", state.by);
  for (const [name, table] of Object.entries(state.tables)) {
    for (const member of Object.keys(TABLE)) {
      if (member in table && table[member] !== TABLE[member]) {
        parameters.set(`${name}.${member}`, table[member]);
      }
    }
  }
  return `?${parameters}`;
}

/** The part of it that every question to the server has. */
export function selection(state) {
  const parameters = new URLSearchParams();
  if (state.since) parameters.set("since", state.since);
  if (state.until) parameters.set("until", state.until);
  for (const [field, glob] of state.where) parameters.append("where", `${field}=${glob}`);
  return parameters;
}

/** How a table stands: sort, descending, page, search. */
export const table = (state, name) => ({ ...TABLE, ...state.tables[name] });

/** The state with a table changed; another order or search begins at its first page. */
export function withTable(state, name, changes) {
  const changed = { ...table(state, name), page: 1, ...changes };
  return { ...state, tables: { ...state.tables, [name]: changed } };
}

/** The state narrowed to exact values: {field: value}. Tables begin anew. */
export function narrowed(state, values) {
  const where = state.where.filter(([field]) => !(field in values));
  for (const [field, value] of Object.entries(values)) where.push([field, literal(value)]);
  return { ...state, where, tables: {}, by: values[state.by] === undefined ? state.by : null };
}

/** The state in another time. */
export const timed = (state, since, until) => ({ ...state, since, until, tables: {} });

/** Whether a time in it is an age, such as 2h: its selection changes as time goes on. */
export const isMoving = ({ since, until }) => [since, until].some((time) => /^\s*\d+\s*[smhdw]\s*$/.test(time ?? ""));

/** A glob that matches value and nothing else. */
export const literal = (value) => value.replace(/[*?[]/g, "[$&]");

/** The only value that glob matches, or null. */
export function exact(glob) {
  const value = glob.replace(/\[([*?[])\]/g, "$1");
  return literal(value) === glob ? value : null;
}

/** {field: value} for the fields that are narrowed to exactly one. */
export function fixed(state) {
  const globs = {};
  for (const [field, glob] of state.where) (globs[field] ??= []).push(glob);
  const values = {};
  for (const [field, [glob, ...more]] of Object.entries(globs)) {
    const value = exact(glob);
    if (!more.length && value !== null) values[field] = value;
  }
  return values;
}

const ALARMED = ["throttled", "denied", "failed"]; // outcomes that have a metric each

/**
 * The alarm that is nearest to state: the values of the fields that it is made for, its outcome or
 * "", and the fields that narrow the state but not the alarm. Null unless state is of one API.
 */
export function alarmOf(state) {
  const { eventSource, eventName, awsRegion, outcome } = fixed(state);
  if (eventSource === undefined || eventName === undefined) return null;
  const values = { eventSource, eventName };
  if (awsRegion !== undefined) values.awsRegion = awsRegion;
  const counted = ALARMED.includes(outcome) ? outcome : "";
  const fields = [...new Set(state.where.map(([field]) => field))];
  const ignored = fields.filter((field) => !(field in values) && !(field === "outcome" && counted));
  return { values, outcome: counted, ignored };
}
