// The view of one function: its triggers, revisions and settings.

import { all, ask, get } from "./api.js";
import { curlTrigger } from "./curl.js";
import { h } from "./dom.js";
import { words } from "./format.js";
import { calledBy, methods, removeFunction, slotWords } from "./functions.js";
import { Log } from "./log.js";
import { announce, badge, code, facts, link, sure, table, time } from "./parts.js";

export function functionView({ rest: name, query }, redraw) {
  let f, triggers, revisions, log;
  const shownLog = query.log;
  const base = `/v1/functions/${encodeURIComponent(name)}`;

  async function load() {
    let page, ts;
    [f, page, ts] = await Promise.all([get(base), get(`${base}/revisions?limit=50`), all("/v1/triggers")]);
    [revisions, triggers] = [page.items, calledBy(ts, name)];
    if (shownLog && /^\d+$/.test(shownLog)) log ??= new Log(`${base}/revisions/${shownLog}/log`, `Build log of revision ${shownLog}`);
  }

  // act does something that may fail, and shows the outcome.
  async function act(what) {
    try {
      if ((await what()) !== false) await load();
      view.fault = null;
    } catch (fault) {
      view.fault = fault;
    }
    redraw();
  }

  const rollback = (number) => act(async () => {
    await ask("POST", `${base}/rollback`, { revision: number });
    announce(`Calls go to revision ${number}`);
  });
  const removeTrigger = (t) => act(async () => {
    if (!(await sure(`Delete the trigger ${t.name}?`, `${t.url} will no longer answer.`, "Delete it"))) return false;
    await ask("DELETE", `/v1/triggers/${t.name}`);
    announce(`${t.name} is deleted`);
  });
  const remove = () => act(async () => {
    if (await removeFunction(name, triggers)) location.hash = "#/functions";
    return false;
  });

  const view = {
    title: name,
    load,
    changed: (change) => change.kind === "registrations" || change.function === name,
    close: () => log?.close(),
    draw: () =>
      h("div", null,
        h("p", { class: "back" }, link("#/functions", "Functions")),
        h("div", { class: "row" }, h("h1", { tabindex: -1 }, name), badge(f.state)),
        h("p", { class: "lead" }, f.invocable.replace(/^./, (c) => c.toUpperCase()), "."),
        facts(["Newest revision", f.revision], ["Calls go to", f.live_revision ? `revision ${f.live_revision}` : "none yet"], ["Slots", slotWords(f.slots)],
          ["Mode", f.spec.mode ?? "job"], ["Changed", time(f.updated_at)], f.spec.start && ["Start process", h("code", null, words(f.spec.start.command), " ", words(f.spec.start.arguments))]),
        h("section", { "aria-labelledby": "triggers" },
          h("div", { class: "row" }, h("h2", { id: "triggers" }, "Triggers"), link(`#/register/trigger?function=${name}`, "Add a trigger")),
          triggers.length ? h("ul", { class: "cards" }, triggers.map((t) => triggerCard(t, removeTrigger))) : h("p", { class: "empty" }, "No URL calls it yet.")),
        h("section", { "aria-labelledby": "revisions" },
          h("h2", { id: "revisions" }, "Revisions"),
          revisionTable(f, revisions, rollback),
          log && h("div", { key: "log" }, h("h3", null, `Build log of revision ${shownLog}`), log.draw())),
        h("details", null, h("summary", null, "Settings"), code(JSON.stringify(f.spec, null, 2), "settings as JSON")),
        h("p", { class: "actions" },
          h("a", { class: "button", href: `#/invocations?function=${name}` }, "Its invocations"), h("a", { class: "button", href: "#/register/files" }, "Upload a revision"),
          h("button", { type: "button", class: "danger", onclick: remove }, "Delete the function"))),
  };
  return view;
}

const triggerCard = (t, remove) =>
  h("li", { class: "card", key: t.name },
    h("div", { class: "row" }, h("h3", null, methods(t), " ", t.path), h("button", { type: "button", class: "danger", onclick: () => remove(t) }, "Delete", h("span", { class: "visually-hidden" }, ` trigger ${t.name}`))),
    code(t.url, `URL of ${t.name}`),
    facts(["Command", h("code", null, words(t.command) || "the function's")], ["Arguments", t.argument_style ?? "placeholders"],
      ["Returns", t.results?.length ? h("code", null, t.results.join(", ")) : "standard output"], t.access === "token" && ["Access", "with the token"]),
    h("p", { class: "hint" }, "Call it:"),
    code(curlTrigger(t), `curl command that calls ${t.name}`));

const revisionTable = (f, revisions, rollback) =>
  table("Revisions", ["Revision", "State", "Made", "Build log", "Calls"], revisions.map((r) => ({
    key: r.revision,
    cells: [
      r.revision, [badge(r.state), r.detail && h("span", { class: "quiet" }, ` ${r.detail}`)], time(r.created_at),
      h("a", { href: `#/functions/${f.name}?log=${r.revision}` }, "Show", h("span", { class: "visually-hidden" }, ` the log of revision ${r.revision}`)),
      r.revision === f.live_revision ? h("strong", null, "go here")
        : r.state === "ready" ? h("button", { type: "button", onclick: () => rollback(r.revision) }, `Roll ${r.revision < f.live_revision ? "back" : "forward"} to ${r.revision}`) : "–",
    ],
  })));
