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

# [metrics]
npm install prom-client
# [/metrics]

# [opentelemetry]
npm install @opentelemetry/api @opentelemetry/sdk-metrics
# [/opentelemetry]

# [aws]
npm install @aws-sdk/client-s3
# [/aws]

# [bundle]
npm install --save-dev esbuild
npx esbuild browser-proxy.mjs --bundle --format=esm --outfile=page.mjs
# [/bundle]
