package lfs

import (
	"encoding/json"
	"errors"
	"io"
	"os"
	"testing"
)

type vector struct {
	Name        string
	Value       *string
	ValueBase64 []byte `json:"value_base64"`
	Outcome     string
	Blob        *string
	Envelope    *Envelope
}

func (v vector) value() []byte {
	if v.Value != nil {
		return []byte(*v.Value)
	}
	return v.ValueBase64
}

// TestVectors holds this reader to what every reader makes of the same values.
func TestVectors(t *testing.T) {
	var file struct {
		Reader struct {
			Buckets, Prefixes []string
			MaxSize           int64 `json:"max_size"`
		}
		Vectors []vector
	}
	text, err := os.ReadFile("../../tests/vectors/envelopes.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &file); err != nil {
		t.Fatal(err)
	}
	if len(file.Vectors) < 60 {
		t.Fatalf("only %d vectors", len(file.Vectors))
	}
	for _, vector := range file.Vectors {
		t.Run(vector.Name, func(t *testing.T) {
			store := newFakeStore(t)
			if vector.Blob != nil {
				// By their exact names, which encoding/json does not insist on for the fields of a struct.
				var members map[string]json.RawMessage
				if err := json.Unmarshal(vector.value(), &members); err != nil {
					t.Fatal(err)
				}
				var bucket, key string
				if err := errors.Join(
					json.Unmarshal(members["s3_bucket"], &bucket), json.Unmarshal(members["s3_key"], &key),
				); err != nil {
					t.Fatal(err)
				}
				store.objects["/"+bucket+"/"+escaped(key)] = *vector.Blob
			}
			client := store.client(t, func(c *Config) {
				c.Buckets, c.Prefixes, c.MaxSize = file.Reader.Buckets, file.Reader.Prefixes, file.Reader.MaxSize
			})
			whole, info, err := client.Fetch(t.Context(), vector.value())
			vector.check(t, whole, info, err)
			streamed, info, err := readAll(t, client, vector.value())
			vector.check(t, streamed, info, err)
		})
	}
}

func readAll(t *testing.T, client *Client, value []byte) ([]byte, Info, error) {
	blob, info, err := resolve(client, t.Context(), value)
	if err != nil {
		return nil, info, err
	}
	defer blob.Close()
	data, err := io.ReadAll(blob)
	return data, info, err
}

func (v vector) check(t *testing.T, data []byte, info Info, err error) {
	t.Helper()
	var failed *Error
	switch {
	case errors.As(err, &failed):
		if failed.Name() != v.Outcome {
			t.Errorf("is %s (%v), want %s", failed.Name(), err, v.Outcome)
		}
	case err != nil:
		t.Errorf("not an Error: %v", err)
	case info.Envelope == nil:
		if v.Outcome != "ordinary" || string(data) != string(v.value()) {
			t.Errorf("is ordinary, %q; want %s", data, v.Outcome)
		}
	case v.Outcome != "blob" || string(data) != *v.Blob || *info.Envelope != *v.Envelope:
		t.Errorf("is a blob %q of %+v; want %s of %+v", data, *info.Envelope, v.Outcome, v.Envelope)
	}
}
