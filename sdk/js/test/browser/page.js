/** Runs in a browser: reads the shared vectors and more from the store, and gives a list of what is wrong. */

import { checksumOf, LfsReader, presignedSource, proxySource, upload } from "lfsproxy-client";

const failures = [];
let checks = 0;

function equal(name, found, wanted) {
  checks += 1;
  if (JSON.stringify(found) !== JSON.stringify(wanted)) {
    failures.push(`${name}: ${JSON.stringify(found)}, not ${JSON.stringify(wanted)}`);
  }
}

const utf8 = (text) => new TextEncoder().encode(text);

function recordValue(vector) {
  if (vector.value_base64 !== undefined) {
    return Uint8Array.from(atob(vector.value_base64), (letter) => letter.charCodeAt(0));
  }
  return vector.value === null ? null : utf8(vector.value);
}

async function outcomeOf(read) {
  try {
    const bytes = await read();
    return bytes === null ? null : Array.from(bytes);
  } catch (error) {
    return error.code ?? String(error);
  }
}

/** Not by `new Response(body)`: it hides why a stream has failed. */
async function whole(body) {
  if (body === null) {
    return null;
  }
  const found = [];
  for (const reader = body.getReader(); ; ) {
    const { done, value } = await reader.read();
    if (done) {
      return found;
    }
    found.push(...value);
  }
}

async function vectors(options, document) {
  const { buckets, prefixes, max_size: maxSize } = document.reader;
  const reader = new LfsReader({ ...options, buckets, prefixes, maxSize });
  for (const [index, vector] of document.vectors.entries()) {
    await fetch(`/vector?${index}`);
    const value = recordValue(vector);
    const bytes = vector.outcome === "blob" ? utf8(vector.blob) : value;
    const wanted =
      vector.outcome === "blob" || vector.outcome === "ordinary" ? bytes && Array.from(bytes) : vector.outcome;
    equal(vector.name, await outcomeOf(async () => (await reader.resolve(value)).value), wanted);
    equal(`${vector.name}, streamed`, await outcomeOf(async () => whole((await reader.open(value)).body)), wanted);
  }
  await fetch("/vector?none");
}

async function checksums(document) {
  for (const vector of document.vectors.filter(({ base64 }) => base64 !== undefined)) {
    const bytes = Uint8Array.from(atob(vector.base64), (letter) => letter.charCodeAt(0));
    for (const algorithm of ["sha256", "crc32", "md5"]) {
      equal(`${algorithm} of ${vector.name}`, await checksumOf(bytes, algorithm), vector[algorithm]);
    }
  }
}

async function run() {
  const plan = await (await fetch("/plan")).json();
  await vectors(plan.options, plan.envelopes);
  await checksums(plan.checksums);

  const dropped = utf8(plan.dropped.envelope);
  const resumed = [];
  const { body } = await new LfsReader(plan.options).open(dropped);
  for (const reader = body.getReader(); ; ) {
    const { done, value: chunk } = await reader.read();
    if (done) {
      break;
    }
    if (resumed.length === 0) {
      await fetch("/cut"); // drops the connection of which a chunk was read
    }
    resumed.push(chunk);
  }
  const value = new Uint8Array(await new Blob(resumed).arrayBuffer());
  equal("a dropped connection is taken up", await checksumOf(value, "sha256"), plan.dropped.sha256);

  const presigned = presignedSource((envelope) => `${plan.options.endpoint}/kafscale/${envelope.s3_key}`);
  const bySource = await new LfsReader({ bucket: "kafscale", source: presigned }).resolve(dropped);
  equal("a presigned URL", bySource.value.length, value.length);

  const proxy = proxySource({ url: location.origin, apiKey: "key" });
  const record = { topic: "t", partition: 0, offset: "7" };
  const byProxy = await new LfsReader({ source: proxy }).resolve(dropped, { record });
  equal("the proxy's route", byProxy.value.length, value.length);

  const batch = [];
  const messages = [{ value: dropped }, { value: utf8("ordinary") }, { value: null }];
  for await (const record of new LfsReader(plan.options).resolveBatch(messages)) {
    batch.push(record.value?.constructor.name, record.value?.length);
  }
  equal("a batch", batch, ["Uint8Array", value.length, "Uint8Array", 8, undefined, undefined]);

  const aborted = [];
  const control = new AbortController();
  const watched = new LfsReader({ ...plan.options, onResolve: ({ result }) => aborted.push(result) });
  await watched.open(dropped, { signal: control.signal });
  control.abort();
  equal("a stream that is aborted unread", aborted, ["cancelled"]);
  const progress = [];
  await watched.resolve(dropped, { onProgress: (received) => progress.push(received) });
  equal("progress", progress.at(-1), value.length);

  const cancelled = [];
  const reader = new LfsReader({ ...plan.options, onResolve: ({ result }) => cancelled.push(result) });
  await (await reader.open(dropped)).body.cancel();
  equal("a cancelled stream", cancelled, ["closed"]);

  const file = new File([value], "from a browser.bin", { type: "image/png" });
  const sent = [];
  const options = { key: "k", checksum: plan.dropped.sha256, onProgress: (bytes) => sent.push(bytes) };
  const uploaded = await upload(location.origin, "t", file, options);
  equal("its progress", sent, [file.size]);
  equal("an upload", uploaded.sha256, plan.dropped.sha256);
  equal(
    "a file of certificates",
    await outcomeOf(async () => new LfsReader({ bucket: "b", caFile: "ca.pem" }).resolve(null)),
    "invalid-setting",
  );
  equal("a missing environment", await outcomeOf(() => LfsReader.fromEnvironment().resolve(dropped)), "store-refused");
}

try {
  await run();
} catch (error) {
  failures.push(`${error}\n${error.stack}`);
}
await fetch("/result", { method: "POST", body: JSON.stringify({ failures, checks }) });
