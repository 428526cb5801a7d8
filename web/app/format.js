// Formats times, sizes and commands.

const units = { h: 3600e3, m: 60e3, s: 1e3, ms: 1, us: 1e-3, "µs": 1e-3, ns: 1e-6 };

// milliseconds parses a duration in Go's format ("1m2.5s").
export function milliseconds(text) {
  let sum = 0;
  for (const [, n, unit] of (text ?? "").matchAll(/([\d.]+)(h|ms|m|s|us|µs|ns)/g)) sum += n * units[unit];
  return sum;
}

export function duration(ms) {
  if (ms == null || Number.isNaN(ms)) return "–";
  ms = Math.max(0, ms);
  if (ms < 1) return `${Math.max(0.01, ms).toFixed(2)} ms`;
  if (ms < 1000) return `${ms < 10 ? ms.toFixed(1) : Math.round(ms)} ms`;
  if (ms < 60e3) return `${(ms / 1000).toFixed(1)} s`;
  const s = Math.floor(ms / 1000);
  if (s < 3600) return `${Math.floor(s / 60)} min ${s % 60} s`;
  return `${Math.floor(s / 3600)} h ${Math.floor((s % 3600) / 60)} min`;
}

export function bytes(n) {
  if (n == null) return "–";
  if (n < 1024) return `${n} B`;
  let unit = -1;
  do {
    n /= 1024;
    unit++;
  } while (n >= 1023.95 && unit < 3);
  return `${n < 10 ? n.toFixed(1) : Math.round(n)} ${["KiB", "MiB", "GiB", "TiB"][unit]}`;
}

// clock formats the time of day, with the date if it is not today.
export function clock(text) {
  const at = new Date(text);
  const time = at.toLocaleTimeString("en-GB");
  if (at.toDateString() === new Date().toDateString()) return time;
  return `${at.toLocaleDateString("en-GB", { day: "numeric", month: "short" })}, ${time.slice(0, 5)}`;
}

// elapsed returns how long an invocation has taken so far, from its creation.
export function elapsed(inv, now = Date.now()) {
  return (inv.ended_at ? Date.parse(inv.ended_at) : now) - Date.parse(inv.created_at);
}

export const isFinal = (state) => state === "succeeded" || state === "failed" || state === "cancelled";

// quote quotes a word for a shell.
export const quote = (word) => (/^[\w@%+=:,./{}-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`);

export const words = (command) => (Array.isArray(command) ? command.map(quote).join(" ") : command ?? "");
