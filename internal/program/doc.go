// Package program has what the programs of Davit do to their own process.
package program
