//go:build cluster

package e2e

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/minio/minio-go/v7"

	"davit/e2e/rig"
	"davit/internal/testenv"
)

// bundle writes its arguments and files, text and binary, to result files, and prints a line.
const bundle = `#!/bin/sh
set -e
echo "working on $# arguments"
printf '%s\n' "$@" > arguments.txt
mkdir -p deep/er
cat "$2" "$3" > deep/er/joined.bin
head -c 100000 /dev/zero > zeros.bin
`

// TestKubeFiles: a call of a function from files: its zip, and the stored result, log and input.
func TestKubeFiles(t *testing.T) {
	t.Parallel()
	k := onKube(t)
	f := k.function(t, "files", "", map[string]string{"tool.sh": bundle})
	path := k.trigger(t, f, `"methods": ["GET", "POST"], "command": ["sh", "tool.sh", "{field:word}", "{files}"], "results": ["*.txt", "deep/**", "*.bin"]`)
	binary := strings.Repeat("\x00\xff\r\n", 500)
	parts := []rig.Part{
		{Name: "word", Data: []byte("two words")},
		{Name: "a", Filename: "données 1.bin", Data: []byte(binary)},
		{Name: "b", Filename: "b.txt", Data: []byte("text\n")},
	}
	a := post(t, k.Gateway, path, nil, parts...)
	status(t, a, http.StatusOK)
	want := map[string]string{
		"arguments.txt": "two words\ndonnées 1.bin\nb.txt\n", "deep/er/joined.bin": binary + "text\n", "b.txt": "text\n", // an upload matches the pattern too
		"zeros.bin": strings.Repeat("\x00", 100000), "données 1.bin": binary,
	}
	if got := unzip(t, a.Body); !maps.Equal(got, want) {
		t.Errorf("the zip has %.500q", got)
	}
	id := a.Header.Get("Davit-Invocation")
	r := await(t, k.Gateway, id)
	sum := sha256.Sum256(a.Body)
	if r.State != "succeeded" || r.Start != "job" || r.Attempt != 1 || r.Result == nil || r.Result.SHA256 != hex.EncodeToString(sum[:]) {
		t.Errorf("record: %+v", r)
	}
	if log := admin(t, k.Gateway, http.MethodGet, "/v1/invocations/"+id+"/log", ""); string(log.Body) != "working on 3 arguments\n" {
		t.Errorf("log: %d %q", log.Status, log.Body)
	}
	body, _, err := rig.Form(parts...)
	if err != nil {
		t.Fatal(err)
	}
	input := admin(t, k.Gateway, http.MethodGet, "/v1/invocations/"+id+"/input", "")
	if !strings.HasPrefix(input.Header.Get("Content-Type"), "multipart/form-data") || len(input.Body) != body.Len() {
		t.Errorf("input: %d, %d bytes of %s", input.Status, len(input.Body), input.Header.Get("Content-Type"))
	}
	k.download(t, id, a.Body)
	failsWith(t, get(t, k.Gateway, path+"?word=alone", nil), "exit_code", "cat") // because the call has no file
}

// download downloads a result from the API, by its signed URL, and from the store.
func (k *kube) download(t *testing.T, id string, want []byte) {
	t.Helper()
	if a := admin(t, k.Gateway, http.MethodGet, "/v1/invocations/"+id+"/result", ""); !bytes.Equal(a.Body, want) {
		t.Errorf("the result from the API: %d, %d bytes", a.Status, len(a.Body))
	}
	a := admin(t, k.Gateway, http.MethodGet, "/v1/invocations/"+id+"/result?redirect=true", "")
	status(t, a, http.StatusSeeOther)
	signed, err := url.Parse(a.Header.Get("Location"))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(signed.String(), k.settings["DAVIT_DOWNLOAD_PUBLIC"]+"/") {
		t.Errorf("the signed URL is %s", signed.Redacted())
	}
	if code, got := signedFetch(t, http.MethodGet, signed); code != http.StatusOK || !bytes.Equal(got, want) {
		t.Errorf("by the signed URL: %d, %d bytes", code, len(got))
	}
	other := *signed
	other.Path = strings.Replace(other.Path, "result.zip", "log", 1)
	if code, _ := signedFetch(t, http.MethodGet, &other); code != http.StatusForbidden {
		t.Errorf("the signature of one object opens another: %d", code)
	}
	if code, _ := signedFetch(t, http.MethodPut, signed); code/100 != 4 {
		t.Errorf("a signed download takes an upload: %d", code)
	}
	store, bucket := k.store(t)
	object, err := store.GetObject(t.Context(), bucket, "invocations/"+id+"/1/result.zip", minio.GetObjectOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = object.Close() }()
	if raw, err := io.ReadAll(object); err != nil || !bytes.Equal(raw, want) {
		t.Errorf("the object in the store: %d bytes, %v", len(raw), err)
	}
}

// signedFetch requests a signed URL without credentials.
func signedFetch(t *testing.T, method string, from *url.URL) (int, []byte) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, from.String(), http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, body
}

// TestKubeSetup: the setup command runs as root during the build, and its files are in the image.
func TestKubeSetup(t *testing.T) {
	t.Parallel()
	k := onKube(t)
	word := unique("word") // so that the setup runs, instead of a cached layer of an earlier run
	f := k.function(t, "setup", `"setup": "id -u > /etc/built-by && cat word.txt >> /etc/built-by && echo set up"`,
		map[string]string{"tool.sh": "cat /etc/built-by; id -u\n", "word.txt": word + "\n"})
	path := k.trigger(t, f, `"methods": ["GET"], "command": ["sh", "tool.sh"], "response": "file"`)
	a := get(t, k.Gateway, path, nil)
	status(t, a, http.StatusOK)
	if string(a.Body) != "0\n"+word+"\n65532\n" {
		t.Errorf("the call printed %q", a.Body)
	}
	if log := admin(t, k.Gateway, http.MethodGet, "/v1/functions/"+f+"/revisions/1/log", ""); !strings.Contains(string(log.Body), "set up\n") {
		t.Errorf("the log of the build: %d %s", log.Status, log.Body)
	}
}

// TestKubeDockerfile: a source with a Dockerfile, whose working directory and command are used.
func TestKubeDockerfile(t *testing.T) {
	t.Parallel()
	k := onKube(t)
	f := k.function(t, "dockerfile", "", map[string]string{
		"Dockerfile": "FROM " + k.settings["DAVIT_BASE_IMAGE"] + `
WORKDIR /srv/app
COPY tool.sh data.txt ./
RUN tr a-z A-Z < data.txt > upper.txt
ENV GREETING=hello
CMD ["sh", "tool.sh"]
`, "tool.sh": "cat upper.txt; echo $GREETING; ls\n", "data.txt": "data\n",
	})
	path := k.trigger(t, f, `"methods": ["GET"], "response": "file"`)
	a := get(t, k.Gateway, path, nil)
	status(t, a, http.StatusOK)
	if string(a.Body) != "DATA\nhello\ndata.txt\ntool.sh\nupper.txt\n" {
		t.Errorf("the call printed %q", a.Body)
	}
}

// TestKubeOriginal: the forms of the student project work on a cluster. No other test runs at the same time, because
// each of the functions requests half a processor.
func TestKubeOriginal(t *testing.T) {
	t.Run("files", testOriginalFiles)
	t.Run("image", testOriginalImage)
}

func testOriginalFiles(t *testing.T) {
	k := onKube(t)
	name := unique("original")
	source, err := rig.PackFiles(map[string]string{"app.sh": echoArguments})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { k.remove(t, name) })
	a := registerForm(t, k.Gateway, map[string][]string{"kind": {"files"}, "name": {name}, "command": {""}, "arguments": {""}}, source)
	status(t, a, http.StatusSeeOther)
	testenv.EventuallyWithin(t, kubeWait, "the function is ready", func() bool {
		return strings.Contains(string(admin(t, k.Gateway, http.MethodGet, "/v1/functions/"+name, "").Body), `"ready"`)
	})
	a = registerForm(t, k.Gateway, map[string][]string{
		"kind": {"trigger"}, "url": {"/" + name}, "image": {name}, "method": {"get", "post"},
		"command": {"/bin/bash -c sh app.sh"}, "files": {"arguments.txt,listing.txt"},
	}, nil)
	status(t, a, http.StatusSeeOther)
	a = post(t, k.Gateway, "/"+name+"?q=1", nil, rig.Part{Name: "field", Data: []byte("two words")}, rig.Part{Name: "up", Filename: "up.txt", Data: []byte("x")})
	status(t, a, http.StatusOK)
	files := unzip(t, a.Body)
	if files["arguments.txt"] != "[2]\n[1]\n[two words]\n[1]\n[up.txt]\n" || !strings.Contains(files["listing.txt"], "app.sh\n") {
		t.Errorf("the zip has %q", files)
	}
	a = get(t, k.Gateway, "/"+name+"?q=1", nil)
	status(t, a, http.StatusOK)
	if got := unzip(t, a.Body)["arguments.txt"]; got != "[1]\n[1]\n[0]\n" {
		t.Errorf("by GET: %q", got)
	}
}

func testOriginalImage(t *testing.T) {
	k := onKube(t)
	name := unique("form")
	t.Cleanup(func() { k.remove(t, name) })
	image := k.registry(t).push(t, shellImage(t))
	status(t, registerForm(t, k.Gateway, map[string][]string{
		"kind": {"image"}, "name": {name}, "image": {image}, "command": {""}, "arguments": {""},
	}, nil), http.StatusSeeOther)
	testenv.EventuallyWithin(t, kubeWait, "the function is ready", func() bool {
		return strings.Contains(string(admin(t, k.Gateway, http.MethodGet, "/v1/functions/"+name, "").Body), `"ready"`)
	})
	status(t, registerForm(t, k.Gateway, map[string][]string{ // the form names the function by its image, as the original does
		"kind": {"trigger"}, "url": {"/" + name}, "image": {image}, "method": {"get"}, "command": {"sh -c echo"}, "files": {""},
	}, nil), http.StatusSeeOther)
	a := get(t, k.Gateway, "/"+name+"?a=b", nil)
	status(t, a, http.StatusOK)
	if got := unzip(t, a.Body)["stdout"]; got != "1 b 0\n" {
		t.Errorf("the call printed %q", got)
	}
}
