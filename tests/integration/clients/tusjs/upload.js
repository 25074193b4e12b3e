// Uploads a file with tus-js-client, and says what happens in JSON lines.
//
//     node upload.js ENDPOINT FILE [UPLOAD_URL]
//
// {"url": ...} when the upload is created, {"offset": ...} when the server was asked how far it is, {"retry": status}
// before another try, {"record": ...} at the end. With UPLOAD_URL that upload is gone on with.

import { createReadStream } from 'node:fs'
import * as tus from 'tus-js-client'

const [endpoint, file, uploadUrl] = process.argv.slice(2)
const say = (what) => process.stdout.write(`${JSON.stringify(what)}\n`)

const upload = new tus.Upload(createReadStream(file), {
  endpoint,
  uploadUrl,
  metadata: { filename: 'a.bin', filetype: 'image/png', key: 'k' },
  retryDelays: [100, 500, 1000, 3000, 5000],
  onUploadUrlAvailable: () => say({ url: upload.url }),
  onShouldRetry: (error) => {
    say({ retry: error.originalResponse ? error.originalResponse.getStatus() : 0 })
    return true
  },
  onAfterResponse: (request, response) => {
    if (request.getMethod() === 'HEAD') say({ offset: Number(response.getHeader('Upload-Offset')) })
    const record = response.getHeader('Lfs-Record')
    if (record) say({ record })
  },
  onError: (error) => {
    say({ error: String(error) })
    process.exitCode = 1
  },
})
upload.start()
