// Package web has the files of the console page, which are served unchanged: there is no bundler. Registering works
// without scripts; with scripts the page updates itself. The page knows the gateway only through the API. Start at
// index.html, which has the forms, and app/main.js, which shows one view for each hash route.
package web

import "embed"

// Files are the page's files, with index.html at the top.
//
//go:embed index.html style.css icon.svg app
var Files embed.FS
