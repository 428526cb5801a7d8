package setup

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"net/url"

	"github.com/minio/minio-go/v7/pkg/signer"
	"github.com/secure-io/sio-go"
	"golang.org/x/crypto/argon2"
)

// administrator is a client of MinIO's admin API, version 3, with the three requests that make a user with a policy. It
// stands in for MinIO's own client, which needs forty more modules.
type administrator struct {
	endpoint, region string
	key              key
	http             *http.Client
}

// grant makes a user with a policy, or gives the policy to an existing user.
func (a *administrator) grant(ctx context.Context, user key, p policy) error {
	if err := a.put(ctx, "add-canned-policy", url.Values{"name": {p.name}}, []byte(p.text)); err != nil {
		return err
	}
	account, err := json.Marshal(map[string]string{"secretKey": user.secret, "status": "enabled"})
	if err != nil {
		return err
	}
	sealed, err := seal(a.key.secret, account)
	if err != nil {
		return fmt.Errorf("encrypt a new user: %w", err)
	}
	if err := a.put(ctx, "add-user", url.Values{"accessKey": {user.access}}, sealed); err != nil {
		return err
	}
	of := url.Values{"policyName": {p.name}, "userOrGroup": {user.access}, "isGroup": {"false"}}
	return a.put(ctx, "set-user-or-group-policy", of, nil)
}

func (a *administrator) put(ctx context.Context, what string, query url.Values, body []byte) error {
	address := a.endpoint + "/minio/admin/v3/" + what + "?" + query.Encode()
	request, err := http.NewRequestWithContext(ctx, http.MethodPut, address, bytes.NewReader(body))
	if err != nil {
		return err
	}
	sum := sha256.Sum256(body)
	request.Header.Set("X-Amz-Content-Sha256", hex.EncodeToString(sum[:]))
	response, err := a.http.Do(signer.SignV4(*request, a.key.access, a.key.secret, "", a.region))
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode == http.StatusOK {
		return nil
	}
	const most = 64 << 10
	answer, err := io.ReadAll(io.LimitReader(response.Body, most))
	if err != nil {
		return err
	}
	return fmt.Errorf("MinIO answers %s to %s: %s", response.Status, what, complaint(answer))
}

// complaint returns the message of an error: JSON from the admin API, or XML from the S3 server.
func complaint(answer []byte) string {
	var e struct{ Code, Message string }
	if json.Unmarshal(answer, &e) != nil && xml.Unmarshal(answer, &e) != nil {
		return string(answer)
	}
	return e.Code + ": " + e.Message
}

// seal encrypts a body that the admin API accepts only encrypted. It returns a salt, the kind of encryption, a nonce,
// and the text as a stream of AES-256-GCM with a key that Argon2id derives from the password (see madmin-go,
// encrypt.go).
func seal(password string, text []byte) ([]byte, error) {
	const (
		saltBytes, keyBytes        = 32, 32
		rounds, kibi, threads      = 1, 64 << 10, 4
		argon2idAESGCM        byte = 0
	)
	salt := make([]byte, saltBytes)
	_, _ = rand.Read(salt) // never fails
	stream, err := sio.AES_256_GCM.Stream(argon2.IDKey([]byte(password), salt, rounds, kibi, threads, keyBytes))
	if err != nil {
		return nil, err
	}
	nonce := make([]byte, stream.NonceSize())
	_, _ = rand.Read(nonce)
	var out bytes.Buffer
	out.Write(salt)
	out.WriteByte(argon2idAESGCM)
	out.Write(nonce)
	w := stream.EncryptWriter(&out, nonce, nil)
	if _, err := w.Write(text); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}
