package spec

import (
	"time"

	"davit/internal/faas"
)

// DecodeFunctionSpec reads a spec as users write it, strictly: the error is an *Error that names each faulty place by
// its JSON pointer, Invalid for what is malformed (unknown and doubled fields too), NotAllowed for a zero where only
// more is allowed. What the values may be is for Complete and then Check.
func DecodeFunctionSpec(b []byte) (faas.FunctionSpec, error) {
	var s faas.FunctionSpec
	err := decodeSpec(b, func(d *decoding) readers { return functionReaders(d, &s) })
	if err != nil {
		return faas.FunctionSpec{}, err
	}
	return s, nil
}

func functionReaders(d *decoding, s *faas.FunctionSpec) readers {
	return readers{
		"image":           text(d, &s.Image),
		"base_image":      text(d, &s.BaseImage),
		"setup":           text(d, &s.Setup),
		"command":         d.command(&s.Command),
		"start":           d.startProcess(&s.Start),
		"env":             d.textMap(&s.Env),
		"secrets":         d.texts(&s.Secrets),
		"mode":            text(d, &s.Mode),
		"standby":         d.standby(&s.Standby),
		"warm":            d.warm(&s.Warm),
		"resources":       d.resources(&s.Resources),
		"timeout":         nonZero(d, &s.Timeout, d.duration),
		"max_queue":       d.maxQueue(&s.MaxQueue),
		"max_concurrency": nonZero(d, &s.MaxConcurrency, d.whole),
		"run_as":          written(d, &s.RunAs),
		"writable_root":   d.flag(&s.WritableRoot),
		"egress":          text(d, &s.Egress),
		"registry_secret": text(d, &s.RegistrySecret),
	}
}

func (d *decoding) startProcess(into **faas.StartProcess) reader {
	return func(v jsonValue) {
		p := &faas.StartProcess{}
		d.object(v, readers{
			"command":   d.command(&p.Command),
			"arguments": d.command(&p.Arguments),
			"ready":     d.ready(&p.Ready),
		})
		*into = p
	}
}

func (d *decoding) ready(into **faas.Ready) reader {
	return func(v jsonValue) {
		r := &faas.Ready{}
		d.object(v, readers{
			"port": nonZero(d, &r.Port, d.whole),
			"file": text(d, &r.File),
		})
		*into = r
	}
}

func (d *decoding) standby(into **faas.Standby) reader {
	return func(v jsonValue) {
		s := &faas.Standby{}
		bounded := false
		if v.kind == jsonNumber {
			d.whole(&s.Min)(v)
		} else {
			d.object(v, readers{"min": d.whole(&s.Min), "max": func(v jsonValue) {
				bounded = true
				d.whole(&s.Max)(v)
			}})
		}
		if !bounded {
			s.Max = s.Min
		}
		*into = s
	}
}

func (d *decoding) warm(into **faas.Warm) reader {
	return func(v jsonValue) {
		w := &faas.Warm{}
		d.object(v, readers{
			"min":         d.whole(&w.Min),
			"max":         nonZero(d, &w.Max, d.whole),
			"concurrency": nonZero(d, &w.Concurrency, d.whole),
			"idle":        nonZero(d, &w.Idle, d.duration),
			"max_calls":   d.whole(&w.MaxCalls),
			"max_age":     d.duration(&w.MaxAge),
		})
		*into = w
	}
}

func (d *decoding) resources(into **faas.Resources) reader {
	return func(v jsonValue) {
		r := &faas.Resources{}
		d.object(v, readers{
			"cpu":    written(d, &r.CPU),
			"memory": nonZero(d, &r.Memory, d.size),
			"disk":   nonZero(d, &r.Disk, d.size),
			"gpu":    d.whole(&r.GPU),
		})
		*into = r
	}
}

func (d *decoding) maxQueue(into **faas.MaxQueue) reader {
	return func(v jsonValue) {
		q := &faas.MaxQueue{}
		d.object(v, readers{
			"calls": nonZero(d, &q.Calls, d.whole),
			"wait":  nonZero(d, &q.Wait, d.duration),
		})
		*into = q
	}
}

// CompleteFunction returns s with every default filled in; s stays as it is.
func CompleteFunction(s faas.FunctionSpec, d faas.Defaults) faas.FunctionSpec {
	if s.Image == "" {
		s.BaseImage = or(s.BaseImage, d.BaseImage)
	}
	s.Mode = or(s.Mode, faas.ModeJob)
	s.Standby = completed(s.Standby, func(*faas.Standby) {})
	s.Warm = completed(s.Warm, func(w *faas.Warm) {
		w.Max = or(w.Max, max(w.Min, 5))
		w.Concurrency = or(w.Concurrency, 1)
		w.Idle = or(w.Idle, faas.Duration(5*time.Minute))
	})
	s.Resources = completed(s.Resources, func(r *faas.Resources) {
		r.CPU = or(r.CPU, "500m")
		r.Memory = or(r.Memory, 256*faas.MiB)
		r.Disk = or(r.Disk, faas.GiB)
	})
	s.Timeout = or(s.Timeout, faas.Duration(5*time.Minute))
	s.MaxQueue = completed(s.MaxQueue, func(q *faas.MaxQueue) {
		q.Calls = or(q.Calls, 100)
		q.Wait = or(q.Wait, faas.Duration(10*time.Minute))
	})
	s.MaxConcurrency = or(s.MaxConcurrency, 20)
	s.RunAs = or(s.RunAs, faas.DefaultUID)
	s.Egress = or(s.Egress, faas.EgressNone)
	return s
}

// or returns v, or, where that is zero, the default.
func or[T comparable](v, otherwise T) T {
	var zero T
	if v == zero {
		return otherwise
	}
	return v
}

// completed returns a copy of *p, or of a zero value, with its defaults filled in.
func completed[T any](p *T, fill func(*T)) *T {
	var v T
	if p != nil {
		v = *p
	}
	fill(&v)
	return &v
}
