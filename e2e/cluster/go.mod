module davit/e2e/cluster

go 1.26.6

require golang.org/x/sys v0.49.0
