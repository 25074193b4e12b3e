/** Where an object of a bucket is: the URL that names it, byte for byte. */

/** A store and how its buckets are reached. */
export interface S3Location {
  /** A URL such as http://localhost:9000; undefined or empty: AWS. */
  readonly endpoint?: string | undefined;
  readonly region?: string | undefined;
  /** Put the bucket in the path, not in the host name. */
  readonly pathStyle?: boolean | undefined;
}

export const DEFAULT_REGION = "us-east-1";

/**
 * The URL of an object. The key's bytes are kept: everything but letters, digits, `-_.~` and `/` is
 * percent-encoded. A key with `.` or `..` between slashes cannot be named by a URL and is refused earlier.
 */
export function objectUrl(location: S3Location, bucket: string, key: string): string {
  const region = location.region || DEFAULT_REGION;
  const base = new URL(location.endpoint || `https://s3.${region}.${awsSuffix(region)}`);
  const path = key.split("/").map(encoded).join("/");
  if (location.pathStyle || !fitsHost(bucket, base)) {
    return `${base.protocol}//${base.host}/${encoded(bucket)}/${path}`;
  }
  return `${base.protocol}//${bucket}.${base.host}/${path}`;
}

function encoded(part: string): string {
  return encodeURIComponent(part).replace(
    /[!'()*]/g,
    (letter) => `%${letter.charCodeAt(0).toString(16).toUpperCase()}`,
  );
}

function awsSuffix(region: string): string {
  return region.startsWith("cn-") ? "amazonaws.com.cn" : "amazonaws.com";
}

/** Not into the host: what is no host name, dots over https (no certificate matches), and beside an IP address. */
function fitsHost(bucket: string, base: URL): boolean {
  const isName = /^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/.test(bucket) && !bucket.includes("..");
  const isAddress = base.hostname.startsWith("[") || /^[\d.]+$/.test(base.hostname);
  return isName && !isAddress && !(base.protocol === "https:" && bucket.includes("."));
}
