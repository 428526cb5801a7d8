// A log that is shown while it is written. After a lost connection it goes on
// where it was.

import { problemOf } from "./api.js";
import { h, render } from "./dom.js";
import { Stream } from "./live.js";
import { problem } from "./parts.js";

const most = 400_000; // characters on the page; earlier ones are removed
const codes = /\u001b\[[0-9;?]*[ -/]*[@-~]/g; // escape sequences, e.g. of colours, which are removed

export class Log {
  // ended is called at the end of the log.
  constructor(path, name, ended = () => {}) {
    Object.assign(this, { path, ended, size: 0, pending: "", state: "open" });
    this.text = document.createElement("pre");
    this.text.className = "log";
    this.text.tabIndex = 0;
    this.text.setAttribute("role", "group");
    this.text.setAttribute("aria-label", name);
    this.node = document.createElement("div");
    this.under = document.createElement("div");
    this.node.append(this.text, this.under);
    this.stream = new Stream((from) => `${path}?follow=true${from && `&from=${from}`}`,
      { message: (data) => this.add(data), end: () => this.end() }, (state, tries) => this.connection(state, tries));
    this.tell();
  }

  add(text) {
    this.pending += text;
    this.frame ??= setTimeout(() => this.flush(), 40);
  }

  flush() {
    this.frame = null;
    const text = this.pending.replace(codes, "");
    this.pending = "";
    const atEnd = this.text.scrollHeight - this.text.scrollTop - this.text.clientHeight < 24;
    this.text.append(text);
    this.size += text.length;
    while (this.size > most && this.text.childNodes.length > 1) {
      this.size -= this.text.firstChild.length;
      this.text.firstChild.remove();
      this.cut = true;
    }
    if (atEnd) this.text.scrollTop = this.text.scrollHeight;
    this.tell();
  }

  end() {
    this.stream.close();
    if (this.pending) this.flush();
    this.state = "ended";
    this.tell();
    this.ended();
  }

  connection(state, tries) {
    if (state === "open") this.opened = true;
    else if (!this.opened && tries === 0) this.check();
    this.state = state;
    this.tell();
  }

  // check requests the log to find out why there is no stream.
  async check() {
    const stop = new AbortController();
    try {
      const answer = await fetch(this.path, { signal: stop.signal, headers: { Accept: "text/plain, application/problem+json" } });
      if (answer.ok) return;
      this.fault = problemOf(answer.status, await answer.text(), answer.headers.get("X-Request-Id"));
      if (answer.status < 500) this.stream.close();
    } catch {
      return; // because the stream tries again
    } finally {
      stop.abort();
    }
    this.tell();
  }

  tell() {
    const empty = !this.size && !this.pending;
    this.text.hidden = empty;
    render(this.under,
      this.cut && h("p", { class: "hint" }, "Only the end is shown here; the download has all that was kept."),
      this.fault && empty ? problem(this.fault) : h("p", { class: "hint log-state" }, {
        open: empty ? "Waiting for the first line…" : "Following…",
        lost: "The connection is lost; the log goes on when it is back.",
        ended: empty ? "Nothing was written." : "End of the log.",
      }[this.state]));
  }

  close() {
    clearTimeout(this.frame);
    this.stream.close();
  }

  // draw returns the log's element for a view.
  draw() {
    return h("div", { key: this.path, own: true, created: (node) => node.append(this.node) });
  }
}
