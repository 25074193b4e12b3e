package main

import (
	"strings"
	"testing"
)

func TestOneAnswerForEachLine(t *testing.T) {
	var out strings.Builder
	err := serve(t.Context(), strings.NewReader(`{"op":"read","value":null}
{"op":"configure","bucket":"b","endpoint":"http://127.0.0.1:1","region":"us-east-1","path_style":true,"prefixes":["lfs/"]}
{"op":"read","value":"aGVsbG8="}
{"op":"stream","value":null}
{"op":"read","value":"eyJsZnNfdmVyc2lvbiI6MiwiczNfYnVja2V0IjoiYiIsInMzX2tleSI6ImsifQ=="}
{"op":"poll","values":["aGVsbG8=",null,"eyJsZnNfdmVyc2lvbiI6MiwiczNfYnVja2V0IjoiYiIsInMzX2tleSI6ImsifQ=="],"concurrency":8,"max_bytes":268435456}
{"op":"poll","values":[]}
{"op":"dance"}
`), &out)
	if err != nil {
		t.Fatal(err)
	}
	want := `{"outcome":"error","length":null,"sha256":null,"message":"configure comes first"}
{"outcome":"ok","length":null,"sha256":null,"message":""}
{"outcome":"ordinary","length":5,"sha256":"2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824","message":""}
{"outcome":"ordinary","length":0,"sha256":"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855","message":""}
{"outcome":"unsupported-envelope","length":null,"sha256":null,"message":"lfs: the envelope has lfs_version 2, this reader knows versions up to 1"}
{"outcome":"ok","length":null,"sha256":null,"message":"","records":[{"outcome":"ordinary","length":5,"sha256":"2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824","message":""},{"outcome":"ordinary","length":0,"sha256":"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855","message":""},{"outcome":"unsupported-envelope","length":null,"sha256":null,"message":"lfs: the envelope has lfs_version 2, this reader knows versions up to 1"}]}
{"outcome":"ok","length":null,"sha256":null,"message":"","records":[]}
{"outcome":"unsupported","length":null,"sha256":null,"message":""}
`
	if out.String() != want {
		t.Errorf("got\n%s\nwant\n%s", out.String(), want)
	}
}
