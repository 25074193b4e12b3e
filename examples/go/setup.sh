# [setup]
git clone https://github.com/lfsproxy/lfsproxy
mkdir demo && cd demo
go mod init example.com/demo
go mod edit -replace github.com/lfsproxy/lfsproxy/sdk/go=../lfsproxy/sdk/go
go mod edit -replace github.com/lfsproxy/lfsproxy/sdk/go/franz=../lfsproxy/sdk/go/franz
go mod edit -replace github.com/lfsproxy/lfsproxy/sdk/go/confluent=../lfsproxy/sdk/go/confluent
go get github.com/lfsproxy/lfsproxy/sdk/go@v0.1.0
# [/setup]

# [franz]
go get github.com/lfsproxy/lfsproxy/sdk/go/franz@v0.1.0
# [/franz]

# [confluent]
go get github.com/lfsproxy/lfsproxy/sdk/go/confluent@v0.1.0
# [/confluent]
