// Package images tests the images that `make images` builds, on a real Docker daemon: `make docker-test`.
package images
