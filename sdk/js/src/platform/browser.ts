import { md5 } from "@noble/hashes/legacy.js";
import { sha256 } from "@noble/hashes/sha2.js";
import { bytesToHex } from "@noble/hashes/utils.js";
import { crc32 } from "../crc32.js";
import { SettingError, StoreRefusedError } from "../errors.js";
import type { Bytes } from "./bytes-browser.js";
import type { ChecksumMaker, Credentials, OpenedFile } from "./types.js";

function hash(algorithm: typeof sha256 | typeof md5): ChecksumMaker {
  return () => {
    const state = algorithm.create();
    return { update: (data) => void state.update(data), hexDigest: () => bytesToHex(state.digest()) };
  };
}

/** WebCrypto hashes whole buffers only, so that streams are hashed by @noble/hashes. */
export const checksumMakers: Readonly<Record<"sha256" | "md5" | "crc32", ChecksumMaker>> = {
  sha256: hash(sha256),
  md5: hash(md5),
  crc32: () => {
    let value = 0;
    return {
      update: (data) => {
        value = crc32(data, value);
      },
      hexDigest: () => value.toString(16).padStart(8, "0"),
    };
  },
};

/** Browsers stream bodies over HTTP/2 only. */
export const streamsBodies = false;

export function environment(): Readonly<Record<string, string | undefined>> {
  return {};
}

export function usualCredentials(): () => Promise<Credentials> {
  return () => Promise.reject(new StoreRefusedError("a browser has no S3 credentials of its own: give `credentials`"));
}

export function openFile(_path: string): Promise<OpenedFile> {
  return Promise.reject(new TypeError("a browser opens no files by path: give a File or a Blob"));
}

export function allocateBytes(size: number): Bytes {
  return new Uint8Array(size);
}

export function bytesOver(buffer: ArrayBuffer): Bytes {
  return new Uint8Array(buffer);
}

export function trustingFetch(option: string, _file: string): typeof globalThis.fetch {
  throw new SettingError(`${option} cannot be used in a browser, which trusts what its user trusts`);
}
