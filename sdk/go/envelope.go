package lfs

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"
)

const (
	// Version is the newest envelope version that this package reads.
	Version = 1
	// maxEnvelopeBytes is the length from which on a value is no envelope.
	maxEnvelopeBytes = 64 * 1024
	// maxNesting is the levels of objects and arrays; a parser's own limit differs from language to language.
	maxNesting = 100
)

// Envelope is a claim check: where the blob is, and what its bytes must be.
//
//	{"lfs_version":1,"s3_bucket":"kafscale","s3_key":"lfs/default/t/0/42-<uuid>.bin",
//	 "content_type":"image/png","content_length":10485760,"checksum_algo":"sha256","checksum":"<hex>"}
type Envelope struct {
	Bucket      string `json:"s3_bucket"`
	Key         string `json:"s3_key"`
	ContentType string `json:"content_type"`
	// Length is in bytes; one that no int64 holds is read as the largest.
	Length       int64     `json:"content_length"`
	ChecksumAlgo Algorithm `json:"checksum_algo"`
	// Checksum is in lower-case hex.
	Checksum string `json:"checksum"`
}

// ParseEnvelope returns the envelope in a record's value, or nil where the value is an ordinary one.
//
// The error is ErrUnsupportedEnvelope for a newer version, ErrInvalidEnvelope for a value that is an envelope
// by its lfs_version, s3_bucket and s3_key, but lacks a field or has one of the wrong type.
func ParseEnvelope(value []byte) (*Envelope, error) {
	fields := envelopeFields(value)
	if fields == nil {
		return nil, nil
	}
	version := string(fields["lfs_version"])
	switch number := saturated(version); {
	case number > Version:
		return nil, failure(ErrUnsupportedEnvelope, nil, nil,
			"the envelope has lfs_version %.40s, this reader knows versions up to %d", version, Version)
	case number < 1:
		return nil, failure(ErrInvalidEnvelope, nil, nil, "the envelope has lfs_version %.40s", version)
	}
	envelope, err := fields.envelope()
	if err != nil {
		return nil, failure(ErrInvalidEnvelope, nil, err, "%s", err)
	}
	return envelope, nil
}

// rawFields are the members of a JSON object by their exact names; of a name that is there twice the last.
type rawFields map[string]json.RawMessage

// envelopeFields is nil where a value is no envelope of any version. Cheap tests come first.
func envelopeFields(value []byte) rawFields {
	if len(value) == 0 || len(value) >= maxEnvelopeBytes || value[0] != '{' ||
		!bytes.Contains(value, []byte(`"lfs_version"`)) || !utf8.Valid(value) {
		return nil
	}
	var fields rawFields
	if isNestedTooDeep(value) || json.Unmarshal(value, &fields) != nil || !isInteger(fields["lfs_version"]) {
		return nil
	}
	if fields["s3_bucket"] == nil || fields["s3_key"] == nil {
		return nil
	}
	return fields
}

// isNestedTooDeep looks at the brackets outside of strings.
func isNestedTooDeep(value []byte) bool {
	depth, quoted := 0, false
	for i := 0; i < len(value); i++ {
		switch value[i] {
		case '"':
			quoted = !quoted
		case '\\':
			i++ // JSON has backslashes within strings only
		case '{', '[':
			if !quoted {
				depth++
			}
		case '}', ']':
			if !quoted {
				depth--
			}
		}
		if depth > maxNesting {
			return true
		}
	}
	return false
}

func (f rawFields) envelope() (*Envelope, error) {
	var e Envelope
	var algorithm string
	texts := []struct {
		name string
		into *string
	}{
		{"s3_bucket", &e.Bucket}, {"s3_key", &e.Key}, {"content_type", &e.ContentType},
		{"checksum_algo", &algorithm}, {"checksum", &e.Checksum},
	}
	for _, text := range texts {
		raw := f[text.name]
		if len(raw) == 0 || raw[0] != '"' {
			return nil, fmt.Errorf("the envelope's %s is %.80s, a string is needed", text.name, orAbsent(raw))
		}
		// Nothing can be made of one: no key, no header. Go would read it as U+FFFD.
		if hasUnpairedSurrogate(raw) {
			return nil, fmt.Errorf("the envelope's %s is %.80s, which has half of a character", text.name, raw)
		}
		if err := json.Unmarshal(raw, text.into); err != nil {
			return nil, fmt.Errorf("the envelope's %s cannot be read: %w", text.name, err)
		}
	}
	raw := f["content_length"]
	if !isInteger(raw) {
		return nil, fmt.Errorf("the envelope's content_length is %.80s, an integer is needed", orAbsent(raw))
	}
	if e.Length = saturated(string(raw)); e.Length < 0 {
		return nil, fmt.Errorf("the envelope's content_length is %.40s", raw)
	}
	e.ChecksumAlgo = Algorithm(algorithm)
	checksum, err := parseChecksum(e.ChecksumAlgo, e.Checksum)
	if err != nil {
		return nil, fmt.Errorf("the envelope's checksum is not usable: %w", err)
	}
	e.Checksum = checksum
	return &e, nil
}

// hasUnpairedSurrogate looks at the escapes of a JSON string, which is valid already.
func hasUnpairedSurrogate(raw json.RawMessage) bool {
	var high bool
	for i := 0; i < len(raw); i++ {
		var unit uint64
		if raw[i] == '\\' {
			i++
			if raw[i] == 'u' {
				unit, _ = strconv.ParseUint(string(raw[i+1:i+5]), 16, 16)
				i += 4
			}
		}
		isLow := unit >= 0xDC00 && unit <= 0xDFFF
		if isLow != high {
			return true
		}
		high = unit >= 0xD800 && unit <= 0xDBFF
	}
	return high
}

// isInteger tells an integer from 5.0, 5e0, "5", true and null. The number is valid JSON already.
func isInteger(raw json.RawMessage) bool {
	return len(raw) > 0 && strings.Trim(string(raw), "-0123456789") == ""
}

// saturated is an integer, or the nearest that an int64 holds.
func saturated(digits string) int64 {
	number, err := strconv.ParseInt(digits, 10, 64)
	if err != nil && strings.HasPrefix(digits, "-") {
		return math.MinInt64
	}
	if err != nil {
		return math.MaxInt64
	}
	return number
}

func orAbsent(raw json.RawMessage) string {
	if raw == nil {
		return "absent"
	}
	return string(raw)
}
