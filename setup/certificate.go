package setup

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"time"
)

// validFor is long, because certificates are renewed only by deleting the three secrets and running the Job again.
const validFor = 10 * 365 * 24 * time.Hour

// The names that Docker's own programs give these files.
const (
	fileCA   = "ca.pem"
	fileCert = "cert.pem"
	fileKey  = "key.pem"
)

// authority signs the certificates of the Docker daemon and its client. Only these two trust it.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(now time.Time) (*authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make an authority: %w", err)
	}
	template := certificate("davit-docker-ca", now)
	template.IsCA, template.BasicConstraintsValid, template.MaxPathLenZero = true, true, true
	template.KeyUsage = x509.KeyUsageCertSign
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("make an authority: %w", err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("make an authority: %w", err)
	}
	return &authority{cert: cert, key: key}, nil
}

func certificate(name string, now time.Time) *x509.Certificate {
	return &x509.Certificate{
		Subject:   pkix.Name{CommonName: name, Organization: []string{"davit"}},
		NotBefore: now.Add(-time.Hour), // because the clocks of nodes differ
		NotAfter:  now.Add(validFor),
	}
}

// files returns the certificate and key of the authority, which parseAuthority reads.
func (a *authority) files() (map[string][]byte, error) {
	key, err := x509.MarshalPKCS8PrivateKey(a.key)
	if err != nil {
		return nil, fmt.Errorf("write an authority's key: %w", err)
	}
	return map[string][]byte{fileCert: encode("CERTIFICATE", a.cert.Raw), fileKey: encode("PRIVATE KEY", key)}, nil
}

func parseAuthority(files map[string][]byte) (*authority, error) {
	pair, err := tls.X509KeyPair(files[fileCert], files[fileKey])
	if err != nil {
		return nil, err
	}
	key, is := pair.PrivateKey.(*ecdsa.PrivateKey)
	if !is || !pair.Leaf.IsCA {
		return nil, errors.New("it is not an authority that davit-setup made")
	}
	return &authority{cert: pair.Leaf, key: key}, nil
}

// issue returns the three files of a server with these host names, or of a client if there are none.
func (a *authority) issue(now time.Time, name string, hosts ...string) (map[string][]byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("issue a certificate for %s: %w", name, err)
	}
	template := certificate(name, now)
	template.KeyUsage, template.DNSNames = x509.KeyUsageDigitalSignature, hosts
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	if len(hosts) == 0 {
		template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, key.Public(), a.key)
	if err != nil {
		return nil, fmt.Errorf("issue a certificate for %s: %w", name, err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("issue a certificate for %s: %w", name, err)
	}
	return map[string][]byte{
		fileCA: encode("CERTIFICATE", a.cert.Raw), fileCert: encode("CERTIFICATE", der), fileKey: encode("PRIVATE KEY", private),
	}, nil
}

func encode(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}
