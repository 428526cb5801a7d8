// Package figure is what the benchmarks measure and how they show it: samples of times, rows of a figure beside its
// floor, the table that is printed and the lines of JSON that are kept. It measures nothing itself. Start at [Row].
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

// Row is one figure beside its floor, which was measured in the same run.
type Row struct {
	Name   string  `json:"name"`
	Metric string  `json:"metric"`
	Value  float64 `json:"value"`
	Unit   string  `json:"unit"`
	Floor  float64 `json:"floor"`
	Ratio  float64 `json:"ratio"` // of value to floor; 0 without a floor
	Aim    string  `json:"aim"`   // for the ratio, or what else it says; "": none
}

// Of makes a row of a value and its floor, 0 for none.
func Of(name, metric string, value float64, unit string, floor float64, aim string) Row {
	r := Row{Name: name, Metric: metric, Value: value, Unit: unit, Floor: floor, Aim: aim}
	if floor != 0 {
		r.Ratio = value / floor
	}
	return r
}

// Calls makes the rows of calls: the median, for whose ratio the aim is, the 99th percentile, and the rate.
func Calls(name string, d, f *Sample, aim string) []Row {
	return []Row{
		Of(name, "p50", d.Quantile(.5), "ms", f.Quantile(.5), aim),
		Of(name, "p99", d.Quantile(.99), "ms", f.Quantile(.99), ""),
		Of(name, "rate", d.Rate(), "calls/s", f.Rate(), ""),
	}
}

// Sample is what one target took.
type Sample struct {
	Times []time.Duration
	Wall  time.Duration // of all of them together
}

// Add adds one that ran by itself.
func (s *Sample) Add(took time.Duration) {
	s.Times = append(s.Times, took)
	s.Wall += took
}

// Quantile returns the time, in ms, that a part q of all did not exceed.
func (s *Sample) Quantile(q float64) float64 {
	if len(s.Times) == 0 {
		return 0
	}
	slices.Sort(s.Times)
	i := min(int(q*float64(len(s.Times))), len(s.Times)-1)
	return float64(s.Times[i].Microseconds()) / 1000
}

// Rate returns how many there were in a second.
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

// Append adds the rows to a file, one JSON object a line. "" is no file.
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
