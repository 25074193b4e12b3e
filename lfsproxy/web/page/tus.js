// The ways to send one file: tus 1.0.0, which can pause and go on, or one POST, which cannot.
// https://tus.io/protocols/resumable-upload
"use strict";

const Sending = (() => {
  // An error that the API told by problem+json (RFC 9457), or that the network made.
  class Problem extends Error {
    constructor(message, status, goesOn) {
      super(message);
      this.status = status;
      this.goesOn = goesOn;
    }
  }
  class Paused extends Error {}

  function problemOf(status, text) {
    let said = null;
    try {
      said = JSON.parse(text);
    } catch { /* not JSON: only the status is known */ }
    const title = said && said.title ? said.title : `The API answers ${status}`;
    return new Problem(said && said.detail ? `${title}: ${said.detail}` : title, status, status === 503);
  }

  // One request by XMLHttpRequest, which tells how much of a body has left. Aborted by `signal`.
  function ask(method, url, { headers = {}, body = null, onProgress = null, signal = null } = {}) {
    return new Promise((resolve, reject) => {
      const request = new XMLHttpRequest();
      request.open(method, url);
      for (const [name, value] of Object.entries(headers)) {
        request.setRequestHeader(name, value);
      }
      if (onProgress) {
        request.upload.addEventListener("progress", (event) => onProgress(event.loaded, event.total));
      }
      request.addEventListener("load", () => {
        if (request.status >= 200 && request.status < 300) {
          resolve(request);
        } else {
          reject(problemOf(request.status, request.responseText));
        }
      });
      request.addEventListener("error", () => reject(new Problem("The API could not be reached.", 0, true)));
      request.addEventListener("abort", () => reject(new Paused()));
      if (signal) {
        if (signal.aborted) {
          reject(new Paused());
          return;
        }
        signal.addEventListener("abort", () => request.abort(), { once: true });
      }
      request.send(body);
    });
  }

  function base64(text) {
    return btoa(String.fromCharCode(...new TextEncoder().encode(text)));
  }

  // Whether the API has tus for this topic: asked of OPTIONS, which needs no key.
  async function hasTus(uploads) {
    try {
      const answer = await fetch(uploads, { method: "OPTIONS" });
      return answer.ok && (answer.headers.get("Tus-Version") || "").split(",").includes("1.0.0");
    } catch {
      return false;
    }
  }

  // A file sent by tus. `send` begins or goes on; it gives the path of the record.
  class ByTus {
    canPause = true;
    constructor(uploads, file, options, authorization, resolve) {
      this.uploads = uploads;
      this.resolve = resolve;
      this.file = file;
      this.options = options;
      this.headers = { "Tus-Resumable": "1.0.0", ...authorization };
      this.url = null;
    }

    async send(onProgress, signal) {
      let record = null;
      let offset = 0;
      if (this.url === null) {
        record = await this.create(signal);
      } else {
        const answer = await ask("HEAD", this.url, { headers: this.headers, signal });
        offset = Number(answer.getResponseHeader("Upload-Offset"));
        record = answer.getResponseHeader("Lfs-Record");
      }
      onProgress(offset, this.file.size);
      while (record === null) {
        if (offset === this.file.size && offset > 0) {
          throw new Problem("All bytes were sent, but the API names no record.", 0, true);
        }
        const answer = await ask("PATCH", this.url, {
          headers: {
            ...this.headers,
            "Upload-Offset": String(offset),
            "Content-Type": "application/offset+octet-stream",
          },
          body: this.file.slice(offset),
          onProgress: (sent) => onProgress(offset + sent, this.file.size),
          signal,
        });
        record = answer.getResponseHeader("Lfs-Record");
        offset = Number(answer.getResponseHeader("Upload-Offset"));
      }
      return { record };
    }

    async create(signal) {
      const metadata = { ...this.options, filename: this.file.name };
      if (this.file.type) {
        metadata.filetype = this.file.type;
      }
      const answer = await ask("POST", this.uploads, {
        headers: {
          ...this.headers,
          "Upload-Length": String(this.file.size),
          "Upload-Metadata": Object.entries(metadata)
            .map(([name, value]) => (value ? `${name} ${base64(value)}` : name))
            .join(","),
        },
        signal,
      });
      this.url = this.resolve(answer.getResponseHeader("Location")).href;
      return answer.getResponseHeader("Lfs-Record");
    }

    // Tell the API that the rest will not come.
    async forget() {
      if (this.url !== null) {
        await ask("DELETE", this.url, { headers: this.headers });
      }
    }
  }

  // A file sent as one form. A stop is an end.
  class ByPost {
    canPause = false;
    constructor(records, file, options, authorization) {
      this.records = records;
      this.file = file;
      this.options = options;
      this.headers = authorization;
    }

    async send(onProgress, signal) {
      const form = new FormData();
      for (const [name, value] of Object.entries(this.options)) {
        form.append(name, value);
      }
      form.append("file", this.file);
      const answer = await ask("POST", this.records, { headers: this.headers, body: form, onProgress, signal });
      const made = JSON.parse(answer.responseText);
      const record = answer.getResponseHeader("Location") ||
        `/v1/topics/${made.topic}/partitions/${made.partition}/records/${made.offset}`;
      return { record, envelope: made.envelope };
    }

    async forget() {}
  }

  return { ask, hasTus, ByTus, ByPost, Paused, Problem };
})();
