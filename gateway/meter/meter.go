// Package meter has Davit's Prometheus metrics. Every series whose labels are known in advance exists from the start,
// at zero. The number of series is bounded: no label is an id, and beyond a limit the names of functions and triggers
// count as "other".
package meter

import (
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"davit/internal/faas"
)

// maxNames is how many functions, and how many triggers, have their own series.
const maxNames = 1000

// Meter has the metrics. Its methods may be called concurrently and do not block.
type Meter struct {
	registry    *prometheus.Registry
	accepted    *prometheus.CounterVec
	invocations *prometheus.CounterVec
	phases      *prometheus.HistogramVec
	inFlight    prometheus.Gauge
	queue       prometheus.Gauge
	builds      *prometheus.CounterVec
	buildTime   prometheus.Histogram
	inputBytes  prometheus.Histogram
	resultBytes prometheus.Histogram
	storeErrors *prometheus.CounterVec
	requests    *prometheus.CounterVec
	coldStarts  *prometheus.CounterVec
	refills     *prometheus.HistogramVec

	mu        sync.Mutex
	functions map[string]bool
	triggers  map[string]bool
}

// Slots are the slots of all connected runners by state.
type Slots struct{ Free, Busy, Starting int }

// New returns a meter whose build_info has those versions. Observe must be called once, before the first scrape.
func New(version, goVersion string) *Meter {
	m := &Meter{registry: prometheus.NewRegistry(), functions: make(map[string]bool), triggers: make(map[string]bool)}
	m.define()
	build := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "davit_build_info", Help: "1, labelled with the versions of Davit and Go."}, []string{"version", "go_version"})
	build.WithLabelValues(version, goVersion).Set(1)
	m.registry.MustRegister(
		m.accepted, m.invocations, m.phases, m.inFlight, m.queue, m.builds, m.buildTime, m.inputBytes, m.resultBytes,
		m.storeErrors, m.requests, m.coldStarts, m.refills, build,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	m.zero()
	return m
}

// Observe adds the gauges of slots, of the lead, and of connections by store. It calls the functions at each scrape.
func (m *Meter) Observe(slots func() Slots, leads func() bool, connections map[string]func() int) {
	m.registry.MustRegister(newSlotCollector(slots), newLeader(leads))
	for store, open := range connections {
		m.registry.MustRegister(newConnections(store, open))
	}
}

func (m *Meter) define() {
	seconds := []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300, 1800, 7200}
	bytes := prometheus.ExponentialBuckets(256, 8, 10)
	m.accepted = counter("davit_invocations_accepted_total", "Invocations taken on, by function.", "function")
	m.invocations = counter("davit_invocations_total", "Invocations that became final; outcome is succeeded or the reason.", "function", "trigger", "start", "outcome")
	m.phases = prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "davit_invocation_phase_seconds", Help: "Seconds that invocations spent in each phase.", Buckets: seconds}, []string{"phase"})
	m.inFlight = gauge("davit_invocations_in_flight", "Invocations taken on by this gateway and not final.")
	m.queue = gauge("davit_queue_depth", "Calls of this gateway that wait for a slot.")
	m.builds = counter("davit_builds_total", "Builds of revisions.", "outcome")
	m.buildTime = prometheus.NewHistogram(prometheus.HistogramOpts{Name: "davit_build_seconds", Help: "Seconds that builds took.", Buckets: seconds})
	m.inputBytes = prometheus.NewHistogram(prometheus.HistogramOpts{Name: "davit_input_bytes", Help: "Bytes of inputs.", Buckets: bytes})
	m.resultBytes = prometheus.NewHistogram(prometheus.HistogramOpts{Name: "davit_result_bytes", Help: "Bytes of results.", Buckets: bytes})
	m.storeErrors = counter("davit_store_errors_total", "Failed requests to a store.", "store")
	m.coldStarts = counter("davit_cold_starts_total", "Calls that found no slot ready and waited for one, by how its runner was started.", "start")
	m.refills = prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "davit_refill_seconds", Help: "Seconds from the start of a standby or warm runner until it was ready.", Buckets: seconds}, []string{"start"})
	m.requests = counter("davit_http_requests_total", "HTTP requests.", "listener", "route", "method", "code")
}

func counter(name, help string, labels ...string) *prometheus.CounterVec {
	return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
}

func gauge(name, help string) prometheus.Gauge {
	return prometheus.NewGauge(prometheus.GaugeOpts{Name: name, Help: help})
}

// newLeader returns the gauge davit_leader.
func newLeader(leads func() bool) prometheus.Collector {
	return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "davit_leader", Help: "1 on the gateway that decides on standby and warm runners, 0 on the others."}, func() float64 {
		if leads() {
			return 1
		}
		return 0
	})
}

// newConnections returns the gauge davit_store_connections of a store.
func newConnections(store string, open func() int) prometheus.Collector {
	return prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "davit_store_connections", Help: "Open connections to a store, idle ones among them.",
		ConstLabels: prometheus.Labels{"store": store},
	}, func() float64 { return float64(open()) })
}

// zero creates the series that are known in advance.
func (m *Meter) zero() {
	for _, start := range []faas.Start{faas.StartJob, faas.StartStandby, faas.StartWarm} {
		m.invocations.WithLabelValues("", "", string(start), string(faas.Succeeded))
	}
	for _, start := range []faas.Start{faas.StartJob, faas.StartStandby, faas.StartWarm} {
		m.coldStarts.WithLabelValues(string(start))
	}
	for _, start := range []faas.Start{faas.StartStandby, faas.StartWarm} {
		m.refills.WithLabelValues(string(start))
	}
	for _, phase := range []string{"queue", "start", "input", "run", "zip", "store"} {
		m.phases.WithLabelValues(phase)
	}
	for _, outcome := range []string{"ready", "failed"} {
		m.builds.WithLabelValues(outcome)
	}
	for _, store := range []string{"redis", "objects"} {
		m.storeErrors.WithLabelValues(store)
	}
	for _, listener := range []string{"console", "calls"} {
		m.requests.WithLabelValues(listener, "", "GET", "200")
	}
}

// Handler serves the metrics in the Prometheus text format.
func (m *Meter) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{})
}

// Accepted counts an invocation that this gateway has begun.
func (m *Meter) Accepted(inv *faas.Invocation) {
	m.accepted.WithLabelValues(m.name(m.functions, string(inv.Function))).Inc()
	m.inFlight.Inc()
}

// Settled counts an invocation that became final.
func (m *Meter) Settled(inv *faas.Invocation) {
	outcome := string(inv.State)
	if inv.Reason != nil {
		outcome = string(*inv.Reason)
	}
	m.invocations.WithLabelValues(m.name(m.functions, string(inv.Function)), m.name(m.triggers, string(inv.Trigger)), string(inv.Start), outcome).Inc()
	m.inFlight.Dec()
	for phase, d := range map[string]faas.Duration{
		"queue": inv.Phases.Queue, "start": inv.Phases.Start, "input": inv.Phases.Input,
		"run": inv.Phases.Run, "zip": inv.Phases.Zip, "store": inv.Phases.Store,
	} {
		m.phases.WithLabelValues(phase).Observe(time.Duration(d).Seconds())
	}
	if inv.Input != nil {
		m.inputBytes.Observe(float64(inv.Input.Size))
	}
	if inv.Result != nil {
		m.resultBytes.Observe(float64(inv.Result.Size))
	}
}

// Released ends the count of an invocation that another gateway has made final, or leads now.
func (m *Meter) Released() { m.inFlight.Dec() }

// Adopted counts an invocation that this gateway leads from now on.
func (m *Meter) Adopted() { m.inFlight.Inc() }

// Queued adds delta to the number of calls that wait for a slot.
func (m *Meter) Queued(delta int) { m.queue.Add(float64(delta)) }

// ColdStart counts a call that found no free slot and waited for one of a runner that was started as start says.
func (m *Meter) ColdStart(start faas.Start) { m.coldStarts.WithLabelValues(string(start)).Inc() }

// Refilled records how long after its start a standby or warm runner was ready.
func (m *Meter) Refilled(start faas.Start, after time.Duration) {
	m.refills.WithLabelValues(string(start)).Observe(after.Seconds())
}

// StoreError counts a failed request to "redis" or "objects".
func (m *Meter) StoreError(store string) { m.storeErrors.WithLabelValues(store).Inc() }

// Built counts a build; outcome is "ready" or "failed".
func (m *Meter) Built(outcome string, took time.Duration) {
	m.builds.WithLabelValues(outcome).Inc()
	m.buildTime.Observe(took.Seconds())
}

// Request counts an HTTP request; route is a template, never a raw path.
func (m *Meter) Request(listener, route, method string, code int) {
	m.requests.WithLabelValues(listener, route, method, strconv.Itoa(code)).Inc()
}

// name returns the label of a name: the name itself, or "other" beyond maxNames.
func (m *Meter) name(seen map[string]bool, name string) string {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !seen[name] {
		if len(seen) >= maxNames {
			return "other"
		}
		seen[name] = true
	}
	return name
}

// slotCollector reads the slots at each scrape.
type slotCollector struct {
	desc  *prometheus.Desc
	slots func() Slots
}

func newSlotCollector(slots func() Slots) *slotCollector {
	return &slotCollector{
		desc:  prometheus.NewDesc("davit_slots", "Slots of connected runners by state.", []string{"state"}, nil),
		slots: slots,
	}
}

// Describe implements prometheus.Collector.
func (c *slotCollector) Describe(ch chan<- *prometheus.Desc) { ch <- c.desc }

// Collect implements prometheus.Collector.
func (c *slotCollector) Collect(ch chan<- prometheus.Metric) {
	s := c.slots()
	ch <- prometheus.MustNewConstMetric(c.desc, prometheus.GaugeValue, float64(s.Free), "free")
	ch <- prometheus.MustNewConstMetric(c.desc, prometheus.GaugeValue, float64(s.Busy), "busy")
	ch <- prometheus.MustNewConstMetric(c.desc, prometheus.GaugeValue, float64(s.Starting), "starting")
}
