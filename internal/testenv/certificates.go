package testenv

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// writeCertificates makes a folder with the certificate of an authority (ca.pem) and, signed by it, certificates and
// keys of a server on loopback (server-cert.pem, server-key.pem) and of a client (cert.pem, key.pem).
func writeCertificates(dir string) error {
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	authority := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "davit-test"}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
	}
	signer, err := writeCertificate(dir, "ca.pem", "", authority, authority, nil)
	if err != nil {
		return err
	}
	for _, c := range []struct {
		serial    int64
		cert, key string
		use       x509.ExtKeyUsage
	}{
		{2, "server-cert.pem", "server-key.pem", x509.ExtKeyUsageServerAuth},
		{3, "cert.pem", "key.pem", x509.ExtKeyUsageClientAuth},
	} {
		one := &x509.Certificate{
			SerialNumber: big.NewInt(c.serial), Subject: pkix.Name{CommonName: c.cert}, ExtKeyUsage: []x509.ExtKeyUsage{c.use},
			IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, NotBefore: authority.NotBefore, NotAfter: authority.NotAfter,
		}
		if _, err := writeCertificate(dir, c.cert, c.key, one, authority, signer); err != nil {
			return err
		}
	}
	return nil
}

// writeCertificate makes a key and a certificate, signed by signer, or by the new key if signer is nil. It writes the
// certificate and, if keyFile is set, the key.
func writeCertificate(dir, certFile, keyFile string, one, parent *x509.Certificate, signer *ecdsa.PrivateKey) (*ecdsa.PrivateKey, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	if signer == nil {
		signer = key
	}
	der, err := x509.CreateCertificate(rand.Reader, one, parent, &key.PublicKey, signer)
	if err != nil {
		return nil, err
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	if err := os.WriteFile(filepath.Join(dir, certFile), text, 0o600); err != nil || keyFile == "" {
		return key, err
	}
	if der, err = x509.MarshalECPrivateKey(key); err != nil {
		return nil, err
	}
	text = pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der})
	return key, os.WriteFile(filepath.Join(dir, keyFile), text, 0o600)
}
