// Package figure has the samples and figures of the benchmarks, and writes them as a table and as lines of JSON. It
// measures nothing itself. Start at [Row].
package figure

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"text/tabwriter"
	"time"
)

// Row is one figure and its floor, which was measured in the same run.
type Row struct {
	Name   string  `json:"name"`
	Metric string  `json:"metric"`
	Value  float64 `json:"value"`
	Unit   string  `json:"unit"`
	Floor  float64 `json:"floor"`
	Ratio  float64 `json:"ratio"` // value divided by floor; 0 without a floor
	Aim    string  `json:"aim"`   // of the ratio, or of the value without a floor; "": none
}

// Of returns the row of a value and its floor, 0 for none.
func Of(name, metric string, value float64, unit string, floor float64, aim string) Row {
	r := Row{Name: name, Metric: metric, Value: value, Unit: unit, Floor: floor, Aim: aim}
	if floor != 0 {
		r.Ratio = value / floor
	}
	return r
}

// Calls returns the rows of calls: the median, which has the aim, the 99th percentile, and the rate.
func Calls(name string, d, f *Sample, aim string) []Row {
	return []Row{
		Of(name, "p50", d.Quantile(.5), "ms", f.Quantile(.5), aim),
		Of(name, "p99", d.Quantile(.99), "ms", f.Quantile(.99), ""),
		Of(name, "rate", d.Rate(), "calls/s", f.Rate(), ""),
	}
}

// Sample is the times of one target.
type Sample struct {
	Times []time.Duration
	Wall  time.Duration // of all together
}

// Add adds the time of a call that ran alone.
func (s *Sample) Add(took time.Duration) {
	s.Times = append(s.Times, took)
	s.Wall += took
}

// Quantile returns the time, in ms, that the share q of all calls did not exceed.
func (s *Sample) Quantile(q float64) float64 {
	if len(s.Times) == 0 {
		return 0
	}
	slices.Sort(s.Times)
	i := min(int(q*float64(len(s.Times))), len(s.Times)-1)
	return float64(s.Times[i].Microseconds()) / 1000
}

// Rate returns the calls per second.
func (s *Sample) Rate() float64 {
	if s.Wall <= 0 {
		return 0
	}
	return float64(len(s.Times)) / s.Wall.Seconds()
}

// Show prints the rows as a table.
func Show(out io.Writer, rows []Row) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight|tabwriter.Debug)
	_, _ = fmt.Fprintln(w, "what\tmetric\tDavit\tfloor\tunit\tratio\taim\t")
	for _, r := range rows {
		_, _ = fmt.Fprintf(w, "%s\t%s\t%.3f\t%.3f\t%s\t%.2f\t%s\t\n", r.Name, r.Metric, r.Value, r.Floor, r.Unit, r.Ratio, r.Aim)
	}
	return w.Flush()
}

// Append appends the rows to a file, one JSON object a line. It does nothing if file is "".
func Append(file string, rows []Row) error {
	if file == "" {
		return nil
	}
	f, err := os.OpenFile(filepath.Clean(file), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	e := json.NewEncoder(f)
	e.SetEscapeHTML(false)
	for _, r := range rows {
		if err := e.Encode(r); err != nil {
			_ = f.Close()
			return err
		}
	}
	return f.Close()
}
