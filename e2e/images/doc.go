// Package images tests what `make images` builds, on a real Docker daemon: `make docker-test`.
package images
