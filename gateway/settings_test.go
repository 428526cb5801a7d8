package gateway

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestReadmeHasTheSettings: the README's table is what the program prints.
func TestReadmeHasTheSettings(t *testing.T) {
	readme, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	if table := strings.Join(settingsTable(), "\n"); !strings.Contains(string(readme), table) {
		t.Errorf("README.md has another table of settings than `make settings` prints:\n%s", table)
	}
}

// TestDocsNameFilesThatExist: what the documents link to is there.
func TestDocsNameFilesThatExist(t *testing.T) {
	link := regexp.MustCompile(`\]\(([^)#]+)\)`)
	for _, doc := range []string{"README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "SECURITY.md"} {
		text, err := os.ReadFile(filepath.Join("..", doc))
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range link.FindAllStringSubmatch(string(text), -1) {
			if strings.Contains(m[1], "://") {
				continue
			}
			if _, err := os.Stat(filepath.Join("..", m[1])); err != nil {
				t.Errorf("%s names %s: %v", doc, m[1], err)
			}
		}
	}
}

// TestSettings: faults are told together, secrets come from files and are not shown, unknown names are refused.
func TestSettings(t *testing.T) {
	secret := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(secret, []byte("s3cret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, err := loadConfig([]string{"DAVIT_TOKEN_FILE=" + secret, "DAVIT_MAX_LOG=1Mi", "OTHER=x"})
	if err != nil {
		t.Fatal(err)
	}
	if cfg.Token != "s3cret" || cfg.MaxLog != 1<<20 {
		t.Errorf("token %q, max_log %d", cfg.Token, cfg.MaxLog)
	}
	for _, shown := range cfg.redacted() {
		if shown == "s3cret" {
			t.Error("the token is shown")
		}
	}
	for name, environ := range map[string][]string{
		"DAVIT_DOCKER_HOST": {"DAVIT_LAUNCHER=kube", "DAVIT_RUNNER_PUBLIC=runners:8082"},
		"DAVIT_REGISTRY":    {"DAVIT_LAUNCHER=kube", "DAVIT_RUNNER_PUBLIC=runners:8082", "DAVIT_DOCKER_HOST=unix:///x"},
		"DAVIT_LAUNCHER":    {"DAVIT_DOCKER_HOST=unix:///x", "DAVIT_REGISTRY=registry:5000"},
		"DAVIT_BUILDS":      {"DAVIT_LAUNCHER=kube", "DAVIT_RUNNER_PUBLIC=runners:8082", "DAVIT_DOCKER_HOST=unix:///x", "DAVIT_REGISTRY=registry:5000", "DAVIT_BUILDS=0"},
	} {
		if _, err := loadConfig(environ); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%q: got %v, want one about %s", environ, err, name)
		}
	}
	_, err = loadConfig([]string{"DAVIT_MAX_LOG=-1", "DAVIT_LEASE=0s", "DAVIT_CALLS_ADDR=nowhere", "DAVIT_TYPO=1", "DAVIT_LOG_LEVEL=loud", "DAVIT_S3_ENDPOINT=x"})
	if err == nil {
		t.Fatal("faults were not refused")
	}
	for _, name := range []string{"DAVIT_MAX_LOG", "DAVIT_LEASE", "DAVIT_CALLS_ADDR", "DAVIT_TYPO", "DAVIT_LOG_LEVEL", "DAVIT_S3_ACCESS_KEY"} {
		if !strings.Contains(err.Error(), name) {
			t.Errorf("%s is not named in: %v", name, err)
		}
	}
}

// TestBadSizeIsOneFault: a size or duration that does not parse is reported once, by its variable and with what is wrong.
func TestBadSizeIsOneFault(t *testing.T) {
	for pair, want := range map[string]string{
		"DAVIT_BUILD_DISK=ten": `DAVIT_BUILD_DISK: "ten" is no size; write bytes as a number, or a string such as "64Mi"`,
		"DAVIT_MAX_RESULT=0":   "DAVIT_MAX_RESULT: 0 must be above 0",
		"DAVIT_DRAIN=soon":     "DAVIT_DRAIN: ",
	} {
		_, err := loadConfig([]string{pair})
		if err == nil {
			t.Errorf("%s is accepted", pair)
			continue
		}
		faults := strings.Split(err.Error(), "\n")[1:]
		if len(faults) != 1 || !strings.HasPrefix(faults[0], want) {
			t.Errorf("%s: got %q, want one fault %q", pair, faults, want)
		}
	}
}

// TestDataDirOfTheGivenEnvironment: XDG_DATA_HOME is read from the environment that the program is given.
func TestDataDirOfTheGivenEnvironment(t *testing.T) {
	t.Setenv("XDG_DATA_HOME", "/of/the/process")
	if dir := dataHome([]string{"XDG_DATA_HOME=/given", "OTHER=x"}); dir != "/given" {
		t.Errorf("the data home is %q", dir)
	}
	if dir := dataHome(nil); dir != "" {
		t.Errorf("without the variable the data home is %q", dir)
	}
	if os.Geteuid() == 0 {
		return // root's folder is a fixed one
	}
	cfg, err := loadConfig([]string{"XDG_DATA_HOME=/given"})
	if err != nil {
		t.Fatal(err)
	}
	if cfg.DataDir != "/given/davit" {
		t.Errorf("the data folder is %s", cfg.DataDir)
	}
}
