/** Requests to a store whose certificate is signed by an authority of one's own: Node's own `fetch` knows no such option. */

import { X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import type { IncomingMessage } from "node:http";
import { Agent, get } from "node:https";
import { SettingError } from "../errors.js";
import { streamOf } from "../streams.js";

const CERTIFICATE = /-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----/g;
/** Statuses whose Response must have no body. */
const WITHOUT_BODY = new Set([204, 205, 304]);

/**
 * A `fetch` for GETs over https that trusts the certificates of a PEM file, and no others. Follows no redirect and
 * decodes no Content-Encoding. Throws SettingError, which names the option, for a file that cannot be used.
 */
export function trustingFetch(option: string, file: string): typeof globalThis.fetch {
  const agent = new Agent({ ca: certificates(option, file), keepAlive: true });
  return (url, { headers, signal } = {}) =>
    new Promise((resolve, reject) => {
      const sent = { agent, headers: Object.fromEntries(new Headers(headers)), ...(signal ? { signal } : {}) };
      get(new URL(String(url)), sent, (answer) => resolve(responseOf(answer))).on("error", reject);
    });
}

function responseOf(answer: IncomingMessage): Response {
  const status = answer.statusCode ?? 0;
  const headers = new Headers();
  for (const [name, values] of Object.entries(answer.headersDistinct)) {
    for (const value of values ?? []) {
      headers.append(name, value);
    }
  }
  if (WITHOUT_BODY.has(status)) {
    answer.resume();
    return new Response(null, { status, headers });
  }
  return new Response(streamOf(answer), { status, headers });
}

function certificates(option: string, file: string): string[] {
  try {
    const found = readFileSync(file, "latin1").match(CERTIFICATE) ?? [];
    if (found.length === 0) {
      throw new Error("there is none in it");
    }
    return found.map((pem) => new X509Certificate(pem).toString());
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new SettingError(`${option} is ${JSON.stringify(file)}: a file of PEM certificates is needed (${why})`);
  }
}
