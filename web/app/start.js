// The start view: the first steps, and later the state of the installation.

import { all, get } from "./api.js";
import { curlExample, curlPut } from "./curl.js";
import { h } from "./dom.js";
import { registerExample } from "./example.js";
import { invocationTable } from "./invocations.js";
import { announce, badge, code, facts, hasRunning, link, problem } from "./parts.js";

export function start(_, redraw) {
  let functions, recent, failed, info, ready, busy = false, fault;

  async function load() {
    [functions, recent, failed, info, ready] = await Promise.all([
      all("/v1/functions"), get("/v1/invocations?limit=8"), get("/v1/invocations?limit=5&state=failed"), get("/v1/limits"), readiness(),
    ]);
  }

  async function example() {
    if (busy) return;
    busy = true;
    fault = null;
    redraw();
    try {
      await registerExample();
      announce("The example is registered");
      location.hash = "#/functions/hello";
    } catch (p) {
      fault = p;
    }
    busy = false;
    redraw();
  }

  return {
    title: "Start",
    load,
    changed: () => true,
    ticking: () => recent && hasRunning(recent.items),
    draw: () => (functions.length || recent.items.length ? overview(functions, recent, failed, info, ready) : first(info, example, busy, fault)),
  };
}

// readiness reads /readyz. A 503 is an answer too: it says what is unavailable.
async function readiness() {
  try {
    return await (await fetch("/readyz")).json();
  } catch {
    return { status: "away", dependencies: { console: "away" } };
  }
}

function first(info, example, busy, fault) {
  const local = info.parts.launcher === "local";
  return h("div", null,
    h("h1", { tabindex: -1 }, "Run any command behind a URL"),
    h("p", { class: "lead" }, "Callers post files and fields; Davit runs your command on them and answers with the files it wrote. Nothing is registered yet: begin in one of three ways."),
    fault && problem(fault),
    h("ul", { class: "cards three" },
      card("Run an example", "A shell script that greets, and its URL.",
        h("button", { type: "button", class: "primary", onclick: example, "aria-disabled": busy ? "true" : null }, busy ? "Registering…" : "Register the example"),
        curlExample()),
      card("Upload your code", "A folder as .tgz; a trigger then says which command runs in it.",
        h("a", { class: "button", href: "#/register/files" }, "Upload files"), curlPut("files")),
      card("Use an image", local ? "Runs in a cluster. This installation runs on one machine, where code is uploaded." : "An image that your cluster can pull.",
        h("a", { class: "button", href: "#/register/image" }, "Name an image"), curlPut("image"))));
}

const card = (title, text, action, curl) =>
  h("li", { class: "card" }, h("h2", null, title), h("p", null, text), h("p", null, action),
    h("details", null, h("summary", null, "The same with curl"), code(curl, `curl command: ${title.toLowerCase()}`)));

function overview(functions, recent, failed, info, ready) {
  const stuck = functions.filter((f) => f.invocable.startsWith("not invocable") || f.state === "failed");
  return h("div", null,
    h("h1", { tabindex: -1 }, "Start"),
    h("section", { class: "card", "aria-labelledby": "health" },
      h("div", { class: "row" },
        h("h2", { id: "health" }, "Health"),
        h("ul", { class: "plain badges" }, Object.entries(ready.dependencies).sort().map(([name, state]) => h("li", { key: name }, h("span", { class: "name" }, name), badge(state))))),
      facts(["Functions", link("#/functions", String(functions.length))], ["Calls go to", info.calls_url],
        ["Runs on", Object.entries(info.parts).sort().map(([part, kind]) => `${part} ${kind}`).join(", ")],
        ["Commands are confined by", info.sandbox || "nothing"], ["Version", info.version])),
    stuck.length > 0 && h("section", { key: "stuck", class: "card", "aria-labelledby": "stuck" },
      h("h2", { id: "stuck" }, "Functions that need a look"),
      h("ul", { class: "plain" }, stuck.map((f) => h("li", { key: f.name }, link(`#/functions/${f.name}`, f.name), " ", badge(f.state), " ", f.detail || f.invocable)))),
    h("section", { key: "recent", "aria-labelledby": "recent" },
      h("div", { class: "row" }, h("h2", { id: "recent" }, "Last invocations"), link("#/invocations", "All invocations")),
      recent.items.length ? invocationTable(recent.items, "Last invocations") : h("p", { class: "empty" }, "None yet. ", link("#/functions", "Each function"), " shows how its triggers are called.")),
    failed.items.length > 0 && h("section", { key: "failed", "aria-labelledby": "failed" },
      h("div", { class: "row" }, h("h2", { id: "failed" }, "Last failures"), link("#/invocations?state=failed", "All failures")),
      invocationTable(failed.items, "Last failures")));
}
