// Command bench compares calls through Davit with floors: the same work without Davit, measured alternately in the same
// run. It prints a table of ratios. With -json it appends each row to a file, as one JSON object a line.
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
	functions := flag.Int("functions", 10_000, "how many functions to register to measure their cost; 0: none")
	serve := flag.String("floor", "", "serve the floor at this `address`, print the actual address, and run until standard input ends")
	hop := flag.String("hop", "", "forward to the floor at this `address` instead of serving it; at a free port unless -floor is set")
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
