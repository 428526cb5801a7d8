package testenv

import (
	"context"
	"fmt"
	"net/http"
)

// S3Server is a running store on one folder, spoken to over plain HTTP, with no bucket
// yet. Its methods are for the goroutine of the test that started it.
type S3Server struct {
	*process

	// Endpoint is its host:port; it stays the same over restarts.
	Endpoint string
	// AccessKey and SecretKey are its root user's.
	AccessKey, SecretKey string
	// Region is the one that requests are signed for.
	Region string
}

func newS3Server() *S3Server {
	return &S3Server{AccessKey: "davit-test", SecretKey: "davit-test-secret", Region: "us-east-1"}
}

// healthy is nil when a health check answers that all is well.
func healthy(ctx context.Context, url string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return err
	}
	request.Close = true
	client := http.Client{Transport: &http.Transport{}}
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	if err := response.Body.Close(); err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("the health check answered %s", response.Status)
	}
	return nil
}
