// The example that the page can register: a script, packed here.

import { ask } from "./api.js";

const script = `#!/bin/sh
# Greets, and tells about the files that came along.
name=$1
shift
{
  echo "Hello, $name!"
  for file in "$@"; do
    echo "You sent $file: $(wc -c <"$file") bytes."
  done
} >greeting.txt
echo "greeted $name" >&2
`;

export const trigger = {
  function: "hello", methods: ["GET", "POST"], path: "/hello/:name",
  command: ["sh", "hello.sh", "{field:name}", "{files}"], results: ["greeting.txt"], response: "auto",
};

// tar returns an archive of one file, in the format of POSIX.1-1988 (ustar).
function tar(name, text) {
  const data = new TextEncoder().encode(text);
  const archive = new Uint8Array(512 + Math.ceil(data.length / 512) * 512 + 1024);
  const put = (at, s) => archive.set(new TextEncoder().encode(s), at);
  const octal = (n, width) => n.toString(8).padStart(width - 1, "0");
  put(0, name);
  put(100, octal(0o755, 8));
  put(108, octal(0, 8));
  put(116, octal(0, 8));
  put(124, octal(data.length, 12));
  put(136, octal(0, 12));
  put(148, " ".repeat(8));
  put(156, "0");
  put(257, "ustar");
  put(263, "00");
  put(148, `${octal(archive.slice(0, 512).reduce((a, b) => a + b), 7)}\0`);
  archive.set(data, 512);
  return archive;
}

export async function registerExample() {
  const packed = new Blob([tar("hello.sh", script)]).stream().pipeThrough(new CompressionStream("gzip"));
  const form = new FormData();
  form.append("spec", new Blob(["{}"], { type: "application/json" }));
  form.append("source", await new Response(packed).blob(), "hello.tgz");
  await ask("PUT", "/v1/functions/hello?wait=60s", form);
  await ask("PUT", "/v1/triggers/hello", trigger);
}
