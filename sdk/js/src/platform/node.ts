import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { stat } from "node:fs/promises";
import { basename } from "node:path";
import { Readable } from "node:stream";
import * as zlib from "node:zlib";
import { crc32 as ownCrc32 } from "../crc32.js";
import { StoreRefusedError } from "../errors.js";
import type { Bytes } from "./bytes.js";
import type { ChecksumMaker, Credentials, OpenedFile } from "./types.js";

export { trustingFetch } from "./trusting.js";

/** Node.js 20.15 and 22.2 brought it. */
const crc32 = zlib.crc32 ?? ownCrc32;

function hash(algorithm: string): ChecksumMaker {
  return () => {
    const state = createHash(algorithm);
    return { update: (data) => void state.update(data), hexDigest: () => state.digest("hex") };
  };
}

export const checksumMakers: Readonly<Record<"sha256" | "md5" | "crc32", ChecksumMaker>> = {
  sha256: hash("sha256"),
  md5: hash("md5"),
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

/** Whether a body of unknown length may be streamed to any server, and Content-Length may be set. */
export const streamsBodies = true;

export function environment(): Readonly<Record<string, string | undefined>> {
  return process.env;
}

const HELP =
  "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, give `credentials`, or install " +
  "@aws-sdk/credential-providers for profiles, web identity and instance roles";

/** The optional package is not known to bundlers and to the types: it may be absent. */
const CHAIN: string = "@aws-sdk/credential-providers";

type Chain = { fromNodeProviderChain(): () => Promise<Credentials> };

/** Credentials from the environment, else by the AWS SDK's chain where that package is installed. */
export function usualCredentials(): () => Promise<Credentials> {
  let chain: Promise<() => Promise<Credentials>> | undefined;
  return async () => {
    const { AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN } = process.env;
    if (AWS_ACCESS_KEY_ID && AWS_SECRET_ACCESS_KEY) {
      return {
        accessKeyId: AWS_ACCESS_KEY_ID,
        secretAccessKey: AWS_SECRET_ACCESS_KEY,
        sessionToken: AWS_SESSION_TOKEN || undefined,
      };
    }
    try {
      chain ??= import(/* webpackIgnore: true */ /* @vite-ignore */ CHAIN).then((module: Chain) =>
        module.fromNodeProviderChain(),
      );
      return await (await chain)();
    } catch (error) {
      chain = undefined;
      throw new StoreRefusedError(`no S3 credentials were found: ${HELP}`, { cause: error });
    }
  };
}

/** Opens when its stream is first read. Rejects as `fs.stat` does. */
export async function openFile(path: string): Promise<OpenedFile> {
  const found = await stat(path);
  return {
    name: basename(path),
    size: found.isFile() ? found.size : undefined,
    stream: () => Readable.toWeb(createReadStream(path, { highWaterMark: 256 * 1024 })) as ReadableStream<Uint8Array>,
  };
}

/** Not zeroed: it is handed out only when every byte of it was written. */
export function allocateBytes(size: number): Bytes {
  return Buffer.allocUnsafeSlow(size);
}

/** Without a copy. */
export function bytesOver(buffer: ArrayBuffer): Bytes {
  return Buffer.from(buffer);
}
