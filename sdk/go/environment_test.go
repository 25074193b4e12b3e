package lfs

import (
	"encoding/pem"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/credentials"
)

func TestFromEnvironment(t *testing.T) {
	store := newFakeStore(t)
	value := store.put(key, blob)
	for name, text := range map[string]string{
		"LFS_S3_BUCKET": bucket, "LFS_S3_ENDPOINT": store.URL, "LFS_S3_REGION": "eu-central-1", "LFS_S3_PATH_STYLE": " True ",
		"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_MAX_ATTEMPTS": "7",
	} {
		t.Setenv(name, text)
	}
	client, err := FromEnvironment(t.Context(), func(c *Config) { c.MaxSize = 10 })
	if err != nil {
		t.Fatal(err)
	}
	_, _, err = client.Fetch(t.Context(), value)
	wantKind(t, err, ErrTooLarge)
	if client, err = FromEnvironment(t.Context()); err != nil {
		t.Fatal(err)
	}
	if data, _, err := client.Fetch(t.Context(), value); string(data) != blob || err != nil {
		t.Errorf("%d bytes, %v", len(data), err)
	}
	if signed := store.requests[0].Header.Get("Authorization"); !strings.Contains(signed, "/eu-central-1/s3/") {
		t.Errorf("signed by %s", signed)
	}
	for _, wrong := range [][2]string{
		{"LFS_S3_PATH_STYLE", "perhaps"}, {"LFS_S3_ENDPOINT", "localhost:9000"}, {"LFS_S3_ENDPOINT", "http://localhost/s3"},
		{"LFS_S3_ENDPOINT", "http://localhost?x"}, {"LFS_S3_ENDPOINT", "http://me:hush@localhost"}, {"LFS_S3_ENDPOINT", "ftp://localhost"},
	} {
		name := wrong[0]
		t.Run(name, func(t *testing.T) {
			t.Setenv(name, wrong[1])
			if _, err := FromEnvironment(t.Context()); err == nil || !strings.Contains(err.Error(), name) || strings.Contains(err.Error(), "hush") {
				t.Errorf("%v", err)
			}
		})
	}
}

func TestRegionOfTheEnvironment(t *testing.T) {
	for _, test := range [][4]string{
		{"eu-central-1", "us-west-1", "us-west-2", "eu-central-1"}, {"", "us-west-1", "us-west-2", "us-west-1"},
		{"", "", "us-west-2", "us-west-2"}, {"", "", "", "us-east-1"},
	} {
		for i, name := range []string{"LFS_S3_REGION", "AWS_REGION", "AWS_DEFAULT_REGION"} {
			t.Setenv(name, test[i])
		}
		if config, err := ConfigFromEnvironment(); config.Region != test[3] || err != nil {
			t.Errorf("%v gives %s, %v", test, config.Region, err)
		}
	}
}

// TestAuthorityOfTheStore: an https store is trusted by LFS_S3_CA, whatever AWS_CA_BUNDLE says.
func TestAuthorityOfTheStore(t *testing.T) {
	store := &fakeStore{objects: map[string]string{}}
	store.Server = httptest.NewTLSServer(store)
	defer store.Close()
	store.Config.ErrorLog = silent
	value := store.put(key, blob)
	folder := t.TempDir()
	authority, empty := filepath.Join(folder, "ca.pem"), filepath.Join(folder, "empty.pem")
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: store.Certificate().Raw})
	for file, text := range map[string][]byte{authority: text, empty: nil} {
		if err := os.WriteFile(file, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("LFS_S3_ENDPOINT", store.URL)
	quickly := func(c *Config) { c.Tries = 1 }
	client, err := FromEnvironment(t.Context(), quickly)
	if err != nil {
		t.Fatal(err)
	}
	_, _, err = client.Fetch(t.Context(), value)
	wantKind(t, err, ErrStoreUnavailable)

	t.Setenv("LFS_S3_CA", authority)
	if client, err = FromEnvironment(t.Context(), quickly); err != nil {
		t.Fatal(err)
	}
	if data, _, err := client.Fetch(t.Context(), value); string(data) != blob || err != nil {
		t.Errorf("%d bytes, %v", len(data), err)
	}

	for _, wrong := range []string{empty, filepath.Join(folder, "none.pem")} {
		t.Setenv("LFS_S3_CA", wrong)
		if _, err := FromEnvironment(t.Context()); err == nil || !strings.Contains(err.Error(), "LFS_S3_CA is ") {
			t.Errorf("%s: %v", wrong, err)
		}
		if _, err := New(t.Context(), Config{Bucket: bucket, CA: wrong}); err == nil || !strings.Contains(err.Error(), "Config.CA is ") {
			t.Errorf("%s: %v", wrong, err)
		}
		t.Setenv("LFS_S3_ENDPOINT", "http://localhost:9000")
		if _, err := FromEnvironment(t.Context()); err != nil {
			t.Errorf("%s is not needed without https: %v", wrong, err)
		}
		t.Setenv("LFS_S3_ENDPOINT", store.URL)
	}
}

func TestFieldsThatCannotBeMeantAreRefusedByName(t *testing.T) {
	for name, config := range map[string]Config{
		"Bucket": {}, "MaxSize": {MaxSize: -2}, "OnMissing": {OnMissing: 3}, "Tries": {Tries: -1}, "Pause": {Pause: -1},
		"RetryTime": {RetryTime: -time.Second}, "ConnectTimeout": {ConnectTimeout: -1}, "ReadTimeout": {ReadTimeout: -1},
		"Endpoint": {Endpoint: "localhost:9000"},
	} {
		if name != "Bucket" {
			config.Bucket = bucket
		}
		if _, err := New(t.Context(), config); err == nil || !strings.Contains(err.Error(), "Config."+name+" ") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestSessionToken(t *testing.T) {
	store := newFakeStore(t)
	client := store.client(t, func(c *Config) {
		c.Credentials = credentials.NewStaticCredentialsProvider("key", "secret", "session")
	})
	if _, _, err := client.Fetch(t.Context(), store.put(key, blob)); err != nil {
		t.Fatal(err)
	}
	if token := store.requests[0].Header.Get("X-Amz-Security-Token"); token != "session" {
		t.Errorf("sent %q", token)
	}
}
