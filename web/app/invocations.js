// The list of invocations, filtered by the parameters in the hash.

import { all, encode, get } from "./api.js";
import { h } from "./dom.js";
import { bytes, duration, elapsed, isFinal } from "./format.js";
import { badge, hasRunning, link, table, time } from "./parts.js";

const states = ["queued", "starting", "running", "succeeded", "failed", "cancelled"];
const heads = ["State", "Trigger", "Function", "Start", "Started", "Took", "Exit code", "Result"];

export const shortID = (id) => `…${id.slice(-8)}`;

export const invocationTable = (items, name) =>
  table(name, heads, items.map((inv) => ({
    key: inv.id,
    cells: [
      h("a", { href: `#/invocations/${inv.id}`, class: "state-link", "aria-label": `${inv.state}: invocation ${inv.id}` }, badge(inv.state)),
      link(`#/invocations/${inv.id}`, inv.trigger),
      [link(`#/functions/${inv.function}`, inv.function), h("span", { class: "quiet" }, ` rev ${inv.revision}`)],
      inv.start ?? "–", time(inv.started_at ?? inv.created_at),
      h("span", { class: isFinal(inv.state) ? "number" : "number moving" }, duration(elapsed(inv))),
      inv.exit_code ?? inv.signal ?? "–",
      inv.result ? bytes(inv.result.size) : inv.reason ? h("span", { class: "quiet" }, inv.reason.replaceAll("_", " ")) : "–",
    ],
  })));

export function invocations({ query }, redraw) {
  let items = [], next = null, functions = [], triggers = [], more = false;
  const dirty = new Set();
  const wanted = Object.entries(query).filter(([k, v]) => v && ["function", "trigger", "state"].includes(k));
  const search = wanted.map(([k, v]) => `&${k}=${encode(v)}`).join("");
  const fits = (inv) => wanted.every(([k, v]) => inv[k] === v);

  // load reads the first page again, and the changes on later pages.
  async function load() {
    const [page, fs, ts] = await Promise.all([get(`/v1/invocations?limit=50${search}`), all("/v1/functions"), all("/v1/triggers")]);
    const last = page.items.at(-1)?.id;
    const older = page.next ? items.filter((inv) => inv.id < last) : [];
    const changed = [...dirty].filter((id) => older.some((inv) => inv.id === id)).slice(0, 20);
    dirty.clear();
    const fresh = new Map((await Promise.all(changed.map((id) => get(`/v1/invocations/${id}`).catch(() => null)))).filter(Boolean).map((inv) => [inv.id, inv]));
    next = older.length ? next : page.next;
    items = [...page.items, ...older.map((inv) => fresh.get(inv.id) ?? inv).filter(fits)];
    functions = fs.map((f) => f.name);
    triggers = ts.filter((t) => !query.function || t.function === query.function).map((t) => t.name);
  }

  async function loadMore() {
    if (more) return;
    more = true;
    redraw();
    try {
      const page = await get(`/v1/invocations?limit=50${search}&cursor=${encode(next)}`);
      items = [...items, ...page.items];
      next = page.next;
      view.fault = null;
    } catch (fault) {
      view.fault = fault;
    }
    more = false;
    redraw();
  }

  const filter = (e) => {
    const form = new FormData(e.currentTarget.form);
    const chosen = [...form].filter(([, v]) => v).map(([k, v]) => `${k}=${encode(v)}`).join("&");
    location.hash = `#/invocations${chosen && `?${chosen}`}`;
  };

  const view = {
    title: "Invocations",
    load,
    changed: (change) => {
      if (change.id) dirty.add(change.id);
      return change.kind !== "invocation" || (!query.function || change.function === query.function) && (!query.trigger || change.trigger === query.trigger);
    },
    ticking: () => hasRunning(items),
    draw: () =>
      h("div", null,
        h("h1", { tabindex: -1 }, "Invocations"),
        h("form", { class: "filters", role: "search", "aria-label": "Filter invocations", onsubmit: (e) => e.preventDefault() },
          choice("function", "Function", functions, query.function, filter), choice("trigger", "Trigger", triggers, query.trigger, filter), choice("state", "State", states, query.state, filter),
          wanted.length > 0 && h("a", { key: "clear", class: "button", href: "#/invocations" }, "Clear filters")),
        items.length ? invocationTable(items, "Invocations") : h("p", { class: "empty" }, wanted.length ? "No invocation is like that." : "Nothing was called yet. Each function shows how its triggers are called."),
        next && h("p", { key: "more" }, h("button", { type: "button", onclick: loadMore, "aria-disabled": more ? "true" : null }, more ? "Loading…" : "Show older ones"))),
  };
  return view;
}

function choice(name, label, options, value, onchange) {
  const all = value && !options.includes(value) ? [value, ...options] : options;
  return h("div", { class: "field", key: name },
    h("label", { for: `filter-${name}` }, label),
    h("select", { id: `filter-${name}`, name, onchange, value: value ?? "" }, h("option", { value: "" }, "any"), all.map((o) => h("option", { value: o }, o))));
}
