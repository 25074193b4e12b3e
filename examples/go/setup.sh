# [setup]
git clone https://github.com/lfsproxy/lfsproxy
mkdir demo && cd demo
go mod init example.com/demo
go mod edit -replace github.com/lfsproxy/lfsproxy/sdk/go=../lfsproxy/sdk/go
go mod edit -replace github.com/lfsproxy/lfsproxy/sdk/go/franz=../lfsproxy/sdk/go/franz
go mod edit -replace github.com/lfsproxy/lfsproxy/sdk/go/confluent=../lfsproxy/sdk/go/confluent
go mod edit -replace github.com/lfsproxy/lfsproxy/sdk/go/prometheus=../lfsproxy/sdk/go/prometheus
go mod edit -replace github.com/lfsproxy/lfsproxy/sdk/go/otel=../lfsproxy/sdk/go/otel
go get github.com/lfsproxy/lfsproxy/sdk/go@v0.1.0
# [/setup]

# [franz]
go get github.com/lfsproxy/lfsproxy/sdk/go/franz@v0.1.0
# [/franz]

# [confluent]
go get github.com/lfsproxy/lfsproxy/sdk/go/confluent@v0.1.0
# [/confluent]

# [metrics]
go get github.com/lfsproxy/lfsproxy/sdk/go/prometheus@v0.1.0
go get github.com/lfsproxy/lfsproxy/sdk/go/otel@v0.1.0
go get go.opentelemetry.io/otel@v1.40.0
# [/metrics]
