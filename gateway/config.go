package gateway

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/caarlos0/env/v11"

	"davit/internal/faas"
)

//go:generate go test . -run TestSettingsTable -update

// Config has all settings. Each setting is an environment variable; a secret can also be in a file, whose path is in
// the variable with _FILE added to its name. Without settings the gateway runs embedded: Redis in the process, the
// store in a folder, runners as processes on this machine.
type Config struct {
	DataDir string `env:"DAVIT_DATA_DIR"` // folder of the embedded Redis and store; default: the user's data directory, /var/lib/davit for root

	ConsoleAddr  string `env:"DAVIT_CONSOLE_ADDR" envDefault:"127.0.0.1:8080"`  // address of console and API
	CallsAddr    string `env:"DAVIT_CALLS_ADDR" envDefault:"127.0.0.1:8081"`    // address of triggers
	RunnerAddr   string `env:"DAVIT_RUNNER_ADDR" envDefault:"127.0.0.1:8082"`   // address for runners; never expose it
	DownloadAddr string `env:"DAVIT_DOWNLOAD_ADDR" envDefault:"127.0.0.1:8083"` // address of signed downloads; "off" if the store is public

	ConsoleHosts   []string `env:"DAVIT_CONSOLE_HOSTS"`    // more host names at which browsers may use the console, comma-separated
	RunnerPublic   string   `env:"DAVIT_RUNNER_PUBLIC"`    // host:port at which runners reach this gateway; default: the runner listener's
	DownloadPublic string   `env:"DAVIT_DOWNLOAD_PUBLIC"`  // http(s)://host[:port] in signed URLs; default: the download listener's
	Token          string   `env:"DAVIT_TOKEN" secret:"1"` // the admin token; default: made at the first start and stored in the data folder

	RedisURL string `env:"DAVIT_REDIS_URL" secret:"1"` // redis://[:password@]host:port[/db]; default: embedded

	S3Endpoint          string `env:"DAVIT_S3_ENDPOINT"`                       // host:port or URL of an S3 store; default: a folder
	S3Bucket            string `env:"DAVIT_S3_BUCKET" envDefault:"davit"`      // bucket in that store; the gateway makes it if it can
	S3Region            string `env:"DAVIT_S3_REGION" envDefault:"us-east-1"`  // region of that store
	S3AccessKey         string `env:"DAVIT_S3_ACCESS_KEY" secret:"1"`          // access key of the gateway
	S3SecretKey         string `env:"DAVIT_S3_SECRET_KEY" secret:"1"`          // and its secret
	S3DownloadAccessKey string `env:"DAVIT_S3_DOWNLOAD_ACCESS_KEY" secret:"1"` // access key that signs downloads and needs to read results only; default: the gateway's
	S3DownloadSecretKey string `env:"DAVIT_S3_DOWNLOAD_SECRET_KEY" secret:"1"` // and its secret
	S3RunnerEndpoint    string `env:"DAVIT_S3_RUNNER_ENDPOINT"`                // address at which runners reach the store; default: the endpoint

	Launcher       string        `env:"DAVIT_LAUNCHER" envDefault:"local"`                 // how runners are started: "local", as processes on this machine, or "kube", as pods
	Kubeconfig     string        `env:"DAVIT_KUBECONFIG"`                                  // kube: file with the access to the cluster; default: KUBECONFIG, else the cluster that the gateway runs in
	KubeNamespace  string        `env:"DAVIT_KUBE_NAMESPACE" envDefault:"davit-functions"` // kube: namespace of the pods, for Davit only
	KubePullPolicy string        `env:"DAVIT_KUBE_PULL_POLICY" envDefault:"IfNotPresent"`  // kube: when nodes pull functions' images: IfNotPresent, Always or Never
	KubePullSecret string        `env:"DAVIT_KUBE_PULL_SECRET"`                            // kube: Secret in that namespace with which nodes pull these images; default: none
	KubeJobTTL     time.Duration `env:"DAVIT_KUBE_JOB_TTL" envDefault:"5m"`                // kube: how long Jobs are kept after their end
	KubeRoom       time.Duration `env:"DAVIT_KUBE_ROOM" envDefault:"45s"`                  // kube: how long a pod waits for a node with room while no other pod ends

	DockerHost    string        `env:"DAVIT_DOCKER_HOST"`                    // kube: the Docker daemon that builds images, tcp://host:port or unix:///path
	DockerCerts   string        `env:"DAVIT_DOCKER_CERTS"`                   // folder with ca.pem, cert.pem and key.pem for TLS to that daemon; default: no TLS
	Registry      string        `env:"DAVIT_REGISTRY"`                       // host:port[/path] to which that daemon pushes images; the path, davit by default, must belong to this installation only
	RegistryPull  string        `env:"DAVIT_REGISTRY_PULL"`                  // address at which nodes reach that registry, such as localhost:30500; default: DAVIT_REGISTRY
	RegistryLogin string        `env:"DAVIT_REGISTRY_LOGIN" secret:"1"`      // user:password for pushing; default: none
	BaseImage     string        `env:"DAVIT_BASE_IMAGE"`                     // base image of functions that name none
	BaseImages    []string      `env:"DAVIT_BASE_IMAGES"`                    // allowed base images, comma-separated, with * for any text; default: all
	Builds        int           `env:"DAVIT_BUILDS" envDefault:"2"`          // builds of different functions at the same time on one gateway
	BuildTimeout  time.Duration `env:"DAVIT_BUILD_TIMEOUT" envDefault:"15m"` // how long a build may take
	BuildMemory   faas.Bytes    `env:"DAVIT_BUILD_MEMORY" envDefault:"2Gi"`  // bytes of memory for a step of a build
	BuildDisk     faas.Bytes    `env:"DAVIT_BUILD_DISK" envDefault:"10Gi"`   // bytes that a step of a build may write
	BuildLog      faas.Bytes    `env:"DAVIT_BUILD_LOG" envDefault:"16Mi"`    // bytes that a build may write to its log; the first 1Mi is stored

	RunnerBinary string `env:"DAVIT_RUNNER_BINARY"`              // path of davit-runner; default: in the gateway's folder, else in PATH
	Landlock     bool   `env:"DAVIT_LANDLOCK" envDefault:"true"` // confine local runners with Landlock if the kernel has it

	MaxArchive         faas.Bytes `env:"DAVIT_MAX_ARCHIVE" envDefault:"100Mi"`          // bytes of an uploaded archive
	MaxArchiveUnpacked faas.Bytes `env:"DAVIT_MAX_ARCHIVE_UNPACKED" envDefault:"1Gi"`   // bytes of its unpacked content
	MaxArchiveEntries  int        `env:"DAVIT_MAX_ARCHIVE_ENTRIES" envDefault:"100000"` // entries in an archive
	MaxLog             faas.Bytes `env:"DAVIT_MAX_LOG" envDefault:"10Mi"`               // bytes of one invocation's log
	MaxResult          faas.Bytes `env:"DAVIT_MAX_RESULT" envDefault:"16Gi"`            // bytes of one invocation's result

	MaxRunners  int           `env:"DAVIT_MAX_RUNNERS" envDefault:"0"`    // limit of runners (jobs, standby and warm) of all functions on all gateways together, the same on each gateway; functions that wait take turns; 0: no limit
	RunnerGrace time.Duration `env:"DAVIT_RUNNER_GRACE" envDefault:"20s"` // how long a runner may be out of touch before its calls count as lost; default with kube: 75s, because the cluster takes 50s to notice that a node is gone
	Lease       time.Duration `env:"DAVIT_LEASE" envDefault:"10s"`        // how long after a gateway's death another one takes over its accepted invocations
	Drain       time.Duration `env:"DAVIT_DRAIN" envDefault:"10s"`        // how long a stopping gateway waits for running calls
	BodyIdle    time.Duration `env:"DAVIT_BODY_IDLE" envDefault:"60s"`    // how long a caller may pause in its upload or download

	LogLevel string `env:"DAVIT_LOG_LEVEL" envDefault:"info"` // debug, info, warn or error
	LogJSON  bool   `env:"DAVIT_LOG_JSON"`                    // write the log as JSON

	path string // PATH, which local commands have too
}

// loadConfig reads the environment and reports all of its faults together.
func loadConfig(environ []string) (*Config, error) {
	vars, faults := settings(environ)
	var c Config
	misread, parseFaults := readFaults(env.ParseWithOptions(&c, env.Options{Environment: vars}))
	faults = append(faults, parseFaults...)
	faults = append(faults, c.checkAboveZero(misread)...)
	faults = append(faults, c.complete(environ)...)
	for _, pair := range environ {
		switch name, value, _ := strings.Cut(pair, "="); {
		case name == "PATH":
			c.path = value
		case name == "KUBECONFIG" && c.Kubeconfig == "":
			c.Kubeconfig = value
		}
	}
	if c.Launcher == launcherKube && vars["DAVIT_RUNNER_GRACE"] == "" {
		c.RunnerGrace = kubeGrace
	}
	if len(faults) > 0 {
		return nil, fmt.Errorf("the settings have faults:\n%w", errors.Join(faults...))
	}
	return &c, nil
}

// readFaults names the variable in each fault of env, and returns the fields that could not be read.
func readFaults(err error) (fields []string, faults []error) {
	if err == nil {
		return nil, nil
	}
	all := env.AggregateError{Errors: []error{err}}
	_ = errors.As(err, &all)
	for _, fault := range all.Errors {
		var parse env.ParseError
		if errors.As(fault, &parse) {
			fields = append(fields, parse.Name)
			if f, ok := reflect.TypeFor[Config]().FieldByName(parse.Name); ok {
				fault = fmt.Errorf("%s: %w", f.Tag.Get("env"), parse.Err)
			}
		}
		faults = append(faults, fault)
	}
	return fields, faults
}

// settings are the DAVIT_ variables; those of secrets may come from files.
func settings(environ []string) (map[string]string, []error) {
	known, secret := knownSettings()
	vars := make(map[string]string)
	var faults []error
	for _, pair := range environ {
		name, value, _ := strings.Cut(pair, "=")
		if !strings.HasPrefix(name, "DAVIT_") {
			continue
		}
		base, isFile := strings.CutSuffix(name, "_FILE")
		switch {
		case slices.Contains(known, name):
			vars[name] = value
		case isFile && slices.Contains(secret, base):
			b, err := os.ReadFile(value)
			if err != nil {
				faults = append(faults, fmt.Errorf("%s: %w", name, err))
			}
			vars[base] = strings.TrimSpace(string(b))
		default:
			faults = append(faults, fmt.Errorf("%s is no setting; see the README's table", name))
		}
	}
	return vars, faults
}

func knownSettings() (all, secret []string) {
	t := reflect.TypeFor[Config]()
	for i := range t.NumField() {
		f := t.Field(i)
		name := f.Tag.Get("env")
		if name == "" {
			continue
		}
		all = append(all, name)
		if f.Tag.Get("secret") != "" {
			secret = append(secret, name)
		}
	}
	return all, secret
}

// complete checks what the types do not, and fills in what depends on the machine.
func (c *Config) complete(environ []string) []error {
	faults := slices.Concat(c.checkAddresses(), c.checkLauncher(), c.checkBuilder())
	if c.S3Endpoint != "" && (c.S3AccessKey == "" || c.S3SecretKey == "") {
		faults = append(faults, errors.New("DAVIT_S3_ENDPOINT needs DAVIT_S3_ACCESS_KEY and DAVIT_S3_SECRET_KEY"))
	}
	if c.MaxRunners < 0 {
		faults = append(faults, fmt.Errorf("DAVIT_MAX_RUNNERS: %d must not be below 0", c.MaxRunners))
	}
	var level slog.Level
	if err := level.UnmarshalText([]byte(c.LogLevel)); err != nil {
		faults = append(faults, fmt.Errorf("DAVIT_LOG_LEVEL: %q is none of debug, info, warn, error", c.LogLevel))
	}
	if c.DataDir == "" {
		c.DataDir = defaultDataDir(environ)
	}
	if abs, err := filepath.Abs(c.DataDir); err == nil {
		c.DataDir = abs
	}
	return faults
}

// checkAboveZero checks every size and duration but those of the fields that could not be read.
func (c *Config) checkAboveZero(misread []string) (faults []error) {
	v := reflect.ValueOf(c).Elem()
	for i := range v.NumField() {
		f := v.Type().Field(i)
		switch f.Type {
		case reflect.TypeFor[faas.Bytes](), reflect.TypeFor[time.Duration]():
			if v.Field(i).Int() <= 0 && !slices.Contains(misread, f.Name) {
				faults = append(faults, fmt.Errorf("%s: %v must be above 0", f.Tag.Get("env"), v.Field(i).Interface()))
			}
		}
	}
	return faults
}

func (c *Config) checkAddresses() (faults []error) {
	for _, a := range [][2]string{
		{"DAVIT_CONSOLE_ADDR", c.ConsoleAddr},
		{"DAVIT_CALLS_ADDR", c.CallsAddr},
		{"DAVIT_RUNNER_ADDR", c.RunnerAddr},
		{"DAVIT_DOWNLOAD_ADDR", c.DownloadAddr},
	} {
		if a[0] == "DAVIT_DOWNLOAD_ADDR" && a[1] == "off" {
			continue
		}
		if _, _, err := net.SplitHostPort(a[1]); err != nil {
			faults = append(faults, fmt.Errorf("%s: %q is no host:port", a[0], a[1]))
		}
	}
	if c.DownloadPublic != "" {
		if u, err := url.Parse(c.DownloadPublic); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
			faults = append(faults, fmt.Errorf("DAVIT_DOWNLOAD_PUBLIC: %q is no http(s)://host[:port]", c.DownloadPublic))
		}
	}
	return faults
}

func defaultDataDir(environ []string) string {
	if os.Geteuid() == 0 {
		return "/var/lib/davit"
	}
	if dir := dataHome(environ); dir != "" {
		return filepath.Join(dir, "davit")
	}
	home, err := os.UserHomeDir()
	if err != nil {
		home = "."
	}
	return filepath.Join(home, ".local", "share", "davit")
}

// dataHome is the last XDG_DATA_HOME of an environment, as in exec.Cmd.
func dataHome(environ []string) (dir string) {
	for _, pair := range environ {
		if value, ok := strings.CutPrefix(pair, "XDG_DATA_HOME="); ok {
			dir = value
		}
	}
	return dir
}

// redacted lists the settings with secrets hidden, for the log.
func (c *Config) redacted() []any {
	v := reflect.ValueOf(c).Elem()
	t := v.Type()
	var attrs []any
	for i := range t.NumField() {
		name := t.Field(i).Tag.Get("env")
		if name == "" {
			continue
		}
		shown := v.Field(i).Interface()
		if t.Field(i).Tag.Get("secret") != "" && !v.Field(i).IsZero() {
			shown = "[redacted]"
		}
		if size, ok := shown.(faas.Bytes); ok {
			shown = size.String() // in a JSON log too
		}
		attrs = append(attrs, strings.ToLower(strings.TrimPrefix(name, "DAVIT_")), shown)
	}
	return attrs
}

// The choices of DAVIT_LAUNCHER.
const (
	launcherLocal = "local"
	launcherKube  = "kube"
)

// kubeGrace is longer than a cluster takes to tell that a node is gone.
const kubeGrace = 75 * time.Second

// checkLauncher checks what the choice of a launcher needs.
func (c *Config) checkLauncher() (faults []error) {
	switch c.Launcher {
	case launcherLocal:
		return nil
	case launcherKube:
	default:
		return []error{fmt.Errorf("DAVIT_LAUNCHER: %q is neither local nor kube", c.Launcher)}
	}
	if _, _, err := net.SplitHostPort(c.RunnerPublic); err != nil {
		faults = append(faults, errors.New("DAVIT_LAUNCHER=kube needs DAVIT_RUNNER_PUBLIC: host:port of the headless Service at which pods reach all gateways"))
	}
	switch c.KubePullPolicy {
	case "IfNotPresent", "Always", "Never":
	default:
		faults = append(faults, fmt.Errorf("DAVIT_KUBE_PULL_POLICY: %q is none of IfNotPresent, Always, Never", c.KubePullPolicy))
	}
	if why := faas.TriggerName(c.KubeNamespace).Check(); why != "" {
		faults = append(faults, fmt.Errorf("DAVIT_KUBE_NAMESPACE: %s", why))
	}
	return faults
}

// capabilities are what functions can ask for here.
func (c *Config) capabilities() faas.Capabilities {
	if c.Launcher == launcherKube {
		return faas.Capabilities{Images: true, Builds: true, Secrets: true, Root: true, WritableRoot: true, Egress: true, GPU: true}
	}
	return faas.Capabilities{Secrets: true, Why: "it needs a cluster, and this installation runs functions as local processes"}
}

// checkBuilder checks what the building of images needs.
func (c *Config) checkBuilder() (faults []error) {
	switch {
	case c.DockerHost == "" && c.Launcher == launcherKube:
		return []error{errors.New("DAVIT_LAUNCHER=kube needs DAVIT_DOCKER_HOST and DAVIT_REGISTRY: pods run images, which a Docker daemon builds")}
	case c.DockerHost == "":
		return nil
	case c.Launcher != launcherKube:
		faults = append(faults, errors.New("DAVIT_DOCKER_HOST needs DAVIT_LAUNCHER=kube: processes of this machine do not run images"))
	}
	if c.Registry == "" {
		faults = append(faults, errors.New("DAVIT_DOCKER_HOST needs DAVIT_REGISTRY: host:port to push images to"))
	}
	if c.Builds < 1 {
		faults = append(faults, fmt.Errorf("DAVIT_BUILDS: %d must be above 0", c.Builds))
	}
	return faults
}

// defaults are what functions get that do not say otherwise.
func (c *Config) defaults() faas.Defaults {
	if c.DockerHost == "" {
		return faas.Defaults{}
	}
	return faas.Defaults{BaseImage: c.BaseImage}
}
