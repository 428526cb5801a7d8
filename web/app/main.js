// Shows the view that the hash names, and updates it.

import { ask, get, Problem, whenSignedOut } from "./api.js";
import { h, render } from "./dom.js";
import { Stream, throttled } from "./live.js";
import { announce, loading, problem } from "./parts.js";
import { register } from "./register.js";
import { start } from "./start.js";
import { functionView } from "./function.js";
import { functions } from "./functions.js";
import { invocation } from "./invocation.js";
import { invocations } from "./invocations.js";
import { signIn } from "./signin.js";

// A view is made by f(parameters, redraw) → {title, load(), draw(), changed?(change),
// ticking?(), close?()}. draw describes what load has fetched. Until then, and if
// load fails, a placeholder or the problem is shown instead.
const routes = [
  [/^\/$/, start],
  [/^\/register(?:\/(files|image|trigger))?$/, register],
  [/^\/functions$/, functions],
  [/^\/functions\/([^/]+)$/, functionView],
  [/^\/invocations$/, invocations],
  [/^\/invocations\/([^/]+)$/, invocation],
];

const root = document.getElementById("view");
const forms = document.getElementById("register");
const live = document.getElementById("live");
let current, stream, shown, asked = 0;

function nothing(path) {
  const missing = new Problem({ kind: "not_found", title: "There is no such page", detail: `Nothing is at #${path}.` });
  return { title: "Not found", load: async () => {}, draw: () => h("div", null, h("h1", { tabindex: -1 }, "Not found"), problem(missing)) };
}

function match(hash) {
  const [path, search = ""] = hash.replace(/^#/, "").split("?");
  const query = Object.fromEntries(new URLSearchParams(search));
  for (const [pattern, make] of routes) {
    const found = (path || "/").match(pattern);
    if (found) return { path: path || "/", make: () => make({ rest: found[1] && decodeURIComponent(found[1]), query }, redraw) };
  }
  return { path, make: () => nothing(path) };
}

let frame;
function redraw() {
  frame ??= requestAnimationFrame(() => {
    frame = null;
    draw();
  });
}

function draw() {
  const view = current;
  if (!view) return;
  document.title = `${view.title} – Davit`;
  forms.hidden = !view.forms;
  if (view.forms) render(root, view.fault && problem(view.fault, load));
  else if (view.fault && !view.loaded) render(root, h("h1", { tabindex: -1 }, view.title), problem(view.fault, load));
  else if (!view.loaded) render(root, h("h1", { tabindex: -1 }, view.title), loading());
  else render(root, view.fault && problem(view.fault, load), view.draw());
}

// load fetches the view's data. It ignores the answer to an older request.
async function load() {
  const view = current, number = ++asked;
  try {
    await view.load();
    view.fault = null;
    view.loaded = true;
  } catch (fault) {
    if (fault.name === "AbortError") return;
    if (!(fault instanceof Problem)) throw fault;
    view.fault = fault;
  }
  if (view === current && number === asked) draw();
}

const reload = throttled(load);

async function show(moved) {
  const hash = location.hash;
  if (hash && !hash.startsWith("#/")) return; // an anchor on the page
  const { path, make } = match(hash);
  current?.close?.();
  reload.cancel();
  current = make();
  for (const a of document.querySelectorAll(".bar nav a")) {
    const target = a.getAttribute("href").slice(1);
    const here = target === path || (target !== "/" && path.startsWith(`${target}/`));
    if (here) a.setAttribute("aria-current", "page");
    else a.removeAttribute("aria-current");
  }
  if (path === shown) return load(); // another filter: the old list stays until the new one is loaded
  shown = path;
  draw();
  if (moved) {
    scrollTo(0, 0);
    (current.forms ? forms : root).querySelector("h1")?.focus({ preventScroll: true });
  }
  return load();
}

function changed(data) {
  const change = JSON.parse(data);
  if (change.kind === "resync" || !current.changed) return reload();
  if (current.changed(change)) reload();
}

function connection(state, tries) {
  live.textContent = state === "open" ? "live" : "reconnecting";
  live.dataset.state = state;
  if (state === "lost" && tries === 1) get("/v1/limits").catch(() => {}); // shows the sign-in if the session has ended
}

function listen() {
  stream?.close();
  stream = new Stream(() => "/v1/events", { invocation: changed, registrations: changed, resync: changed }, connection);
}

function end() {
  stream?.close();
  reload.cancel();
  current?.close?.();
  current = signIn(() => {
    document.body.classList.remove("out");
    listen();
    show(true);
  }, redraw);
  current.loaded = true;
  shown = null;
  document.body.classList.add("out");
  draw();
  root.querySelector("input")?.focus();
}

whenSignedOut(() => {
  if (!document.body.classList.contains("out")) end();
});

document.getElementById("sign-out").onclick = async () => {
  try {
    await ask("DELETE", "/v1/session");
    end();
    announce("Signed out");
  } catch (fault) {
    current.fault = fault;
    draw();
  }
};

setInterval(() => current?.ticking?.() && !document.hidden && draw(), 500);
addEventListener("hashchange", () => !document.body.classList.contains("out") && show(true));
document.documentElement.classList.add("scripts");
listen();
show(false);

