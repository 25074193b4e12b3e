package lfs

import (
	"errors"
	"math"
	"strings"
	"testing"
)

// TestStrictJSON is about what Go's own decoder would let pass or read in another way.
func TestStrictJSON(t *testing.T) {
	good := string(envelopeOf("lfs/k", "hello"))
	replaced := func(old, new string) string {
		if !strings.Contains(good, old) {
			t.Fatalf("%s is not in %s", old, good)
		}
		return strings.Replace(good, old, new, 1)
	}
	for name, test := range map[string]struct {
		value string
		want  error // nil: ordinary
	}{
		"other case":               {replaced(`"s3_key"`, `"S3_KEY"`), nil},
		"version with a fraction":  {replaced(`:1,`, `:1.0,`), nil},
		"version with an exponent": {replaced(`:1,`, `:1e0,`), nil},
		"version beyond int64":     {replaced(`:1,`, `:99999999999999999999,`), ErrUnsupportedEnvelope},
		"version far below":        {replaced(`:1,`, `:-99999999999999999999,`), ErrInvalidEnvelope},
		"length with a fraction":   {replaced(`:5,`, `:5.0,`), ErrInvalidEnvelope},
		"length with an exponent":  {replaced(`:5,`, `:5e0,`), ErrInvalidEnvelope},
		"last of two versions":     {replaced(`:1,`, `:1,"lfs_version":2,`), ErrUnsupportedEnvelope},
		"last of two is null":      {replaced(`"checksum":`, `"s3_key":null,"checksum":`), ErrInvalidEnvelope},
		"escaped version only":     {replaced(`"lfs_version"`, `"lfs\u005fversion"`), nil},
		"NaN":                      {replaced(`:5,`, `:NaN,`), nil},
		"control character":        {replaced("text/plain", "text\n"), nil},
		"unpaired surrogate":       {replaced("lfs/k", `lfs/\ud800`), ErrInvalidEnvelope},
		"checksum with a space":    {replaced(`"checksum":"2c`, `"checksum":" 2`), ErrInvalidEnvelope},
		"64 KiB":                   {replaced("{", "{"+strings.Repeat(" ", 64*1024)), nil},
	} {
		t.Run(name, func(t *testing.T) {
			envelope, err := ParseEnvelope([]byte(test.value))
			if envelope != nil || !errors.Is(err, test.want) {
				t.Errorf("is %+v, %v; want %v", envelope, err, test.want)
			}
		})
	}
	for name, value := range map[string]string{
		"replacement character":         replaced("lfs/k", "lfs/\uFFFD"),
		"replacement character escaped": replaced("lfs/k", `lfs/\ufFfd`),
		"surrogate pair":                replaced("lfs/k", `lfs/\ud83d\ude00`),
		"escaped backslash":             replaced("lfs/k", `lfs/\\ufffd`),
		"minus zero":                    replaced(`:5,`, `:-0,`),
		"of two the last":               replaced(`"s3_key"`, `"s3_key":1,"s3_key"`),
	} {
		if envelope, err := ParseEnvelope([]byte(value)); envelope == nil || err != nil {
			t.Errorf("%s: %v, %v", name, envelope, err)
		}
	}
	huge, err := ParseEnvelope([]byte(replaced(`:5,`, `:99999999999999999999,`)))
	if err != nil || huge.Length != math.MaxInt64 {
		t.Errorf("a length beyond int64 is %+v, %v", huge, err)
	}
}

func FuzzParseEnvelope(f *testing.F) {
	f.Add(envelopeOf("lfs/k", "hello"))
	f.Add([]byte(`{"lfs_version":1,"s3_bucket":null,"s3_key":"\ud800"}`))
	f.Fuzz(func(t *testing.T, value []byte) {
		envelope, err := ParseEnvelope(value)
		if envelope != nil && (err != nil || envelope.Length < 0 || value[0] != '{') {
			t.Errorf("%q is %+v, %v", value, envelope, err)
		}
	})
}
