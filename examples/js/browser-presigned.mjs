import { LfsReader, presignedSource } from "lfsproxy-client";

/** Your server answers with a presigned URL for a GET of this key, as text. */
async function presign(envelope) {
  const answer = await fetch(`https://my-server.example/presign?key=${encodeURIComponent(envelope.s3_key)}`);
  if (!answer.ok) {
    throw new Error(`no URL for ${envelope.s3_key}: ${answer.status}`);
  }
  return answer.text();
}

const reader = new LfsReader({ bucket: "kafscale", source: presignedSource(presign) });

/** Gives the bytes of a record whose value your server has sent to the page. */
export async function bytesOf(value) {
  const resolved = await reader.resolve(value);
  return resolved.value;
}
