// Package blobtest checks a blob.Store and its blob.Signer against every sentence of their contract. The test of an
// implementation calls [Run] and adds only what the contract does not say.
package blobtest

import (
	"testing"
)

// Run runs the suite. It opens a new store for each test.
func Run(t *testing.T, open Opener) {
	t.Helper()
	RunOn(t, Server{}, open)
}

// RunOn is Run on a server that is known to break the contract in the ways that server says.
func RunOn(t *testing.T, server Server, open Opener) {
	t.Helper()
	s := suite{open: open, server: server}
	tests := []struct {
		name string
		run  func(*testing.T)
	}{
		{"put and get back", s.putAndGet},
		{"replace", s.replace},
		{"bodies of another size or checksum", s.mismatches},
		{"a body that fails in the middle", s.failingBody},
		{"bad options", s.badOptions},
		{"forms", s.forms},
		{"only if absent", s.ifAbsent},
		{"only if absent, at once", s.ifAbsentAtOnce},
		{"one key, many writers", s.oneKeyManyWriters},
		{"the body is not read afterwards", s.bodyNotReadAfterwards},
		{"big objects, flat memory", s.bigObjects},
		{"ranges", s.ranges},
		{"objects that do not exist", s.notFound},
		{"replaced while it is read", s.replacedWhileRead},
		{"delete", s.deletes},
		{"odd keys", s.oddKeys},
		{"invalid keys", s.invalidKeys},
		{"list", s.list},
		{"list beyond a page", s.listBeyondPage},
		{"list while it changes", s.listWhileChanging},
		{"ended contexts", s.endedContexts},
		{"a context that ends in the middle", s.contextEndsInTheMiddle},
		{"ready", s.ready},
		{"signed downloads", s.signedDownloads},
		{"signed downloads by runners", s.signedRunnerDownloads},
		{"signed uploads", s.signedUploads},
		{"broken signed uploads", s.brokenSignedUploads},
		{"big signed transfers, flat memory", s.bigSignedTransfers},
		{"signed for one method", s.signedForOneMethod},
		{"signed URLs that were tampered with", s.signedTampered},
		{"signed URLs expire", s.signedExpire},
		{"signed URLs of odd keys", s.signedOddKeys},
		{"bounds of signing", s.signingBounds},
	}
	for _, test := range tests {
		t.Run(test.name, test.run)
	}
}
