package spec

import (
	"regexp"
	"strconv"

	"davit/internal/faas"
)

// imageRef is the reference grammar of github.com/distribution/reference, for names in lower case.
var imageRef = regexp.MustCompile(`^(?:(?:[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?(?:\.[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?)*|\[[a-fA-F0-9:]+\])(?::[0-9]+)?/)?` +
	`[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*` +
	`(?::[A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?(?:@sha256:[0-9a-f]{64})?$`)

const maxImageRef = 512

// CheckFunction returns what is wrong with s on an installation that can do c: fields whose value is not allowed, and
// fields that need what is not there; nil is good. Zero values count as their defaults.
func CheckFunction(s faas.FunctionSpec, c faas.Capabilities) []faas.FieldError {
	s = CompleteFunction(s, faas.Defaults{})
	k := &checker{}
	checkRun(k, s)
	checkScale(k, s)
	checkResources(k, s)
	checkImage(k, s)
	checkCapabilities(k, s, c)
	return k.faults
}

func checkRun(k *checker, s faas.FunctionSpec) {
	k.command("/command", s.Command)
	if s.Start != nil {
		checkStart(k, s.Start)
	}
	k.env("/env", s.Env)
	k.above0("/timeout", s.Timeout, maxTimeout)
	switch uid, err := strconv.ParseUint(string(s.RunAs), 10, 32); {
	case s.RunAs == faas.RunAsRoot, s.RunAs == faas.RunAsImage:
	case err != nil:
		k.add("/run_as", "must be a uid, \"root\" or \"image\", not %q", faas.Clip(string(s.RunAs)))
	case uid == 0:
		k.add("/run_as", "must be \"root\" instead of 0")
	case uid == 1<<32-1:
		k.add("/run_as", "must be less than %d, which is no uid", uid)
	}
	oneOf(k, "/egress", s.Egress, faas.EgressNone, faas.EgressInternet)
}

func checkStart(k *checker, p *faas.StartProcess) {
	if len(p.Command) == 0 {
		k.add("/start/command", "is missing; name the program to run beside the calls")
	}
	k.command("/start/command", p.Command)
	k.arguments("/start/arguments", p.Arguments)
	r := p.Ready
	switch {
	case r == nil:
	case r.Port != 0 && r.File != "":
		k.add("/start/ready", "has a port and a file; name one")
	case r.Port == 0 && r.File == "":
		k.add("/start/ready", "has neither a port nor a file; name one, or leave out ready")
	case r.File != "":
		k.name("/start/ready/file", checkInnerPath(r.File))
	default:
		between(k, "/start/ready/port", r.Port, 1, 65535)
	}
}

func checkScale(k *checker, s faas.FunctionSpec) {
	switch s.Mode {
	case faas.ModeStandby:
		k.add("/mode", "must be \"job\" or \"warm\"; for runners that are started ahead and used once, set standby with mode \"job\"")
	default:
		oneOf(k, "/mode", s.Mode, faas.ModeJob, faas.ModeWarm)
	}
	between(k, "/standby/min", s.Standby.Min, 0, maxRunners)
	between(k, "/standby/max", s.Standby.Max, 0, maxRunners)
	if s.Standby.Min > s.Standby.Max {
		k.add("/standby", "has a min of %d above its max of %d", s.Standby.Min, s.Standby.Max)
	}
	w := s.Warm
	between(k, "/warm/min", w.Min, 0, maxRunners)
	between(k, "/warm/max", w.Max, 1, maxRunners)
	if w.Min > w.Max {
		k.add("/warm", "has a min of %d above its max of %d", w.Min, w.Max)
	}
	between(k, "/warm/concurrency", w.Concurrency, 1, maxWarmSlots)
	k.above0("/warm/idle", w.Idle, maxAge)
	between(k, "/warm/max_calls", w.MaxCalls, 0, maxWarmCalls)
	between(k, "/warm/max_age", w.MaxAge, 0, maxAge)
	between(k, "/max_queue/calls", s.MaxQueue.Calls, 1, maxQueuedCalls)
	k.above0("/max_queue/wait", s.MaxQueue.Wait, maxTimeout)
	between(k, "/max_concurrency", s.MaxConcurrency, 1, maxConcurrency)
}

func checkResources(k *checker, s faas.FunctionSpec) {
	r := s.Resources
	switch milli, err := ParseCPU(r.CPU); {
	case err != nil:
		k.add("/resources/cpu", "%v", err)
	case milli < 1 || milli > maxMilliCPU:
		k.add("/resources/cpu", "must be between \"1m\" and \"%d\", not %q", maxMilliCPU/1000, faas.Clip(r.CPU))
	}
	between(k, "/resources/memory", r.Memory, minMemory, maxMemory)
	between(k, "/resources/disk", r.Disk, minDisk, maxDisk)
	between(k, "/resources/gpu", r.GPU, 0, maxGPU)
}

func checkImage(k *checker, s faas.FunctionSpec) {
	imageName := func(pointer, ref string) {
		if ref != "" && (len(ref) > maxImageRef || !imageRef.MatchString(ref)) {
			k.add(pointer, "%q is no name of an image; write one such as \"python:3.13-slim\" or \"registry.example.com/team/app@sha256:…\", without a login", faas.Clip(ref))
		}
	}
	imageName("/image", s.Image)
	imageName("/base_image", s.BaseImage)
	k.text("/setup", s.Setup)
	if s.Image != "" && s.BaseImage != "" {
		k.add("/base_image", "goes with a source; leave it out beside image")
	}
	if s.Image != "" && s.Setup != "" {
		k.add("/setup", "goes with a source; leave it out beside image")
	}
	if len(s.Secrets) > maxListed {
		k.add("/secrets", "has %d entries; at most %d are allowed", len(s.Secrets), maxListed)
		return
	}
	for i, name := range s.Secrets {
		at := "/secrets/" + strconv.Itoa(i)
		k.name(at, faas.CheckEnvName(name))
		if _, both := s.Env[name]; both {
			k.add(at, "%q is in env, too; name it once", faas.Clip(name))
		}
	}
	if s.RegistrySecret != "" {
		k.name("/registry_secret", faas.TriggerName(s.RegistrySecret).Check())
	}
}

func checkCapabilities(k *checker, s faas.FunctionSpec, c faas.Capabilities) {
	why := ""
	if c.Why != "" {
		why = ": " + c.Why
	}
	need := func(can, asked bool, pointer, what string) {
		if asked && !can {
			k.add(pointer, "%s is not available here%s", what, why)
		}
	}
	need(c.Images, s.Image != "", "/image", "running an image")
	need(c.Images && c.Secrets, s.RegistrySecret != "", "/registry_secret", "a login for an image's registry")
	need(c.Builds, s.BaseImage != "", "/base_image", "building on an image")
	need(c.Builds, s.Setup != "", "/setup", "running a setup command while building")
	need(c.Secrets, len(s.Secrets) > 0, "/secrets", "giving secrets to functions")
	need(c.Root, s.RunAs != faas.DefaultUID, "/run_as", "running as a uid other than "+string(faas.DefaultUID))
	need(c.WritableRoot, s.WritableRoot, "/writable_root", "a writable root")
	need(c.Egress, s.Egress == faas.EgressInternet, "/egress", "access to the internet")
	need(c.GPU, s.Resources.GPU > 0, "/resources/gpu", "a GPU")
}
