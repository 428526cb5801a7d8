// Command bench measures calls through Davit against floors that are measured in
// the same run, in turns: what the same work costs without Davit. It prints a
// table of ratios, and with -json appends one JSON object a line to a file.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"text/tabwriter"
	"time"
)

func main() {
	bin := flag.String("bin", "bin", "folder of the programs")
	jsonFile := flag.String("json", "", "append the figures to this file")
	seconds := flag.Duration("time", 4*time.Second, "for each figure and each floor")
	floor := flag.Bool("floor", false, "serve the floor on a free port, print that, and run until standard input ends")
	hop := flag.String("hop", "", "hand on to the floor at this `address`, in the same way")
	flag.Parse()
	if *floor {
		exitOn(serveFloor(os.Stdin, os.Stdout))
		return
	}
	if *hop != "" {
		exitOn(serveHop(*hop, os.Stdin, os.Stdout))
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	rows, err := measureAll(ctx, *bin, *seconds)
	stop()
	exitOn(err)
	show(rows)
	exitOn(appendJSON(*jsonFile, rows))
}

func exitOn(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// row is one figure beside its floor.
type row struct {
	Name   string  `json:"name"`
	Metric string  `json:"metric"`
	Value  float64 `json:"value"`
	Unit   string  `json:"unit"`
	Floor  float64 `json:"floor"`
	Ratio  float64 `json:"ratio"`
	Aim    string  `json:"aim"`
}

func show(rows []row) {
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight|tabwriter.Debug)
	_, _ = fmt.Fprintln(w, "what\tmetric\tDavit\tfloor\tunit\tratio\taim\t")
	for _, r := range rows {
		_, _ = fmt.Fprintf(w, "%s\t%s\t%.3f\t%.3f\t%s\t%.2f\t%s\t\n", r.Name, r.Metric, r.Value, r.Floor, r.Unit, r.Ratio, r.Aim)
	}
	_ = w.Flush()
}

func appendJSON(file string, rows []row) error {
	if file == "" {
		return nil
	}
	f, err := os.OpenFile(filepath.Clean(file), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	e := json.NewEncoder(f)
	for _, r := range rows {
		if err := e.Encode(r); err != nil {
			_ = f.Close()
			return err
		}
	}
	return f.Close()
}
