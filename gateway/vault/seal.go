package vault

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"errors"
)

const (
	keyBytes = 32 // AES-256
	format   = 1  // the first byte of a sealed value
)

// seal encrypts a value with AES-256-GCM and a random nonce, and returns format, nonce and ciphertext. The name is
// authenticated with it, so that the objects of two secrets cannot be swapped.
func seal(key []byte, name, value string) []byte {
	gcm := newGCM(key)
	nonce := make([]byte, gcm.NonceSize())
	_, _ = rand.Read(nonce) // never fails
	return gcm.Seal(append([]byte{format}, nonce...), nonce, []byte(value), []byte(name))
}

var errSeal = errors.New("the secret cannot be decrypted with this key and name")

// open returns the value that seal encrypted, or errSeal.
func open(key []byte, name string, sealed []byte) (string, error) {
	gcm := newGCM(key)
	if len(sealed) < 1+gcm.NonceSize() || sealed[0] != format {
		return "", errSeal
	}
	nonce, text := sealed[1:1+gcm.NonceSize()], sealed[1+gcm.NonceSize():]
	value, err := gcm.Open(nil, nonce, text, []byte(name))
	if err != nil {
		return "", errSeal
	}
	return string(value), nil
}

func newGCM(key []byte) cipher.AEAD {
	block, err := aes.NewCipher(key)
	if err != nil {
		panic("a key of another size: " + err.Error()) // AES has keys of keyBytes
	}
	gcm, err := cipher.NewGCM(block)
	if err != nil {
		panic(err.Error())
	}
	return gcm
}
