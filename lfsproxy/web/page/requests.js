// Single requests, what is wrong with one, and how long to wait before the next.
"use strict";

const Requests = (() => {
  const LONGEST_WAIT = 30; // seconds
  const SILENCE = 30; // seconds in which no byte leaves, after which a connection counts as lost
  const SILENCE_OFFLINE = 3; // the same where the browser says that there is no network

  // An error that the API told by problem+json (RFC 9457), or that the network made (status 0).
  // `passes`: it is over sooner or later. `again`: seconds that the API asks to wait.
  // `told`: the last part of the problem's type. `whole`: every byte of the body was given to the network.
  class Problem extends Error {
    constructor(message, { status = 0, told = "", again = 0, whole = false } = {}) {
      super(message);
      Object.assign(this, { status, told, again, whole });
    }

    get passes() {
      // 409 of an upload: the bytes began where the stored ones do not end. 502 and 504 without a type are those
      // of a server between; a 504 of the API itself may become clear.
      return [0, 408, 423, 429, 503, 504].includes(this.status) || (this.status === 502 && !this.told) ||
        ["wrong-offset", "upload-moved"].includes(this.told);
    }
  }
  class Paused extends Error {}

  function problemOf(request, whole) {
    let said = {};
    try {
      said = JSON.parse(request.responseText) || {};
    } catch { /* not JSON: only the status is known */ }
    const title = said.title || `The API answers ${request.status}`;
    const again = /^retry-after: *(\d+)/im.exec(request.getAllResponseHeaders());
    return new Problem(said.detail ? `${title}: ${said.detail}` : title, {
      status: request.status,
      told: String(said.type || "").split("/").pop(),
      again: again ? Number(again[1]) : 0,
      whole,
    });
  }

  // One request by XMLHttpRequest, which tells how much of a body has left. Aborted by `signal`.
  function ask(method, url, { headers = {}, body = null, onProgress = null, signal = null } = {}) {
    return new Promise((resolve, reject) => {
      const request = new XMLHttpRequest();
      let whole = body === null;
      let silent = 0;
      let silence = null;
      const lost = () => reject(new Problem("The API could not be reached.", { whole }));
      request.open(method, url);
      for (const [name, value] of Object.entries(headers)) {
        request.setRequestHeader(name, value);
      }
      if (onProgress) {
        request.upload.addEventListener("progress", (event) => {
          silent = 0;
          onProgress(event.loaded, event.total);
        });
        request.upload.addEventListener("load", () => {
          whole = true;
          clearInterval(silence);
        });
        // A connection that was lost without a word is not told by the browser for a long time.
        silence = setInterval(() => {
          silent += 1;
          if (silent >= (navigator.onLine ? SILENCE : SILENCE_OFFLINE)) {
            lost();
            request.abort();
          }
        }, 1000);
      }
      request.addEventListener("loadend", () => clearInterval(silence));
      request.addEventListener("load", () => {
        if (request.status >= 200 && request.status < 300) {
          resolve(request);
        } else {
          reject(problemOf(request, whole));
        }
      });
      request.addEventListener("error", lost);
      request.addEventListener("abort", () => reject(new Paused()));
      if (signal) {
        if (signal.aborted) {
          clearInterval(silence);
          reject(new Paused());
          return;
        }
        signal.addEventListener("abort", () => request.abort(), { once: true });
      }
      request.send(body);
    });
  }

  // Seconds until try number `tries` after that error: more each time, but no more than the network's return.
  function secondsUntil(error, tries) {
    if (error.status === 423) {
      return Math.min(tries, 5);
    }
    return Math.max(error.again, Math.min(2 ** (tries - 1), LONGEST_WAIT));
  }

  // Wait before the next try; `onWait` is told why and how long. The return of the network ends it.
  function pause(error, tries, { signal, onWait }) {
    // Without a network an API on this machine may still be there.
    const seconds = navigator.onLine ? secondsUntil(error, tries) : LONGEST_WAIT;
    onWait(error, seconds);
    return new Promise((resolve, reject) => {
      const ended = new AbortController();
      const end = (settle) => {
        ended.abort();
        clearTimeout(timer);
        settle();
      };
      const timer = setTimeout(() => end(resolve), seconds * 1000 * (0.8 + 0.4 * Math.random()));
      addEventListener("online", () => end(resolve), { signal: ended.signal });
      const stop = () => end(() => reject(new Paused()));
      signal.addEventListener("abort", stop, { signal: ended.signal });
      if (signal.aborted) {
        stop();
      }
    });
  }

  return { ask, pause, Paused, Problem };
})();
