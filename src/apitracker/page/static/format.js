// Numbers, times and names as people read them. Pure: values in, text out.

const NUMBER = new Intl.NumberFormat("en");
const COMPACT = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });
const LOCAL = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "long" });

export const FIELD_NAMES = {
  eventSource: "service",
  eventName: "API",
  awsRegion: "region",
  recipientAccountId: "account",
  callerAccountId: "caller's account",
  caller: "caller",
  errorCode: "error code",
  outcome: "outcome",
  readOnly: "read-only",
  eventCategory: "category",
};

/** 20000 -> "20,000" */
export const count = (n) => NUMBER.format(n);

/** 20000 -> "20K", for axes */
export const compact = (n) => COMPACT.format(n);

/** "1 call", "20,000 calls" */
export const calls = (n) => `${count(n)} ${n === 1 ? "call" : "calls"}`;

/** part of whole, in percent; never 0 for something and never 100 for less than all */
export function share(part, whole) {
  if (!whole || !part) return "0%";
  const percent = (100 * part) / whole;
  if (percent < 0.1) return "<0.1%";
  if (part < whole && percent > 99.9) return ">99.9%";
  return `${percent < 10 ? Number(percent.toFixed(1)) : Math.round(percent * 10) / 10}%`;
}

/** seconds since 1970 -> "2026-10-30T14:19Z", as the command line reads it */
export function isoTime(second) {
  const text = new Date(second * 1000).toISOString();
  return second % 60 ? `${text.slice(0, 19)}Z` : `${text.slice(0, 16)}Z`;
}

/** seconds since 1970 -> "2026-10-30 14:19", with seconds where there are any; UTC */
export const utc = (second) => isoTime(second).replace("T", " ").slice(0, -1);

/** seconds since 1970 -> that time where the browser is */
export const local = (second) => LOCAL.format(new Date(second * 1000));

/** 300 -> "5 min" */
export function length(seconds) {
  for (const [unit, width] of [["d", 86400], ["h", 3600], ["min", 60]]) {
    if (seconds >= width) return `${NUMBER.format(Math.round((seconds / width) * 10) / 10)} ${unit}`;
  }
  return `${seconds} s`;
}

/**
 * Control, bidirectional and other unseen characters as escapes, as the command line prints them:
 * values in a log were written by the callers of the API.
 */
export function printable(text) {
  return text.replace(/[\p{C}\p{Zl}\p{Zp}]|(?! )\p{Zs}/gu, (character) => {
    const named = { "\n": "\\n", "\r": "\\r", "\t": "\\t" }[character];
    const code = character.codePointAt(0);
    if (named) return named;
    if (code < 0x100) return `\\x${code.toString(16).padStart(2, "0")}`;
    if (code < 0x10000) return `\\u${code.toString(16).padStart(4, "0")}`;
    return `\\U${code.toString(16).padStart(8, "0")}`;
  });
}

/** The value of a field, short enough for a table: [the part that matters, the part that may be left out]. */
export function short(field, value) {
  if (value === "") return ["", field === "errorCode" ? "no error" : "empty"];
  if (field === "eventSource" && /^[a-z0-9.-]+\.amazonaws\.com$/.test(value)) {
    return [value.slice(0, -".amazonaws.com".length), ""];
  }
  const arn = field === "caller" && /^arn:[a-z-]*:(?:iam|sts)::(\d{12}):([ -~]+)$/.exec(value);
  if (arn) return [arn[2].replace(/^(role|user)\/.*\//, "$1/…/"), arn[1]];
  return [printable(value), ""];
}

/** The same as one text. */
export function plain(field, value) {
  const [name, rest] = short(field, value);
  return name || rest;
}

/**
 * text as one word of bash or zsh: bare, in single quotes, or in $'…' with escapes, so that a line
 * break or a terminal's control character in a name stays inert when the command is pasted.
 */
export function shellQuoted(text) {
  if (/^[A-Za-z0-9_@%+=:,./-]+$/.test(text)) return text;
  if (/^[ -~]+$/.test(text)) return `'${text.replaceAll("'", "'\\''")}'`;
  const escaped = Array.from(text, (character) => {
    const code = character.codePointAt(0);
    if (character === "\\" || character === "'") return `\\${character}`;
    if (code >= 0x20 && code < 0x7f) return character;
    if (code < 0x80) return `\\x${code.toString(16).padStart(2, "0")}`;
    if (code < 0x10000) return `\\u${code.toString(16).padStart(4, "0")}`;
    return `\\U${code.toString(16).padStart(8, "0")}`;
  });
  return `$'${escaped.join("")}'`;
}
