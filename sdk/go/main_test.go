package lfs

import (
	"os"
	"strings"
	"testing"
)

// TestMain gives the example, which reads the environment as users' programs do, its store.
func TestMain(m *testing.M) {
	store := startFakeStore()
	store.put("lfs/default/demo-topic/0/42-6f1c2a04-9f1e-4c1b-8a53-0d7c5c1f9b7e.bin", strings.Repeat("a large value ", 100_000))
	for name, text := range map[string]string{
		"LFS_S3_BUCKET": bucket, "LFS_S3_ENDPOINT": store.URL, "LFS_S3_PATH_STYLE": "true",
		"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret",
	} {
		if err := os.Setenv(name, text); err != nil {
			panic(err)
		}
	}
	code := m.Run()
	store.Close()
	os.Exit(code)
}
