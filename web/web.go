// Package web holds the console page: plain files, served as they are, with no
// bundler between. The page works without scripts for registering; with them it
// is live. It knows the gateway only through the API. Start at index.html, which
// holds the forms, and app/main.js, which shows one view for each hash route.
package web

import "embed"

// Files are the page's files, with index.html at their top.
//
//go:embed index.html style.css icon.svg app
var Files embed.FS
