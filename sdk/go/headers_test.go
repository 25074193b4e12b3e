package lfs

import (
	"fmt"
	"testing"
)

func TestHeaders(t *testing.T) {
	for want, headers := range map[string][]Header{
		"[LFS_BLOB=]":                            Headers([]byte("hello"), MarkOptions{}),
		"[]":                                     Headers(nil, MarkOptions{Verify: true}),
		"[LFS_BLOB= LFS_BLOB_ALG=md5]":           Headers([]byte{}, MarkOptions{Algorithm: MD5}),
		"[LFS_BLOB= content-type=a/b]":           Headers([]byte("hello"), MarkOptions{ContentType: "a/b"}),
		"[LFS_BLOB=ab LFS_BLOB_ALG=sha256]":      Headers([]byte("hello"), MarkOptions{Checksum: "ab"}),
		"[LFS_BLOB=3610a686 LFS_BLOB_ALG=crc32]": Headers([]byte("hello"), MarkOptions{Algorithm: CRC32, Verify: true}),
		"[LFS_BLOB= LFS_BLOB_ALG=sha1]":          Headers([]byte("hello"), MarkOptions{Algorithm: "sha1", Verify: true}),
	} {
		var got []string
		for _, header := range headers {
			if header.Value == nil {
				t.Errorf("%s is null", header.Key)
			}
			got = append(got, header.Key+"="+string(header.Value))
		}
		if fmt.Sprint(got) != want {
			t.Errorf("%v, want %s", got, want)
		}
	}
}

// TestSharedHeadersAreLeftAlone: records often share one slice, with room at its end.
func TestSharedHeadersAreLeftAlone(t *testing.T) {
	type header struct {
		Key   string
		Value []byte
	}
	shared := append(make([]header, 0, 10), header{"LFS_BLOB_ALG", []byte("md5")}, header{"x", nil})
	marks := Headers([]byte("hello"), MarkOptions{Verify: true})
	first := AddHeaders(shared, marks)
	second := AddHeaders(shared, Headers([]byte("other"), MarkOptions{ContentType: "a/b"}))
	if fmt.Sprint(shared) != "[{LFS_BLOB_ALG [109 100 53]} {x []}]" || len(shared[:3][2].Key) != 0 {
		t.Errorf("%v", shared[:3])
	}
	if len(first) != 3 || string(first[1].Value) != sha256Of("hello") || len(second) != 4 || !IsMarked(second) || IsMarked(shared) {
		t.Errorf("%v, %v", first, second)
	}
}

func TestHeadersBySize(t *testing.T) {
	for _, test := range []struct {
		value   []byte
		minSize int
		want    int
	}{
		{[]byte("hello"), 5, 1}, {[]byte("hello"), 6, 0}, {[]byte{}, 0, 1}, {nil, 0, 0}, {nil, -1, 0},
	} {
		if headers := HeadersBySize(test.value, test.minSize, MarkOptions{}); len(headers) != test.want {
			t.Errorf("%q from %d: %v", test.value, test.minSize, headers)
		}
	}
}
