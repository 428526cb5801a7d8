// Requests to the gateway. Every failure is a Problem: the API's, or one that
// says why there was no answer.

export class Problem extends Error {
  constructor(fields) {
    super(fields.detail ?? fields.title);
    Object.assign(this, { title: "Something went wrong", kind: "internal", errors: [], status: 0 }, fields);
  }
}

const away = (detail) => new Problem({ kind: "network", title: "The console does not answer", detail });

// whenSignedOut sets a function that is called after every 401.
let signedOut = () => {};
export const whenSignedOut = (f) => (signedOut = f);

// problemOf reads an answer that is not a success.
export function problemOf(status, text, requestID) {
  let fields;
  try {
    fields = JSON.parse(text);
  } catch {
    fields = null;
  }
  if (!fields?.kind) fields = { title: `The console answered with status ${status}`, detail: clip(text) || "It gave no reason.", kind: "internal" };
  const problem = new Problem({ request_id: requestID, ...fields, status });
  if (status === 401) signedOut(problem);
  return problem;
}

const clip = (text) => (/^\s*</.test(text) ? "" : text.trim().slice(0, 300));

export async function ask(method, path, body, signal) {
  const json = body && !(body instanceof FormData);
  let answer;
  try {
    answer = await fetch(path, {
      method, signal,
      headers: { Accept: "application/json", ...(json && { "Content-Type": "application/json" }) },
      body: json ? JSON.stringify(body) : body,
    });
  } catch (cause) {
    if (cause.name === "AbortError") throw cause;
    throw away("The connection failed before an answer came.");
  }
  let text;
  try {
    text = await answer.text();
  } catch {
    throw away("The connection broke within the answer.");
  }
  if (!answer.ok) throw problemOf(answer.status, text, answer.headers.get("X-Request-Id"));
  return text ? JSON.parse(text) : null;
}

export const get = (path, signal) => ask("GET", path, null, signal);

// all reads all pages of a list.
export async function all(path) {
  const items = [];
  for (let cursor = ""; cursor != null; ) {
    const page = await get(`${path}?limit=1000${cursor && `&cursor=${encodeURIComponent(cursor)}`}`);
    items.push(...page.items);
    cursor = page.next;
  }
  return items;
}

// upload posts a form and reports how much of it was sent. abort() of the
// returned object cancels it: done is then rejected with an AbortError.
export function upload(path, form, progress) {
  const request = new XMLHttpRequest();
  const done = new Promise((resolve, reject) => {
    request.open("POST", path);
    request.setRequestHeader("Accept", "application/json");
    request.upload.onprogress = (e) => progress(e.loaded, e.total);
    request.onload = () => {
      const ok = request.status >= 200 && request.status < 300;
      if (ok) resolve(JSON.parse(request.responseText));
      else reject(problemOf(request.status, request.responseText, request.getResponseHeader("X-Request-Id")));
    };
    request.onerror = () => reject(away("The connection broke while the form was sent. If the file has changed on disk since it was chosen, choose it again."));
    request.onabort = () => reject(new DOMException("cancelled", "AbortError"));
    request.send(form);
  });
  return { done, abort: () => request.abort() };
}

export const encode = encodeURIComponent;
export const filePath = (path) => path.split("/").map(encode).join("/");
