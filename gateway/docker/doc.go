// Package docker builds the images that functions run in, with a Docker daemon, and pushes them to a registry, where
// nodes pull them by digest.
//
// The image of a source is a base image with the runner as its entry point and the source in its working directory,
// /function, changed by what setup does. A source with a Dockerfile of its own has that built first, and the rest is put
// on top. An image that exists gets the runner, and keeps its working directory, environment and user; its own entry
// point and command are returned, for they are the default of what a call runs.
//
// The daemon does the work and is not trusted with the rules: archives, base images and logins are checked here. It uses
// the daemon's own builder, so that a build is one request and ends with it. Nothing is removed from a daemon but what
// was brought there by builds, so that it may have other users.
//
// It does not decide when something is built, keeps no log and knows no Kubernetes.
//
// Start at [Builder.Build]; [Builder.Run] removes what is no longer needed.
package docker
