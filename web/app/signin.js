// The sign-in view, shown without a session.

import { ask } from "./api.js";
import { h } from "./dom.js";
import { problem } from "./parts.js";

export function signIn(done, redraw) {
  let fault = null, busy = false;
  const submit = async (e) => {
    e.preventDefault();
    const token = new FormData(e.target).get("token").trim();
    busy = true;
    redraw();
    try {
      await ask("POST", "/v1/session", { token });
      done();
    } catch (p) {
      fault = p;
    }
    busy = false;
    redraw();
  };
  return {
    title: "Sign in",
    load: async () => {},
    draw: () =>
      h("div", { class: "sign-in" },
        h("h1", { tabindex: -1 }, "Sign in"),
        h("p", null, "You are signed out, or the session has ended. What runs goes on."),
        fault && problem(fault.kind === "unauthorized" ? { ...fault, title: "Not signed in", detail: fault.message, kind: "" } : fault),
        h("form", { class: "form", onsubmit: submit },
          h("div", { class: "field" },
            h("label", { for: "token" }, "Token"),
            h("input", { id: "token", name: "token", type: "password", autocomplete: "current-password", required: true, "aria-describedby": "token-hint" }),
            h("p", { class: "hint", id: "token-hint" }, "It is in the file that the gateway prints at start as ", h("code", null, "DAVIT_TOKEN_FILE"), ", beside a link that signs in once.")),
          h("div", { class: "actions" }, h("button", { class: "primary", "aria-disabled": busy ? "true" : null }, "Sign in")))),
  };
}
