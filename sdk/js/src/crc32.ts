/** CRC-32 of IEEE 802.3 (zlib's, reflected polynomial 0xEDB88320), where the runtime has none. */

const TABLE = new Uint32Array(256).map((_, byte) => {
  let value = byte;
  for (let bit = 0; bit < 8; bit += 1) {
    value = value & 1 ? (value >>> 1) ^ 0xedb88320 : value >>> 1;
  }
  return value;
});

/** The CRC of what `value` is the CRC of, followed by `data`. Start with 0. */
export function crc32(data: Uint8Array, value = 0): number {
  let crc = ~value;
  for (const byte of data) {
    crc = (crc >>> 8) ^ (TABLE[(crc ^ byte) & 0xff] as number);
  }
  return ~crc >>> 0;
}
