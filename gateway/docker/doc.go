// Package docker builds the images that functions run in, with a Docker daemon, and pushes them to a registry, where
// nodes pull them by digest.
//
// The image of a source is a base image with the runner as its entry point and the source in its working directory,
// /function, changed by what setup does. A source with a Dockerfile of its own has that built first, and the rest is
// put on top. An existing image gets the runner and keeps its working directory, environment and user; its own entry
// point and command are returned, because they are what a call runs by default.
//
// The daemon does the work, but this package checks archives, base images and logins itself. It uses the daemon's
// classic builder, so that a build is one request and ends with it. It removes only what builds brought to the daemon,
// which may have other users.
//
// It does not decide when to build, stores no log and does not know Kubernetes.
//
// Start at [Builder.Build]; [Builder.Run] removes what is no longer needed.
package docker
