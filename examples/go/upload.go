package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"

	lfs "github.com/lfsproxy/lfsproxy/sdk/go"
)

func main() {
	file, err := os.Open("large-file.bin")
	if err != nil {
		log.Fatal(err)
	}
	defer file.Close()
	uploader, err := lfs.NewUploader("http://localhost:8080")
	if err != nil {
		log.Fatal(err)
	}
	record, err := uploader.Upload(context.Background(), "demo-topic", file, lfs.UploadOptions{
		Key: []byte("user-1"), ContentType: "video/mp4", Filename: "clip.mp4",
	})
	if errors.Is(err, lfs.ErrOutcomeUnknown) {
		log.Fatalf("look into the topic before you upload it again: %v", err)
	}
	if err != nil {
		log.Fatalf("not published (worth another try: %t): %v", lfs.Retriable(err), err)
	}
	fmt.Printf("published at %d:%d\n", record.Partition, record.Offset)
}
