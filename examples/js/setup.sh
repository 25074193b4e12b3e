# [setup]
git clone https://github.com/lfsproxy/lfsproxy
(cd lfsproxy/sdk/js && npm ci && npm pack)
mkdir demo && cd demo
npm init -y
npm install ../lfsproxy/sdk/js/lfsproxy-client-*.tgz kafkajs
# [/setup]

# [folder]
npm install ../lfsproxy/sdk/js
# [/folder]

# [snappy]
npm install kafkajs-snappy-typescript
# [/snappy]
