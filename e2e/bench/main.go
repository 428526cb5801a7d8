// Command bench measures calls through Davit against floors that are measured in
// the same run, in turns: what the same work costs without Davit. It prints a
// table of ratios, and with -json appends one JSON object a line to a file.
package main

import (
	"cmp"
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"davit/e2e/bench/figure"
	"davit/e2e/bench/floor"
)

func main() {
	bin := flag.String("bin", "bin", "folder of the programs")
	jsonFile := flag.String("json", "", "append the figures to this file")
	seconds := flag.Duration("time", 4*time.Second, "for each figure and each floor")
	functions := flag.Int("functions", 10_000, "functions that are registered to see what that costs; 0: it is not measured")
	serve := flag.String("floor", "", "serve the floor at this `address`, print the one that it got, and run until standard input ends")
	hop := flag.String("hop", "", "hand on to the floor at this `address` instead of being it; at a free port, if -floor does not say where")
	flag.Parse()
	if *hop != "" {
		exitOn(floor.Hop(*hop, cmp.Or(*serve, "127.0.0.1:0"), os.Stdin, os.Stdout))
		return
	}
	if *serve != "" {
		exitOn(floor.Serve(*serve, os.Stdin, os.Stdout))
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	rows, err := measureAll(ctx, *bin, *seconds, *functions)
	stop()
	exitOn(err)
	exitOn(figure.Show(os.Stdout, rows))
	exitOn(figure.Append(*jsonFile, rows))
}

func exitOn(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}
