// The list of functions, each with its triggers.

import { all, ask } from "./api.js";
import { h } from "./dom.js";
import { announce, badge, code, link, sure } from "./parts.js";

// slotWords describes the slots, e.g. "warm 1 of 2 free".
export function slotWords(slots) {
  const words = Object.entries(slots).filter(([, c]) => c.free + c.busy > 0).map(([start, c]) => `${start} ${c.free} of ${c.free + c.busy} free`);
  return words.join(", ") || "none held";
}

export const calledBy = (triggers, name) => triggers.filter((t) => t.function === name);

// removeFunction asks the user and deletes. It returns whether it has deleted.
export async function removeFunction(name, triggers) {
  const own = calledBy(triggers, name);
  const text = own.length ? ["Its revisions go, and so does what calls it: ", own.map((t) => t.path).join(", "), ". Running invocations finish."] : "Its revisions go. Running invocations finish.";
  if (!(await sure(`Delete the function ${name}?`, text, "Delete it"))) return false;
  await ask("DELETE", `/v1/functions/${name}${own.length ? "?triggers=true" : ""}`);
  announce(`${name} is deleted`);
  return true;
}

export function functions({ query }, redraw) {
  let items, triggers, text = query.q ?? "";

  async function load() {
    [items, triggers] = await Promise.all([all("/v1/functions"), all("/v1/triggers")]);
  }

  async function remove(name) {
    try {
      if (await removeFunction(name, triggers)) await load();
      view.fault = null;
    } catch (fault) {
      view.fault = fault;
    }
    redraw();
  }

  const filter = (e) => {
    text = e.target.value;
    history.replaceState(null, "", `#/functions${text && `?q=${encodeURIComponent(text)}`}`);
    redraw();
  };

  const view = {
    title: "Functions",
    load,
    changed: (change) => change.kind === "registrations" || change.state !== "queued", // because an invocation takes and frees a slot
    draw: () => {
      const shown = items.filter((f) => !text || f.name.includes(text) || calledBy(triggers, f.name).some((t) => t.path.includes(text)));
      return h("div", null,
        h("div", { class: "row" }, h("h1", { tabindex: -1 }, "Functions"), h("a", { class: "button primary", href: "#/register" }, "Register")),
        items.length > 5 && h("div", { key: "filter", class: "field filters" }, h("label", { for: "filter" }, "Name or path"), h("input", { id: "filter", type: "search", value: text, oninput: filter })),
        items.length === 0 && h("p", { class: "empty" }, "Nothing is registered yet. ", link("#/register", "Register a function"), " first."),
        items.length > 0 && shown.length === 0 && h("p", { class: "empty" }, "No function is like that."),
        h("ul", { class: "cards" }, shown.map((f) => card(f, calledBy(triggers, f.name), remove))));
    },
  };
  return view;
}

const card = (f, triggers, remove) =>
  h("li", { class: "card", key: f.name },
    h("div", { class: "row" }, h("h2", null, link(`#/functions/${f.name}`, f.name)), badge(f.state)),
    h("p", null, f.invocable, h("span", { class: "quiet" }, ` · revision ${f.revision}${f.live_revision && f.live_revision !== f.revision ? ` (calls go to ${f.live_revision})` : ""} · slots: ${slotWords(f.slots)}`)),
    triggers.length ? h("ul", { class: "plain urls" }, triggers.map((t) => h("li", { key: t.name }, methods(t), code(t.url, `URL of ${t.name}`)))) : h("p", { class: "quiet" }, "No trigger calls it. ", link(`#/register/trigger?function=${f.name}`, "Add one")),
    h("p", { class: "actions" },
      h("a", { class: "button", href: `#/functions/${f.name}` }, "Calls and revisions", h("span", { class: "visually-hidden" }, ` of ${f.name}`)),
      h("a", { class: "button", href: `#/invocations?function=${f.name}` }, "Invocations", h("span", { class: "visually-hidden" }, ` of ${f.name}`)),
      h("button", { type: "button", class: "danger", onclick: () => remove(f.name) }, "Delete", h("span", { class: "visually-hidden" }, ` ${f.name}`))));

export const methods = (t) => h("span", { class: "methods" }, t.methods.map((m) => h("span", { class: "method" }, m)));
