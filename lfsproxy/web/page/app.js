// The upload page: files chosen or dropped become uploads, each with its progress, its buttons and its result.
"use strict";

(() => {
  const byId = (id) => document.getElementById(id);
  const topic = byId("topic");
  const api = byId("api");
  const apiKey = byId("api-key");
  const drop = byId("drop");
  const ORDER = ["lfs_version", "s3_bucket", "s3_key", "content_type", "content_length", "checksum_algo", "checksum"];

  const asked = new URL(location.href).searchParams;
  api.value = asked.get("api") || "";
  topic.value = asked.get("topic") || topic.value;
  if (api.value) {
    document.querySelector("details").open = true;
  }

  // Where the API is, with a slash at the end: what was typed, or the folder that this page is in.
  function base() {
    const typed = api.value.trim();
    const url = new URL(typed ? `${typed.replace(/\/+$/, "")}/` : ".", typed ? undefined : document.baseURI);
    if (url.protocol !== "http:" && url.protocol !== "https:") {
      throw new TypeError("not http");
    }
    url.search = url.hash = "";
    return url;
  }

  // A path as the API says it, /v1/..., with or without the base path, as a URL of that API.
  function atBase(root, path) {
    const url = new URL(path, root);
    const known = url.pathname.startsWith(root.pathname) || url.origin !== root.origin;
    return known ? url : new URL(path.replace(/^\/+/, ""), root);
  }

  function say(text) {
    byId("said").textContent = text;
  }

  function complain(text, field) {
    byId("complaint").textContent = text;
    for (const one of [topic, api]) {
      one.removeAttribute("aria-invalid");
    }
    if (field) {
      field.setAttribute("aria-invalid", "true");
      field.closest("details")?.setAttribute("open", "");
      field.focus();
    }
  }

  function begin(files) {
    if (!topic.checkValidity()) {
      complain("The topic needs 1 to 249 letters, digits, dots, underscores or hyphens.", topic);
      return;
    }
    let root;
    try {
      root = base();
    } catch {
      complain("The address of the API is not one: http://host:8080 is needed.", api);
      return;
    }
    complain("");
    const key = byId("key").value;
    const authorization = apiKey.value ? { Authorization: `Bearer ${apiKey.value}` } : {};
    for (const file of files) {
      new Upload(root, topic.value, file, key ? { key } : {}, authorization).start();
    }
  }

  class Upload {
    constructor(root, topicName, file, options, authorization) {
      Object.assign(this, { root, file, options, authorization });
      this.topicUrl = new URL(`v1/topics/${encodeURIComponent(topicName)}/`, root).href;
      this.item = byId("upload").content.cloneNode(true).firstElementChild;
      this.find("h3").textContent = file.name;
      this.find("progress").setAttribute("aria-label", `Progress of ${file.name}`);
      for (const name of ["pause", "resume", "cancel"]) {
        this.find(`.${name}`).setAttribute("aria-label", `${this.find(`.${name}`).textContent} ${file.name}`);
        this.find(`.${name}`).addEventListener("click", () => this[name]());
      }
      byId("none").hidden = true;
      byId("uploads").prepend(this.item);
    }

    find(selector) {
      return this.item.querySelector(selector);
    }

    start() {
      this.state("Waiting", `${this.file.name}: upload begun`);
      this.run();
    }

    async run() {
      this.stop = new AbortController();
      const waiting = { signal: this.stop.signal, onWait: (error, seconds) => this.waits(error, seconds) };
      this.item.classList.remove("failed");
      this.find(".line").hidden = false;
      this.buttons(["cancel"]);
      try {
        this.sender ??= await this.way(waiting);
        this.buttons(this.sender.canPause ? ["pause", "cancel"] : ["cancel"]);
        this.state("Uploading");
        const done = await this.sender.send((sent, total) => this.progress(sent, total), waiting);
        await this.show(done);
      } catch (error) {
        this.ended(error);
      }
    }

    // How the API at hand takes files.
    async way(waiting) {
      const uploads = `${this.topicUrl}uploads`;
      return (await Sending.hasTus(uploads, waiting))
        ? new Sending.ByTus(uploads, this.file, this.options, this.authorization, (path) => atBase(this.root, path))
        : new Sending.ByPost(`${this.topicUrl}records`, this.file, this.options, this.authorization);
    }

    // Something passes: it is tried again.
    waits(error, seconds) {
      let text = `${error.message.replace(/\.?$/, ".")} Trying again in ${seconds} s.`;
      if (!navigator.onLine) {
        text = "There is no network. The upload goes on when it is back.";
      } else if (error.status === 0) {
        text = `The connection was lost. Trying again in ${seconds} s.`;
      } else if (error.status === 423) {
        text = `The API still works on what it got before. Trying again in ${seconds} s.`;
      }
      this.state(text, this.waited ? "" : `${this.file.name}: ${text}`);
      this.waited = true;
    }

    ended(error) {
      if (this.cancelled) {
        this.buttons([]);
        this.state("Cancelled", `${this.file.name}: cancelled`);
      } else if (error instanceof Requests.Paused) {
        this.buttons(["resume", "cancel"]);
        this.state("Paused", `${this.file.name}: paused`);
      } else {
        // What was sent of a refused file says nothing any more.
        this.find(".line").hidden = true;
        this.item.classList.add("failed");
        this.buttons(error.passes ? ["resume", "cancel"] : []);
        this.state(error.message, `${this.file.name}: ${error.message}`);
      }
    }

    pause() {
      this.stop.abort();
    }

    resume() {
      this.run();
    }

    cancel() {
      this.cancelled = true;
      const waits = !this.find(".resume").hidden;
      this.stop?.abort();
      this.sender?.forget().catch(() => {});
      if (waits || !this.stop) {
        this.ended(null);
      }
    }

    progress(sent, total) {
      if (this.waited) {
        this.waited = false;
        this.state("Uploading", `${this.file.name}: goes on`);
      }
      const percent = total ? Math.floor((sent / total) * 100) : 100;
      this.find("progress").value = percent;
      this.find(".percent").textContent = `${percent} %`;
      if (percent === 100) {
        this.state("Sent; S3 and Kafka are to confirm");
      }
    }

    state(text, aloud) {
      this.find(".state").textContent = text;
      if (aloud) {
        say(aloud);
      }
    }

    // Which buttons there are. The focus stays with them, or goes to the next thing there is.
    buttons(names) {
      const focused = document.activeElement;
      const had = focused.tagName === "BUTTON" && this.item.contains(focused);
      for (const name of ["pause", "resume", "cancel"]) {
        this.find(`.${name}`).hidden = !names.includes(name);
      }
      // By now the browser may have taken the focus from a button that is gone.
      if (had && focused.hidden) {
        const next = this.find(names.length ? `.${names[0]}` : "h3");
        next.tabIndex = names.length ? 0 : -1;
        next.focus();
      }
    }

    async show({ record, envelope }) {
      const url = atBase(this.root, record);
      this.progress(1, 1);
      this.buttons([]);
      const told = envelope ? JSON.stringify(envelope, ORDER, 2) : await this.envelope(url);
      const link = this.find(".download");
      link.href = url.href;
      link.download = this.file.name;
      link.setAttribute("aria-label", `Download ${this.file.name}`);
      if (this.authorization.Authorization) {
        link.addEventListener("click", (event) => this.fetchWithKey(event, url));
      }
      this.find(".where").textContent = record;
      this.find(".envelope").textContent = told;
      this.find(".envelope").setAttribute("aria-label", `Envelope of ${this.file.name}`);
      this.find(".result").hidden = false;
      this.state("Published", `${this.file.name}: published`);
    }

    // The envelope as text, or why it is not there: the file is published all the same.
    async envelope(url) {
      for (let tries = 1; ; tries += 1) {
        try {
          const answer = await Requests.ask("GET", `${url.href}/envelope`, { headers: this.authorization });
          return JSON.stringify(JSON.parse(answer.responseText), ORDER, 2);
        } catch (error) {
          if (!error.passes || tries === 3) {
            return `The file is published, but its envelope could not be fetched. ${error.message}`;
          }
          await Requests.pause(error, tries, { signal: this.stop.signal, onWait: () => {} });
        }
      }
    }

    // A link cannot carry the key: fetch the bytes with it, and hand them over.
    async fetchWithKey(event, url) {
      event.preventDefault();
      this.state("Downloading", `${this.file.name}: downloading`);
      try {
        const answer = await fetch(url.href, { headers: this.authorization });
        if (!answer.ok) {
          throw new Error(`The API answers ${answer.status}`);
        }
        const link = document.createElement("a");
        link.href = URL.createObjectURL(await answer.blob());
        link.download = this.file.name;
        link.click();
        setTimeout(() => URL.revokeObjectURL(link.href), 60000);
        this.state("Published", `${this.file.name}: downloaded`);
      } catch (error) {
        this.state(`Not downloaded: ${error.message}`, `${this.file.name}: not downloaded`);
      }
    }
  }

  byId("options").addEventListener("submit", (event) => event.preventDefault());
  byId("files").addEventListener("change", (event) => {
    begin([...event.target.files]);
    event.target.value = "";
  });
  for (const name of ["dragover", "drop"]) {
    // Dropped beside the box, a file would replace the page and end the uploads.
    window.addEventListener(name, (event) => event.preventDefault());
  }
  drop.addEventListener("dragover", () => drop.classList.add("over"));
  drop.addEventListener("dragleave", () => drop.classList.remove("over"));
  drop.addEventListener("drop", (event) => {
    drop.classList.remove("over");
    begin([...event.dataTransfer.files]);
  });
  window.addEventListener("beforeunload", (event) => {
    if (document.querySelector(".cancel:not([hidden])")?.closest("#uploads")) {
      event.preventDefault();
    }
  });
})();
