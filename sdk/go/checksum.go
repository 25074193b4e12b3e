package lfs

import (
	"crypto/md5"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"hash/crc32"
	"io"
	"strings"
)

// Algorithm is a checksum algorithm of an envelope.
type Algorithm string

// The algorithms that the proxy knows. CRC32 is that of IEEE 802.3; MD5 guards against accidents only.
const (
	SHA256 Algorithm = "sha256"
	CRC32  Algorithm = "crc32"
	MD5    Algorithm = "md5"
)

// New starts a checksum. An unknown algorithm is an error.
func (a Algorithm) New() (hash.Hash, error) {
	switch a {
	case SHA256:
		return sha256.New(), nil
	case CRC32:
		return crc32.NewIEEE(), nil
	case MD5:
		return md5.New(), nil
	}
	return nil, fmt.Errorf("lfs: unknown checksum algorithm %.80q, one of sha256, crc32, md5 is needed", string(a))
}

// Sum reads r to its end and returns the checksum of its bytes in lower-case hex.
func (a Algorithm) Sum(r io.Reader) (string, error) {
	sum, err := a.New()
	if err != nil {
		return "", err
	}
	if _, err := io.Copy(sum, r); err != nil {
		return "", err
	}
	return hexOf(sum), nil
}

func hexOf(sum hash.Hash) string { return hex.EncodeToString(sum.Sum(nil)) }

// parseChecksum returns the checksum in lower-case hex, or an error where it is not one of the algorithm.
func parseChecksum(a Algorithm, text string) (string, error) {
	sum, err := a.New()
	if err != nil {
		return "", err
	}
	if digits, err := hex.DecodeString(text); err != nil || len(digits) != sum.Size() {
		return "", fmt.Errorf("a %s checksum is %d hex digits, got %.80q", a, 2*sum.Size(), text)
	}
	return strings.ToLower(text), nil
}
