/** What an HTTP answer that is no success says. */

/** Reads an error's body up to this size. */
const ERROR_BYTES = 16 * 1024;

/** An error's body in short. */
export interface Refusal {
  /** S3's <Code>, such as NoSuchKey. */
  readonly s3Code: string;
  /** The last part of a problem's type (RFC 9457), such as blob-missing. */
  readonly problemName: string;
  readonly problem: Readonly<Record<string, unknown>> | undefined;
}

/** Reads the answer's body; the connection is let go of. Rejects where the body cannot be read. */
export async function readRefusal(response: Response): Promise<Refusal> {
  const text = await firstText(response);
  const s3Code = /<Code>([^<]*)<\/Code>/.exec(text)?.[1] ?? "";
  if (!(response.headers.get("content-type") ?? "").includes("application/problem+json")) {
    return { s3Code, problemName: "", problem: undefined };
  }
  const problem = parsedObject(text);
  const type = problem?.type;
  return { s3Code, problemName: typeof type === "string" ? (type.split("/").at(-1) ?? "") : "", problem };
}

async function firstText(response: Response): Promise<string> {
  const reader = response.body?.getReader();
  if (reader === undefined) {
    return "";
  }
  const decoder = new TextDecoder();
  let text = "";
  while (text.length < ERROR_BYTES) {
    const { done, value } = await reader.read();
    if (done) {
      return text + decoder.decode();
    }
    text += decoder.decode(value, { stream: true });
  }
  await reader.cancel();
  return text;
}

function parsedObject(text: string): Readonly<Record<string, unknown>> | undefined {
  try {
    const found: unknown = JSON.parse(text);
    return typeof found === "object" && found !== null ? (found as Record<string, unknown>) : undefined;
  } catch (error) {
    if (error instanceof SyntaxError) {
      return undefined;
    }
    throw error;
  }
}
