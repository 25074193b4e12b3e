#!/bin/sh
# Fails where `go mod tidy` would change a module of this folder. It works on a copy: the modules need each
# other in versions that are published after them, so that the copy replaces these by its own folders.
set -eu
copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT
cp -R . "$copy/go"
mkdir "$copy/before"
export GOWORK=off GOFLAGS=-mod=mod
core=github.com/lfsproxy/lfsproxy/sdk/go
for module in . confluent conformance franz otel prometheus; do
    cd "$copy/go/$module"
    if [ "$module" != . ]; then
        go mod edit -replace "$core=$copy/go" -replace "$core/franz=$copy/go/franz"
    fi
    cp go.mod go.sum "$copy/before/"
    go mod tidy
    diff -u "$copy/before/go.mod" go.mod
    diff -u "$copy/before/go.sum" go.sum
done
