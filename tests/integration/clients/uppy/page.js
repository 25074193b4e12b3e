// Uppy with its tus plugin, for a page: window.upload(endpoint, files) with files as [[name, type, text], ...].
// It gives what went wrong, and the addresses of the records that the API told of.

import Uppy from '@uppy/core'
import Tus from '@uppy/tus'

window.upload = async (endpoint, files) => {
  const records = []
  const uppy = new Uppy({ meta: { key: 'user-1' } }).use(Tus, {
    endpoint,
    onAfterResponse(_request, response) {
      const record = response.getHeader('Lfs-Record')
      if (record) records.push(record)
    },
  })
  for (const [name, type, text] of files) {
    uppy.addFile({ name, type, data: new File([text], name, { type }) })
  }
  const result = await uppy.upload()
  return {
    failed: result.failed.map((file) => `${file.name}: ${file.error}`),
    records,
  }
}
