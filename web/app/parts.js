// Components of the views.

import { h, render } from "./dom.js";
import { clock, isFinal } from "./format.js";

const shapes = {
  queued: ["M8 4.5V8l2.3 1.6", true],
  starting: ["M8 2.2a5.8 5.8 0 0 1 0 11.6z", true, true],
  running: ["M6.4 5.2v5.6L11 8z", true, true],
  succeeded: ["M5.2 8.3l2 2 3.7-4.4", true],
  failed: ["M5.7 5.7l4.6 4.6M10.3 5.7l-4.6 4.6", true],
  cancelled: ["M4.2 4.2l7.6 7.6", true],
  copy: ["M5.5 5.5v-3h8v8h-3M2.5 5.5h8v8h-8z"],
  done: ["M3 8.5l3.2 3.2L13 5"],
  down: ["M8 2.5v7.5M4.8 7L8 10.2 11.2 7M3 13.5h10"],
  warn: ["M8 2.2l6.3 11.3H1.7zM8 6.5v3.4M8 11.7v.1"],
};
shapes.ready = shapes.ok = shapes.succeeded;
shapes.building = shapes.starting;
shapes.away = shapes.failed;

export function icon(name) {
  const [path, ring, filled] = shapes[name];
  return h("svg", { viewBox: "0 0 16 16", class: "icon", "aria-hidden": "true", focusable: "false" },
    ring && h("circle", { cx: 8, cy: 8, r: 5.8 }), h("path", { d: path, class: filled ? "filled" : null }));
}

// badge shows a state as an icon and a word.
export const badge = (state) => h("span", { class: `badge ${state}` }, icon(state), state);

export const time = (text) => (text ? h("time", { datetime: text, title: text }, clock(text)) : "–");

const announcer = document.getElementById("announce");

// announce tells users of screen readers what has happened.
export function announce(text) {
  announcer.textContent = "";
  setTimeout(() => (announcer.textContent = text), 50);
}

async function toClipboard(text) {
  if (navigator.clipboard) return navigator.clipboard.writeText(text);
  const area = document.body.appendChild(document.createElement("textarea"));
  area.className = "visually-hidden";
  area.value = text;
  area.select();
  const copied = document.execCommand("copy");
  area.remove();
  if (!copied) throw new Error("refused");
}


async function copy(button, text, what) {
  let told = `Copied ${what}`;
  try {
    await toClipboard(text);
    button.dataset.copied = "true";
    setTimeout(() => delete button.dataset.copied, 1800);
  } catch {
    told = "The browser did not allow copying: select the text instead";
  }
  announce(told);
}

export const copyButton = (text, what) =>
  h("button", { type: "button", class: "copy", title: `Copy ${what}`, "aria-label": `Copy ${what}`, onclick: (e) => copy(e.currentTarget, text, what) },
    icon("copy"), icon("done"));

// code shows a command or a URL with a button that copies it.
export const code = (text, what, props) =>
  h("div", { class: "code", ...props }, h("pre", { tabindex: 0, role: "group", "aria-label": what }, text), copyButton(text, what));

export const link = (href, ...text) => h("a", { href }, text);

const steps = {
  network: "Check that the gateway runs and that this machine reaches it. The page goes on by itself once it does.",
  unauthorized: "Sign in again.",
  forbidden: "Open the console by its own address.",
  not_found: "It may have been deleted, or kept no longer than its retention. Go back to the list.",
  gone: "It was kept as long as the trigger's retention says. Call the trigger again to get it anew.",
  too_large: "Send less, or raise the limit in the gateway's settings.",
  limited: "Wait a moment, then try again.",
  unavailable: "Wait a moment, then try again. /readyz says which part is away.",
  build_failed: "Read the end of the log, mend the source, and upload it again.",
  internal: "Look for the request id in the gateway's log: the cause is there.",
};

// problem shows what failed, why, and what to do. retry is optional.
export function problem(p, retry) {
  const fields = p.errors?.filter((e) => e.detail) ?? [];
  return h("div", { class: "problem", role: "alert" },
    icon("warn"),
    h("div", null,
      h("p", { class: "title" }, p.title),
      p.detail && h("p", null, p.detail),
      fields.length > 0 && h("ul", null, fields.map((e) => h("li", null, h("code", null, e.pointer.slice(1) || "form"), " ", e.detail))),
      p.log_tail && h("pre", { class: "tail", tabindex: 0, role: "group", "aria-label": "End of the log" }, p.log_tail),
      steps[p.kind] && h("p", { class: "step" }, steps[p.kind]),
      p.request_id && h("p", { class: "small" }, "Request ", h("code", null, p.request_id), copyButton(p.request_id, "request id")),
      retry && h("button", { type: "button", onclick: retry }, "Try again")));
}

export const loading = () => h("p", { class: "loading", role: "status" }, "Loading…");

// table shows a table, or a list of cards on a narrow page. A row is {key, cells}.
export function table(name, heads, rows) {
  return h("table", { role: "table", "aria-label": name },
    h("thead", { role: "rowgroup" }, h("tr", { role: "row" }, heads.map((t) => h("th", { role: "columnheader", scope: "col" }, t)))),
    h("tbody", { role: "rowgroup" }, rows.map((row) =>
      h("tr", { role: "row", key: row.key }, row.cells.map((cell, i) => h("td", { role: "cell", "data-head": heads[i], class: cell === "–" ? "none" : null }, h("div", null, cell)))))));
}

export const facts = (...pairs) =>
  h("dl", { class: "facts" }, pairs.filter(Boolean).map(([name, ...value]) => h("div", { key: name }, h("dt", null, name), h("dd", null, value))));

// sure asks the user before something that cannot be undone.
export function sure(title, text, action) {
  const dialog = document.body.appendChild(document.createElement("dialog"));
  const answer = (value) => () => dialog.close(value);
  dialog.setAttribute("aria-labelledby", "sure-title");
  render(dialog,
    h("h2", { id: "sure-title" }, title), h("p", null, text),
    h("div", { class: "actions" },
      h("button", { type: "button", class: "danger", onclick: answer("yes") }, action),
      h("button", { type: "button", autofocus: true, onclick: answer("no") }, "Keep it")));
  return new Promise((resolve) => {
    dialog.onclose = () => {
      dialog.remove();
      resolve(dialog.returnValue === "yes");
    };
    dialog.showModal();
  });
}

// hasRunning reports whether a list has an invocation whose time is still running.
export const hasRunning = (items) => items.some((inv) => !isFinal(inv.state));
