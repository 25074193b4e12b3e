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
	status, err := file.Stat()
	if err != nil {
		log.Fatal(err)
	}
	uploader, err := lfs.NewUploader("http://localhost:8080")
	if err != nil {
		log.Fatal(err)
	}
	record, err := uploader.Upload(context.Background(), "demo-topic", file, lfs.UploadOptions{
		Key: []byte("user-1"), ContentType: "video/mp4", Filename: "clip.mp4", Length: status.Size(),
	})
	var problem *lfs.ProblemError
	if errors.As(err, &problem) {
		log.Fatalf("the proxy refuses the upload (%s): %v", problem.Name(), err)
	}
	if err != nil {
		log.Fatal(err) // of the connection, or of the file: the record may have been published
	}
	fmt.Printf("published at %d:%d\n", record.Partition, record.Offset)
}
