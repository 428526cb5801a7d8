// The registration forms. They are in index.html and work without scripts. The
// scripts add progress, the build's log, and errors beside the fields.

import { all, get, upload } from "./api.js";
import { curlForm, curlTrigger } from "./curl.js";
import { h, render } from "./dom.js";
import { bytes } from "./format.js";
import { Log } from "./log.js";
import { announce, badge, code, link, problem } from "./parts.js";

class Form {
  constructor(section) {
    this.section = section;
    this.form = section.querySelector("form");
    this.out = section.querySelector(".outcome");
    this.curl = section.querySelector(".as-curl");
    this.send = this.form.querySelector("button");
    this.form.addEventListener("submit", (e) => this.submit(e));
    for (const event of ["input", "change"]) {
      this.form.addEventListener(event, (e) => {
        this.clear(e.target.name);
        this.drawCurl();
      });
    }
    this.drawCurl();
  }

  drawCurl() {
    render(this.curl, h("details", null, h("summary", null, "The same with curl"), code(curlForm(this.form), "curl command of this form")));
  }

  async submit(e) {
    e.preventDefault();
    if (this.sending) return;
    this.log?.close();
    this.log = null;
    this.clear();
    this.sending = upload("/register", new FormData(this.form), (sent, whole) => this.show({ sent, whole }));
    this.send.setAttribute("aria-disabled", "true");
    this.show({ sent: 0, whole: 0 });
    try {
      const done = await this.sending.done;
      this.sending = null;
      if (done.revision) await this.follow(done);
      else this.registered(done);
    } catch (fault) {
      this.sending = null;
      if (fault.name === "AbortError") this.show({ cancelled: true });
      else this.failed(fault);
    }
    this.send.removeAttribute("aria-disabled");
  }

  // follow shows the build's log to its end, and then the outcome.
  async follow(fn) {
    const path = `/v1/functions/${fn.name}`;
    if (fn.state === "building") {
      await new Promise((ended) => {
        this.log = new Log(`${path}/revisions/${fn.revision}/log`, "Build log", ended);
        this.show({ fn });
        this.settled(path, fn.revision, ended);
      });
    }
    this.show({ fn: await this.settled(path, fn.revision) });
    announce(`The build of ${fn.name} has ended`);
  }

  // settled waits until a revision is ready or failed, which may come after its log's end.
  async settled(path, revision, ended = () => {}) {
    for (let wait = 150; ; wait = Math.min(wait * 2, 2000)) {
      const fn = await get(path).catch((fault) => {
        if (fault.kind !== "network") throw fault;
      });
      if (fn && (fn.state !== "building" || fn.revision !== revision)) {
        ended();
        return fn;
      }
      await new Promise((next) => setTimeout(next, wait));
    }
  }

  registered(trigger) {
    announce(`${trigger.name} is registered`);
    this.show({ trigger });
  }

  failed(fault) {
    const beside = fault.errors.filter((e) => this.point(e));
    this.show({ fault: { ...fault, errors: fault.errors.filter((e) => !beside.includes(e)) } });
    const wrong = this.form.querySelector("[aria-invalid]");
    if (wrong) wrong.focus();
  }

  // point shows an error beside its field.
  point({ pointer, detail }) {
    const name = pointer.split("/")[1];
    const note = name && this.form.querySelector(`[data-error="${CSS.escape(name)}"]`);
    if (!note) return false;
    note.textContent = detail.replace(/^./, (c) => c.toUpperCase());
    this.form.querySelector(`[name="${CSS.escape(name)}"]`).setAttribute("aria-invalid", "true");
    note.closest("details")?.setAttribute("open", "");
    return true;
  }

  clear(name) {
    for (const note of this.form.querySelectorAll(name ? `[data-error="${CSS.escape(name)}"]` : "[data-error]")) note.textContent = "";
    for (const field of this.form.querySelectorAll(name ? `[name="${CSS.escape(name)}"]` : "[name]")) field.removeAttribute("aria-invalid");
  }

  show(state) {
    render(this.out, this.describe(state), this.log && h("div", { key: "log" }, h("h3", null, "Build log"), this.log.draw()));
  }

  describe({ sent, whole, cancelled, fault, fn, trigger }) {
    if (cancelled) return h("p", { class: "note", role: "status" }, "Cancelled. Nothing was registered.");
    if (fault) return problem(fault);
    if (trigger) return triggerDone(trigger);
    if (fn) return fn.state === "building" ? h("p", { class: "note", role: "status" }, badge("building"), ` Building revision ${fn.revision} of ${fn.name}…`) : functionDone(fn);
    return h("div", { class: "progress" },
      h("label", { for: `progress-${this.section.id}` }, whole && sent >= whole ? "Sent. Waiting for the answer…" : `Sending ${bytes(sent)} of ${bytes(whole)}`),
      h("progress", { id: `progress-${this.section.id}`, max: whole || 1, value: sent }),
      h("button", { type: "button", onclick: () => this.sending?.abort() }, "Cancel"));
  }
}

function functionDone(fn) {
  if (fn.state === "failed") {
    return problem({ title: `Revision ${fn.revision} of ${fn.name} could not be built`, detail: fn.detail || "The log says why.", kind: "build_failed" });
  }
  return h("div", { class: "note good", role: "status" },
    h("p", null, badge("ready"), ` Revision ${fn.revision} of `, link(`#/functions/${fn.name}`, fn.name), " is ready."),
    h("p", { class: "actions" }, h("a", { class: "button primary", href: `#/register/trigger?function=${fn.name}` }, "Add a trigger")));
}

const triggerDone = (t) =>
  h("div", { class: "note good", role: "status" },
    h("p", null, badge("ready"), " Calls of this URL run ", link(`#/functions/${t.function}`, t.function), "."),
    code(t.url, "URL"), h("p", { class: "hint" }, "Call it:"), code(curlTrigger(t), "curl command that calls it"));

const section = document.getElementById("register");
let forms;

export function register({ rest: kind = "files", query }) {
  forms ??= Object.fromEntries([...section.querySelectorAll("[data-kind]")].map((node) => [node.dataset.kind, new Form(node)]));
  for (const name in forms) forms[name].section.hidden = name !== kind;
  for (const a of section.querySelectorAll(".tabs a")) {
    if (a.getAttribute("href").endsWith(`/${kind}`)) a.setAttribute("aria-current", "page");
    else a.removeAttribute("aria-current");
  }
  if (query.function) section.querySelector("#trigger-image").value = query.function;
  for (const name in forms) forms[name].drawCurl();

  async function load() {
    const [functions, info] = await Promise.all([all("/v1/functions"), get("/v1/limits")]);
    render(document.getElementById("functions"), functions.map((f) => h("option", { key: f.name, value: f.name })));
    section.querySelector("#image-note").hidden = info.parts.launcher !== "local";
    const most = info.limits.max_archive;
    section.querySelector("#max-archive").textContent = most ? ` At most ${bytes(most)}.` : "";
  }
  return { title: "Register", forms: true, load, changed: (change) => change.kind === "registrations", draw: () => null };
}
