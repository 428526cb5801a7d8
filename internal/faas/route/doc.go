// Package route finds the trigger that a request is for.
//
// A Table is immutable: With returns a changed copy that shares what did not change, so that a gateway can swap tables
// while requests are matched. Literal segments come before named ones, named ones before a wildcard. Endpoints says
// which triggers of one installation would clash.
package route
