/** Blobs by an S3 client of the AWS SDK (@aws-sdk/client-s3), with its own region, endpoint, credentials and middleware. */

import { GetObjectCommand, type GetObjectCommandOutput, type S3Client } from "@aws-sdk/client-s3";
import type { BlobSource } from "./sources.js";
import { streamOf } from "./streams.js";

/**
 * Reads from S3 by a client of the AWS SDK. The reader tries again by itself, where the blob stopped: a client with
 * `maxAttempts: 1` does not multiply the tries.
 */
export function s3ClientSource(client: S3Client): BlobSource {
  return {
    async get({ envelope, headers, signal }) {
      const command = new GetObjectCommand({
        Bucket: envelope.s3_bucket,
        Key: envelope.s3_key,
        ...(headers.range === undefined ? {} : { Range: headers.range }),
        ...(headers["if-match"] === undefined ? {} : { IfMatch: headers["if-match"] }),
      });
      try {
        return responseOf(await client.send(command, { abortSignal: signal }));
      } catch (error) {
        return refusalOf(error);
      }
    },
  };
}

function responseOf(output: GetObjectCommandOutput): Response {
  const { Body, ContentLength, ETag, $metadata } = output;
  const headers = new Headers();
  if (ContentLength !== undefined) {
    headers.set("content-length", String(ContentLength));
  }
  if (ETag !== undefined) {
    headers.set("etag", ETag);
  }
  const body = Body === undefined || Symbol.asyncIterator in Body ? Body : Body.transformToWebStream();
  return new Response(body === undefined || body instanceof ReadableStream ? body : streamOf(body), {
    status: $metadata.httpStatusCode ?? 200,
    headers,
  });
}

/** What S3 has refused, as S3 says it over HTTP; what never reached it is thrown, to be tried again. */
function refusalOf(error: unknown): Response {
  if (!(error instanceof Error)) {
    throw error;
  }
  const { name } = error;
  if (name === "CredentialsProviderError") {
    return new Response(`<Error><Code>${name}</Code></Error>`, { status: 403 });
  }
  const status = "$metadata" in error ? (error.$metadata as { httpStatusCode?: number }).httpStatusCode : undefined;
  if (status === undefined || status < 300) {
    throw error;
  }
  return new Response(status === 304 ? null : `<Error><Code>${name}</Code></Error>`, { status });
}
