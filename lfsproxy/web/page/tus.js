// The ways to send one file: tus 1.0.0, which can pause and go on, or one POST, which cannot.
// https://tus.io/protocols/resumable-upload
"use strict";

const Sending = (() => {
  const { ask, pause, Paused, Problem } = Requests;
  const FIRST_TRIES = 5;

  function base64(text) {
    return btoa(String.fromCharCode(...new TextEncoder().encode(text)));
  }

  // Whether the API has tus for this topic: asked of OPTIONS, which needs no key.
  async function hasTus(uploads, waiting) {
    for (let tries = 1; ; tries += 1) {
      try {
        const answer = await ask("OPTIONS", uploads, waiting);
        return /^tus-version:.*\b1\.0\.0\b/im.test(answer.getAllResponseHeaders());
      } catch (error) {
        if (error instanceof Paused || (error.passes && tries === FIRST_TRIES)) {
          throw error;
        }
        if (!error.passes) {
          return false;
        }
        await pause(error, tries, waiting);
      }
    }
  }

  // Where the unfinished uploads are, by what they are of: for a page that was closed in their midst.
  const Unfinished = {
    PREFIX: "lfsproxy-upload:",
    KEPT: 7 * 24 * 3600 * 1000,
    running: new Set(),

    get(name) {
      try {
        const kept = JSON.parse(localStorage.getItem(this.PREFIX + name));
        return kept && kept.since > Date.now() - this.KEPT ? kept.url : null;
      } catch {
        return null;
      }
    },
    set(name, url) {
      try {
        localStorage.setItem(this.PREFIX + name, JSON.stringify({ url, since: Date.now() }));
      } catch { /* a browser that keeps nothing: then a reload begins anew */ }
    },
    remove(name) {
      try {
        localStorage.removeItem(this.PREFIX + name);
      } catch { /* nothing was kept */ }
    },
  };

  // A file sent by tus. `send` begins or goes on; it gives the path of the record.
  class ByTus {
    canPause = true;
    constructor(uploads, file, options, authorization, resolve) {
      this.uploads = uploads;
      this.resolve = resolve;
      this.file = file;
      this.options = options;
      this.headers = { "Tus-Resumable": "1.0.0", ...authorization };
      this.stored = 0;
      this.whole = false;
      const what = JSON.stringify([uploads, file.name, file.size, file.lastModified, options]);
      // The same file once more, while it is being sent, is an upload of its own.
      this.name = Unfinished.running.has(what) ? null : what;
      Unfinished.running.add(what);
      this.url = this.name === null ? null : Unfinished.get(this.name);
    }

    // What passes is waited for, and then asked how far the upload is. Nothing else ends it but an error that stays.
    async send(onProgress, waiting) {
      let tries = 0;
      const moved = () => { tries = 0; };
      for (;;) {
        try {
          const record = await this.once(onProgress, waiting.signal, moved);
          this.release();
          return { record };
        } catch (error) {
          if (error instanceof Paused) {
            throw error;
          }
          tries += 1;
          if (this.isGone(error) && tries === 1) {
            this.keep(null);
          } else if (error.passes) {
            await pause(error, tries, waiting);
          } else {
            this.release();
            throw error;
          }
        }
      }
    }

    async once(onProgress, signal, moved) {
      let record = null;
      let offset = 0;
      if (this.url === null) {
        record = await this.create(signal);
      } else {
        const answer = await this.head(signal);
        offset = Number(answer.getResponseHeader("Upload-Offset"));
        record = answer.getResponseHeader("Lfs-Record");
      }
      if (offset > this.stored) {
        this.stored = offset;
        moved();
      }
      onProgress(offset, this.file.size);
      while (record === null) {
        if (offset === this.file.size && offset > 0) {
          throw new Problem("All bytes were sent, but the API names no record yet.");
        }
        const begun = offset;
        const answer = await ask("PATCH", this.url, {
          headers: {
            ...this.headers,
            "Upload-Offset": String(begun),
            "Content-Type": "application/offset+octet-stream",
          },
          body: this.file.slice(begun),
          onProgress: (sent) => {
            this.whole = begun + sent >= this.file.size;
            onProgress(begun + sent, this.file.size);
          },
          signal,
        });
        record = answer.getResponseHeader("Lfs-Record");
        offset = Number(answer.getResponseHeader("Upload-Offset"));
        moved();
      }
      return record;
    }

    async head(signal) {
      try {
        return await ask("HEAD", this.url, { headers: this.headers, signal });
      } catch (error) {
        if (error.status === 409) {
          // The answer to HEAD has no body that says it.
          error.message = "Whether the file was published is not known. Look into the topic before you send it again.";
        }
        throw error;
      }
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
      this.keep(this.resolve(answer.getResponseHeader("Location")).href);
      return answer.getResponseHeader("Lfs-Record");
    }

    // Whether to begin anew. What was sent whole may have been published, and is not sent again by itself.
    isGone(error) {
      return this.url !== null && !this.whole && (error.status === 404 || error.status === 410);
    }

    // Where the upload is; null where there is none any more.
    keep(url) {
      this.url = url;
      if (this.name !== null && url !== null) {
        Unfinished.set(this.name, url);
      } else if (this.name !== null) {
        Unfinished.remove(this.name);
      }
    }

    // It is over, one way or the other.
    release() {
      if (this.name !== null) {
        Unfinished.remove(this.name);
        Unfinished.running.delete(this.name);
      }
    }

    // Tell the API that the rest will not come.
    async forget() {
      this.release();
      if (this.url !== null) {
        await ask("DELETE", this.url, { headers: this.headers });
      }
    }
  }

  // A file sent as one form. A stop is an end; what surely published nothing is sent again.
  class ByPost {
    canPause = false;
    constructor(records, file, options, authorization) {
      this.records = records;
      this.file = file;
      this.options = options;
      this.headers = authorization;
    }

    async send(onProgress, waiting) {
      for (let tries = 1; ; tries += 1) {
        try {
          return await this.once(onProgress, waiting.signal);
        } catch (error) {
          const published = error.status === 0 ? error.whole : !["stalled", "draining", "too-many-uploads",
            "store-unavailable", "broker-unavailable"].includes(error.told);
          if (error instanceof Paused || published || tries === FIRST_TRIES) {
            throw error.status === 0 && published
              ? new Problem("The connection was lost after the last byte. Look into the topic whether the file is there.")
              : error;
          }
          await pause(error, tries, waiting);
        }
      }
    }

    async once(onProgress, signal) {
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

  return { hasTus, ByTus, ByPost };
})();
