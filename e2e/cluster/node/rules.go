package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"regexp"
	"strings"
)

// PolicyTable is the name of the packet filter's table with the network policies.
const PolicyTable = "davit-policy"

// removeRules removes the packet filter's rules and chains of Kubernetes, the network plugins and the enforcer of
// policies, and no others.
func removeRules(ctx context.Context) error {
	// Without nft, no program can have made a rule.
	if _, err := exec.LookPath("nft"); err != nil {
		return nil //nolint:nilerr // see above
	}
	var failed []error
	for _, program := range []string{"iptables", "ip6tables"} {
		failed = append(failed, removeChains(ctx, program))
	}
	_ = exec.CommandContext(ctx, "nft", "delete", "table", "ip", PolicyTable).Run() // it may not exist
	for _, family := range []string{"ip", "ip6"} {
		for _, table := range []string{"raw", "mangle", "nat", "filter"} {
			failed = append(failed, removeEmptyTable(ctx, family, table))
		}
	}
	return errors.Join(failed...)
}

func removeChains(ctx context.Context, program string) error {
	saved, err := exec.CommandContext(ctx, program+"-save").Output()
	if err != nil {
		return fmt.Errorf("%s-save: %w", program, err)
	}
	orders := removal(string(saved))
	if orders == "" {
		return nil
	}
	cmd := exec.CommandContext(ctx, program+"-restore", "--noflush")
	cmd.Stdin = strings.NewReader(orders)
	return run(cmd)
}

// removal returns the commands that remove the cluster's chains from the saved tables, and the rules that jump to them.
func removal(saved string) string {
	var (
		ours    = regexp.MustCompile(`^:((?:KUBE|CNI|DAVIT)-\S*) `)
		jump    = regexp.MustCompile(`^-A (\S+) .*-[jg] (?:KUBE|CNI|DAVIT)-`)
		own     = regexp.MustCompile(`^-A (?:KUBE|CNI|DAVIT)-`)
		out     strings.Builder
		table   string
		chains  []string
		deletes []string
	)
	for line := range strings.Lines(saved) {
		line = strings.TrimRight(line, "\n")
		switch {
		case strings.HasPrefix(line, "*"):
			table, chains, deletes = line, nil, nil
		case ours.MatchString(line):
			chains = append(chains, ours.FindStringSubmatch(line)[1])
		case jump.MatchString(line) && !own.MatchString(line):
			deletes = append(deletes, "-D"+strings.TrimPrefix(line, "-A"))
		case line == "COMMIT" && len(chains)+len(deletes) > 0:
			lines := append([]string{table}, deletes...)
			// All chains are emptied before the first is removed, because they may jump to one another.
			for _, order := range []string{"-F ", "-X "} {
				for _, chain := range chains {
					lines = append(lines, order+chain)
				}
			}
			out.WriteString(strings.Join(append(lines, "COMMIT\n"), "\n"))
		}
	}
	return out.String()
}

// removeEmptyTable removes a table of iptables if it has no rule and all its policies are accept.
func removeEmptyTable(ctx context.Context, family, table string) error {
	text, err := exec.CommandContext(ctx, "nft", "--json", "list", "table", family, table).Output()
	if err != nil {
		return nil //nolint:nilerr // there is none
	}
	var listing struct {
		Objects []struct {
			Chain *struct {
				Hook   string `json:"hook"`
				Policy string `json:"policy"`
			} `json:"chain"`
			Metainfo, Table any
		} `json:"nftables"`
	}
	if err := json.Unmarshal(text, &listing); err != nil {
		return fmt.Errorf("read the table %s %s: %w", family, table, err)
	}
	for _, object := range listing.Objects {
		if object.Metainfo != nil || object.Table != nil {
			continue
		}
		if object.Chain == nil || object.Chain.Hook == "" || object.Chain.Policy != "accept" {
			return nil
		}
	}
	return run(exec.CommandContext(ctx, "nft", "delete", "table", family, table))
}
