// Bytes and the ways they are written. No DOM, no network: shared by the console and the evidence pack.

export const hexOf = (bytes) => Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");

export function bytesOfHex(text) {
  if (typeof text !== "string" || !/^(?:[0-9a-f]{2})*$/.test(text)) throw new Error("not lower-case hexadecimal");
  return Uint8Array.from(text.match(/../g) ?? [], (pair) => parseInt(pair, 16));
}

/** Exactly one text stands for these bytes: no white space, no stray bits at the end. */
export function bytesOfBase64(text) {
  if (typeof text !== "string" || text.length % 4 !== 0) throw new Error("not base64");
  const plain = atob(text);
  const missing = text.endsWith("==") ? 2 : Number(text.endsWith("="));
  if (plain.length !== (text.length / 4) * 3 - missing || (text && btoa(plain.slice(-3 + missing)) !== text.slice(-4))) throw new Error("not base64 in its one form");
  const bytes = new Uint8Array(plain.length);
  for (let at = 0; at < plain.length; at += 1) bytes[at] = plain.charCodeAt(at);
  return bytes;
}

export const bytesOfText = (text) => new TextEncoder().encode(text);

export const textOfBytes = (bytes) => new TextDecoder("utf-8", { fatal: true }).decode(bytes);

export function joined(...parts) {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

export const sameBytes = (one, other) => one.length === other.length && one.every((byte, at) => byte === other[at]);

export const shortHex = (text) => (text.length > 14 ? `${text.slice(0, 8)}…${text.slice(-4)}` : text);
