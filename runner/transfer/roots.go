package transfer

import (
	"crypto/x509"
	"fmt"

	"golang.org/x/crypto/x509roots/fallback/bundle"
)

// roots are the authorities that stores are believed by: the system's, or, in an image that has none, those that this
// program brings along. Reading these takes milliseconds, which a runner that needs none should not spend.
func roots() (*x509.CertPool, error) {
	pool, err := x509.SystemCertPool()
	if err == nil && !pool.Equal(x509.NewCertPool()) {
		return pool, nil
	}
	return brought()
}

func brought() (*x509.CertPool, error) {
	pool := x509.NewCertPool()
	for root := range bundle.Roots() {
		c, err := x509.ParseCertificate(root.Certificate)
		if err != nil {
			return nil, fmt.Errorf("read the roots for TLS: %w", err)
		}
		if root.Constraint == nil {
			pool.AddCert(c)
		} else {
			pool.AddCertWithConstraint(c, root.Constraint)
		}
	}
	return pool, nil
}
