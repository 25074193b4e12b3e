package lfs

import (
	"os"
	"strings"
	"testing"
)

// TestMain gives the quick start's example, which reads the environment as users' programs do, its store.
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

// TestQuickStartOfTheDocs: the page shows the example that is compiled and run here.
func TestQuickStartOfTheDocs(t *testing.T) {
	page, err := os.ReadFile("../../docs/sdk/go.md")
	if err != nil {
		t.Fatal(err)
	}
	example, err := os.ReadFile("example_test.go")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(page), "```go\n")
	shown, _, found := strings.Cut(rest, "```\n")
	_, run, _ := strings.Cut(string(example), "// quick start\n")
	run, _, _ = strings.Cut(run, "// end of quick start\n")
	if !found || run == "" || shown != run {
		t.Errorf("docs/sdk/go.md shows\n%s\nand example_test.go runs\n%s", shown, run)
	}
}
