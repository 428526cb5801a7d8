// Package web holds the console page: plain files, served as they are, with no
// bundler between. The page works without scripts for registering; with them it
// is live. Start at index.html.
package web

import "embed"

// Files are the page's files, with index.html at their top.
//
//go:embed *.html *.css *.js
var Files embed.FS
