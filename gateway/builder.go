package main

import (
	"context"
	"errors"
	"fmt"

	"davit/gateway/docker"
	"davit/internal/faas"
)

// checkBuilder checks what the building of images needs.
func (c *Config) checkBuilder() (faults []error) {
	switch {
	case c.DockerHost == "" && c.Launcher == launcherKube:
		return []error{errors.New("DAVIT_LAUNCHER=kube needs DAVIT_DOCKER_HOST and DAVIT_REGISTRY: pods run images, which a Docker daemon builds")}
	case c.DockerHost == "":
		return nil
	case c.Launcher != launcherKube:
		faults = append(faults, errors.New("DAVIT_DOCKER_HOST needs DAVIT_LAUNCHER=kube: processes of this machine do not run images"))
	}
	if c.Registry == "" {
		faults = append(faults, errors.New("DAVIT_DOCKER_HOST needs DAVIT_REGISTRY: host:port to push images to"))
	}
	if c.Builds < 1 {
		faults = append(faults, fmt.Errorf("DAVIT_BUILDS: %d must be above 0", c.Builds))
	}
	return faults
}

// defaults are what functions get that do not say otherwise.
func (c *Config) defaults() faas.Defaults {
	if c.DockerHost == "" {
		return faas.Defaults{}
	}
	return faas.Defaults{BaseImage: c.BaseImage}
}

// newBuilder makes what builds images, and has it tidy up while the gateway runs.
func (g *gateway) newBuilder() error {
	binary, err := findRunner(g.cfg)
	if err != nil {
		return err
	}
	c := g.cfg
	b, err := docker.New(docker.Options{
		Host: c.DockerHost, Certs: c.DockerCerts, Registry: c.Registry, RegistryPull: c.RegistryPull, RegistryLogin: c.RegistryLogin,
		BaseImage: c.BaseImage, BaseImages: c.BaseImages, Runner: binary, Dir: g.runDir, Limits: archiveLimits(c),
		Memory: c.sizes.buildMemory, Disk: c.sizes.buildDisk, Output: c.sizes.buildLog, Longest: c.BuildTimeout,
		Secret: g.secrets.Value, Known: g.hasRevision, Log: g.log,
	})
	if err != nil {
		return err
	}
	g.builder = b
	g.life.onStop("Docker connections", func() { _ = b.Close() })
	g.life.start("image builder", b.Run)
	return nil
}

func (g *gateway) hasRevision(ctx context.Context, ref faas.RevisionRef) (bool, error) {
	_, err := g.records.FindRevision(ctx, ref)
	if faas.KindOf(err) == faas.NotFound {
		return false, nil
	}
	return err == nil, err
}
