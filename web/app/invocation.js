// The view of one invocation: its phases, outcome, log and result.

import { ask, filePath, get } from "./api.js";
import { curlSigned } from "./curl.js";
import { h } from "./dom.js";
import { bytes, duration, elapsed, isFinal, milliseconds } from "./format.js";
import { Log } from "./log.js";
import { announce, badge, code, copyButton, facts, icon, link, table, time } from "./parts.js";

const advice = {
  exit_code: "The command reports an error of its own: read the log.",
  signal: "The command was killed by a signal: read the log, and look for crashes.",
  out_of_memory: "The command needed more memory than resources.memory allows: raise it, or use less.",
  result_missing: "The command ended well but did not write what the trigger's results name: check the patterns and the log.",
  result_too_large: "The result is larger than allowed: name fewer files in results.",
  start_failed: "The function's start command ended or was not ready in time: read the log.",
  timed_out: "The command ran into its timeout: raise timeout on the trigger or the function.",
  input_invalid: "The request does not fit the trigger: change what is sent.",
  image_pull: "The function's image cannot be pulled: check its name, the registry and its login.",
  unschedulable: "No node has room for what resources asks for: ask for less, or add nodes.",
  evicted: "The node ran short and evicted the pod: try again, or raise resources.",
  node_lost: "The node that ran the command is gone: try again.",
  runner_lost: "The process that ran the command is gone: try again, if the command may run twice.",
  store_unavailable: "The object store does not answer: try again later.",
  expired: "The call waited longer for a slot than max_queue.wait: try again later, or raise max_concurrency.",
  cancelled: "Somebody cancelled it. Call the trigger again if that was a mistake.",
};

const phases = [["queue", "waiting for a slot"], ["start", "bringing the runner up"], ["input", "reading the input"], ["run", "the command"], ["zip", "packing the result"], ["store", "storing, beside the rest"]];

export function invocation({ rest: id }, redraw) {
  let inv, log, cancelling = false;
  const base = `/v1/invocations/${encodeURIComponent(id)}`;

  async function load() {
    inv = await get(base);
    log ??= new Log(`${base}/log`, "Log");
  }

  async function cancel() {
    if (cancelling) return;
    cancelling = true;
    redraw();
    try {
      inv = await ask("POST", `${base}/cancel`);
      announce("Cancelling");
    } catch (fault) {
      view.fault = fault;
      cancelling = false;
    }
    redraw();
  }

  const view = {
    title: `Invocation ${id.slice(-8)}`,
    load,
    changed: (change) => change.id === id,
    ticking: () => inv && !isFinal(inv.state),
    close: () => log?.close(),
    draw: () =>
      h("div", null,
        h("p", { class: "back" }, link("#/invocations", "Invocations")),
        h("div", { class: "row" },
          h("h1", { tabindex: -1 }, "Invocation of ", inv.trigger),
          h("span", { class: "row" }, badge(inv.state),
            !isFinal(inv.state) && h("button", { key: "cancel", type: "button", class: "danger", onclick: cancel, "aria-disabled": cancelling ? "true" : null }, cancelling ? "Cancelling…" : "Cancel"))),
        h("p", { class: "small id" }, h("code", null, inv.id), copyButton(inv.id, "id")),
        inv.reason && failure(inv),
        facts(["Function", link(`#/functions/${inv.function}`, inv.function), ` revision ${inv.revision}`], ["Started by", inv.start ?? inv.mode],
          ["Accepted", time(inv.created_at)], ["Command started", time(inv.started_at)], ["Took", h("span", { class: "number" }, duration(elapsed(inv)))],
          ["Exit code", inv.exit_code ?? "–"], inv.signal && ["Signal", inv.signal], inv.attempt > 1 && ["Attempt", inv.attempt],
          inv.request_id && ["Caller's id", h("code", null, inv.request_id)]),
        timeline(inv),
        section("Result", result(inv, base)),
        section("Log", log.draw(), h("p", { class: "actions" }, h("a", { class: "button", href: `${base}/log`, download: `log-${id}.txt` }, icon("down"), "Download the log"))),
        section("Input", input(inv, base))),
  };
  return view;
}

const section = (title, ...content) => {
  const id = `part-${title.toLowerCase()}`;
  return h("section", { key: id, "aria-labelledby": id }, h("h2", { id }, title), content);
};

const failure = (inv) =>
  h("div", { class: `problem ${inv.state}`, key: "failure" }, icon(inv.state),
    h("div", null,
      h("p", { class: "title" }, inv.reason.replaceAll("_", " ").replace(/^./, (c) => c.toUpperCase())),
      inv.detail && h("p", null, inv.detail),
      h("p", { class: "step" }, advice[inv.reason] ?? "Read the log.")));

function timeline(inv) {
  const known = phases.map(([name, text]) => ({ name, text, ms: milliseconds(inv.phases[name]) })).filter((p) => p.ms > 0);
  if (!known.some((p) => p.name === "run") && inv.started_at && !isFinal(inv.state)) known.push({ name: "run", text: "the command, so far", ms: Math.max(1, Date.now() - Date.parse(inv.started_at)) });
  if (!known.length) return null;
  const beside = known.filter((p) => p.name !== "store");
  const whole = beside.reduce((sum, p) => sum + p.ms, 0);
  return section("Phases",
    h("div", { class: "bar-chart", "aria-hidden": "true" }, beside.map((p) => h("span", { key: p.name, class: `phase ${p.name}`, style: { "flex-grow": String(p.ms / whole) } }))),
    h("ul", { class: "legend" }, known.map((p) => h("li", { key: p.name }, h("span", { class: `swatch ${p.name}`, "aria-hidden": "true" }), h("strong", null, p.name), " ", h("span", { class: "number" }, duration(p.ms)), h("span", { class: "quiet" }, ` ${p.text}`)))));
}

function result(inv, base) {
  const r = inv.result;
  if (!r) return h("p", { class: "empty" }, isFinal(inv.state) ? "There is none." : "Not yet.");
  const gone = r.expires_at && Date.parse(r.expires_at) < Date.now();
  if (!r.stored || gone) {
    return h("p", { class: "empty" }, gone ? "It has expired." : isFinal(inv.state) ? "The caller got it; the trigger keeps no copy." : "It is being stored.", ` It had ${bytes(r.size)}.`);
  }
  return [
    h("p", { class: "actions" },
      h("a", { class: "button primary", href: `${base}/result`, download: `result-${inv.id}.zip` }, icon("down"), `Download the zip (${bytes(r.size)})`),
      h("a", { class: "button", href: `${base}/result?redirect=true`, download: "" }, "By a signed URL")),
    r.files?.length > 0 && table("Files of the result", ["File", "Size"], r.files.map((f) => ({
      key: f.path, cells: [h("a", { href: `${base}/result/${filePath(f.path)}`, download: f.path.split("/").at(-1) }, f.path), h("span", { class: "number" }, bytes(f.size))],
    }))),
    r.file_count > (r.files?.length ?? 0) && h("p", { class: "hint" }, `The zip holds ${r.file_count} files; the first ${r.files?.length ?? 0} are listed.`),
    h("details", null, h("summary", null, "A link for others"), h("p", { class: "hint" }, "This prints a signed URL, which works for 15 minutes without a token."), code(curlSigned(inv.id), "curl command for a signed URL")),
    h("p", { class: "hint" }, r.expires_at && ["Kept until ", time(r.expires_at), ". "], r.sha256 && ["SHA-256 ", h("code", null, r.sha256)]),
  ];
}

function input(inv, base) {
  const i = inv.input;
  if (!i || !i.size) return h("p", { class: "empty" }, "The request had no body.");
  return [
    h("p", null, `${bytes(i.size)} of `, h("code", null, i.content_type || "unknown type"), i.stored ? "" : "; no copy is kept."),
    i.stored && h("p", { class: "actions" }, h("a", { class: "button", href: `${base}/input`, download: `input-${inv.id}` }, icon("down"), "Download the input")),
  ];
}
