// Writes requests as curl commands.

import { trigger as example } from "./example.js";
import { quote } from "./format.js";

const bearer = '-H "Authorization: Bearer $(cat "$DAVIT_TOKEN_FILE")"';

// join breaks a long command into lines.
function join(parts) {
  const lines = [];
  for (const part of parts) {
    if (lines.length && lines.at(-1).length + part.length < 84) lines[lines.length - 1] += ` ${part}`;
    else lines.push(part);
  }
  return lines.join(" \\\n  ");
}

// curlForm posts the form, as it is filled in, to the URL of the page's form.
export function curlForm(form) {
  const parts = [`curl ${bearer}`];
  for (const [name, value] of new FormData(form)) {
    if (value instanceof File) parts.push(`-F ${quote(`${name}=@${value.name || "source.tgz"}`)}`);
    else if (value || name === "name") parts.push(`--form-string ${quote(`${name}=${value}`)}`);
  }
  parts.push("-H 'Accept: application/json'", quote(`${location.origin}/register`));
  return join(parts);
}

// curlSigned prints a URL of a result that needs no token.
export const curlSigned = (id) =>
  join([`curl -s -o /dev/null -w '%{redirect_url}\\n' ${bearer}`, quote(`${location.origin}/v1/invocations/${id}/result?redirect=true`)]);

// curlTrigger calls a trigger, with an example for each of its inputs.
export function curlTrigger(trigger) {
  const { fields, files, body } = inputs(trigger);
  const posts = trigger.methods.includes("POST") || trigger.methods.includes("PUT");
  const url = new URL(trigger.url);
  let path = trigger.path.split("/").map((part) => (part.startsWith(":") ? part.slice(1).toUpperCase() : part)).join("/");
  if (path.endsWith("/*")) path = path.slice(0, -1) + "PATH";
  const parts = ["curl --fail-with-body"];
  if (trigger.access === "token") parts.push(bearer);
  parts.push((trigger.response ?? "zip") === "zip" ? "-o result.zip" : "-OJ");
  if (posts && !trigger.methods.includes("POST")) parts.push("-X PUT");
  if (posts && body) parts.push("--data-binary @input");
  else if (posts) parts.push(...fields.map((f) => `-F ${quote(`${f}=VALUE`)}`), ...files.map((f) => `-F ${quote(`${f}=@FILE`)}`));
  const query = posts && !body ? "" : fields.map((f, i) => `${i ? "&" : "?"}${encodeURIComponent(f)}=VALUE`).join("");
  parts.push(quote(url.origin + path + query));
  return join(parts);
}

// inputs returns the fields that a trigger declares, or else those that its command needs.
function inputs(trigger) {
  const inPath = new Set(trigger.path.split("/").filter((s) => s.startsWith(":")).map((s) => s.slice(1)));
  const declared = trigger.fields ?? [];
  const command = Array.isArray(trigger.command) ? trigger.command : [];
  const named = (kind) => command.map((w) => w.match(new RegExp(`^\\{${kind}:(.+)\\}$`))?.[1]).filter((n) => n && !inPath.has(n));
  const fields = declared.length ? declared.filter((f) => f.kind !== "file" && !inPath.has(f.name)).map((f) => f.name) : named("field");
  let files = declared.length ? declared.filter((f) => f.kind === "file").map((f) => f.name) : named("file");
  const counted = trigger.argument_style === "counted";
  if (!files.length && (counted || command.includes("{files}"))) files = ["file"];
  return { fields: [...new Set(fields)], files: [...new Set(files)], body: command.includes("{body}") };
}

// curlExample registers the page's example.
export const curlExample = () =>
  [
    "tar czf hello.tgz -C examples/hello/source .",
    curlPut("files"),
    join([`curl -X PUT ${bearer}`, "-H 'Content-Type: application/json'", `-d ${quote(JSON.stringify(example))}`, `${location.origin}/v1/triggers/hello`]),
  ].join("\n");

// curlPut registers a function through the API.
export const curlPut = (kind) =>
  kind === "image"
    ? join([`curl -X PUT ${bearer}`, "-H 'Content-Type: application/json'", "-d '{\"image\": \"team/app:1\"}'", `${location.origin}/v1/functions/hello`])
    : join([`curl -X PUT ${bearer}`, "-F 'spec={};type=application/json'", "-F source=@hello.tgz", `'${location.origin}/v1/functions/hello?wait=60s'`]);
