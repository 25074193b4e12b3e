/** Where the bucket and the credentials come from. */

import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, afterEach, before, test } from "node:test";
import { LfsReader, SettingError } from "lfsproxy-client";
import { CREDENTIALS, envelopeOf, KEY, startStore } from "./fake-store.mjs";

const BODY = Buffer.from("hello");
const before_ = { ...process.env };
let store;
let folder;

before(async () => {
  store = await startStore();
  store.put("kafscale", KEY, BODY);
  store.put("other", KEY, BODY);
  folder = await mkdtemp(join(tmpdir(), "lfsproxy-client-"));
});
after(async () => {
  await store.close();
  await rm(folder, { recursive: true });
});
afterEach(() => {
  process.env = { ...before_ };
});

function onlyThese(variables) {
  process.env = { PATH: before_.PATH, AWS_EC2_METADATA_DISABLED: "true", ...variables };
}

test("the proxy's own variables name the bucket, and the AWS variables the credentials", async () => {
  onlyThese({
    LFS_S3_BUCKET: "other",
    LFS_S3_ENDPOINT: store.endpoint,
    LFS_S3_REGION: "eu-west-1",
    LFS_S3_PATH_STYLE: "True",
    AWS_ACCESS_KEY_ID: "from-environment",
    AWS_SECRET_ACCESS_KEY: "secret",
  });
  const { value } = await LfsReader.fromEnvironment().resolve(envelopeOf(BODY, { s3_bucket: "other" }));
  assert.deepEqual(Buffer.from(value), BODY);
  const { headers, path } = store.requests.at(-1);
  assert.match(headers.authorization, /Credential=from-environment\/\d{8}\/eu-west-1\//);
  assert.equal(path, `/other/${KEY}`);
});

test("options win over variables, and the defaults are the proxy's", async () => {
  onlyThese({ AWS_ACCESS_KEY_ID: "a", AWS_SECRET_ACCESS_KEY: "b", LFS_S3_BUCKET: "other" });
  const reader = LfsReader.fromEnvironment({ bucket: "kafscale", endpoint: store.endpoint, maxSize: 5 });
  assert.deepEqual(Buffer.from((await reader.resolve(envelopeOf(BODY))).value), BODY);
  assert.match(store.requests.at(-1).headers.authorization, /\/us-east-1\//);
});

test("an option that is undefined leaves its variable in force", async () => {
  onlyThese({ AWS_ACCESS_KEY_ID: "a", AWS_SECRET_ACCESS_KEY: "b", LFS_S3_ENDPOINT: store.endpoint });
  const options = { endpoint: undefined, bucket: undefined, region: undefined, pathStyle: undefined };
  const asked = store.requests.length;
  assert.equal((await LfsReader.fromEnvironment(options).resolve(envelopeOf(BODY))).value.toString(), "hello");
  assert.equal(store.requests.length, asked + 1);
});

test("the region is the proxy's, else that of AWS's variables", async () => {
  for (const [variables, region] of [
    [{ LFS_S3_REGION: "eu-west-1", AWS_REGION: "eu-west-2", AWS_DEFAULT_REGION: "eu-west-3" }, "eu-west-1"],
    [{ LFS_S3_REGION: "", AWS_REGION: "eu-west-2", AWS_DEFAULT_REGION: "eu-west-3" }, "eu-west-2"],
    [{ AWS_REGION: "", AWS_DEFAULT_REGION: "eu-west-3" }, "eu-west-3"],
    [{ AWS_DEFAULT_REGION: "" }, "us-east-1"],
  ]) {
    const reader = LfsReader.fromEnvironment({ endpoint: store.endpoint, credentials: CREDENTIALS }, variables);
    await reader.resolve(envelopeOf(BODY));
    assert.ok(store.requests.at(-1).headers.authorization.includes(`/${region}/s3/`), region);
  }
});

test("a variable that cannot be used is named", () => {
  assert.throws(() => LfsReader.fromEnvironment({}, { LFS_S3_PATH_STYLE: "maybe" }), {
    name: SettingError.name,
    message: 'LFS_S3_PATH_STYLE is "maybe": true or false is needed',
  });
  assert.throws(() => LfsReader.fromEnvironment({}, { LFS_S3_ENDPOINT: "minio:9000" }), /LFS_S3_ENDPOINT/);
});

test("without them the AWS SDK's chain is asked: a profile, here", async () => {
  const file = join(folder, "credentials");
  await writeFile(file, "[demo]\naws_access_key_id = from-profile\naws_secret_access_key = secret\n");
  onlyThese({ AWS_PROFILE: "demo", AWS_SHARED_CREDENTIALS_FILE: file, AWS_CONFIG_FILE: join(folder, "none") });
  await LfsReader.fromEnvironment({ endpoint: store.endpoint }).resolve(envelopeOf(BODY));
  assert.match(store.requests.at(-1).headers.authorization, /Credential=from-profile\//);
});

test("no credentials anywhere is said at once, without asking the store", async () => {
  onlyThese({ AWS_SHARED_CREDENTIALS_FILE: join(folder, "none"), AWS_CONFIG_FILE: join(folder, "none") });
  const asked = store.requests.length;
  await assert.rejects(LfsReader.fromEnvironment({ endpoint: store.endpoint }).resolve(envelopeOf(BODY)), {
    code: "store-refused",
    message: /AWS_ACCESS_KEY_ID/,
  });
  assert.equal(store.requests.length, asked);
});

test("without path style the bucket is in the host, except beside an address or with dots over https", async () => {
  const urls = [];
  const fetch = (url) => {
    urls.push(String(url));
    return Promise.resolve(new Response(BODY, { headers: { "content-length": "5" } }));
  };
  const credentials = { accessKeyId: "a", secretAccessKey: "b" };
  for (const [bucket, options] of [
    ["kafscale", { endpoint: "https://s3.example:9000" }],
    ["kafscale", { endpoint: "https://s3.example", pathStyle: true }],
    ["kafscale", { endpoint: "http://[::1]:9000" }],
    ["with.dots", { endpoint: "https://s3.example" }],
    ["with.dots", { endpoint: "http://s3.example" }],
    ["UPPER_case", { endpoint: "http://s3.example" }],
    ["kafscale", { region: "eu-central-1" }],
    ["kafscale", { region: "cn-north-1" }],
  ]) {
    await new LfsReader({ bucket, fetch, credentials, ...options }).resolve(envelopeOf(BODY, { s3_bucket: bucket }));
  }
  assert.deepEqual(
    urls.map((url) => url.slice(0, -KEY.length)),
    [
      "https://kafscale.s3.example:9000/",
      "https://s3.example/kafscale/",
      "http://[::1]:9000/kafscale/",
      "https://s3.example/with.dots/",
      "http://with.dots.s3.example/",
      "http://s3.example/UPPER_case/",
      "https://kafscale.s3.eu-central-1.amazonaws.com/",
      "https://kafscale.s3.cn-north-1.amazonaws.com.cn/",
    ],
  );
});
