// The proof itself: leaf hash, Merkle paths (RFC 6962), signed checkpoints (C2SP signed notes, Ed25519).
// Everything here takes bytes and computes; nothing is fetched, nothing is believed. A failed check throws
// a ProofError whose message says what differs; NoCrypto means this browser cannot compute, which is neither
// proven nor disproven.
import { bytesOfBase64, bytesOfText, hexOf, joined, sameBytes, shortHex } from "./bytes.js";

export class ProofError extends Error {}
export class NoCrypto extends Error {}

export function subtle() {
  if (!globalThis.crypto?.subtle) {
    throw new NoCrypto("this page came over plain HTTP, where browsers give no cryptography: open it by https, or on localhost");
  }
  return globalThis.crypto.subtle;
}

export const sha256 = async (bytes) => new Uint8Array(await subtle().digest("SHA-256", bytes));
export const leafHash = (leaf) => sha256(joined(Uint8Array.of(0), leaf));
export const nodeHash = (left, right) => sha256(joined(Uint8Array.of(1), left, right));

const half = (n) => Math.floor(n / 2);
const odd = (n) => n % 2 === 1;

function isPowerOfTwo(n) {
  let rest = n;
  while (rest > 1 && rest % 2 === 0) rest /= 2;
  return rest === 1;
}

/** Walks from a leaf to the root it leads to; the caller compares that root with a signed one. */
export async function rootFromPath({ leaf, index, size, hashes }) {
  if (!Number.isSafeInteger(index) || !Number.isSafeInteger(size) || index < 0 || index >= size) {
    throw new ProofError(`index ${index} does not lie in a trail of ${size} events`);
  }
  let node = leaf;
  let at = index;
  let last = size - 1;
  for (const hash of hashes) {
    if (last === 0) throw new ProofError("the path is longer than a trail of this size has");
    if (odd(at) || at === last) {
      node = await nodeHash(hash, node);
      while (!odd(at) && at !== 0) { at = half(at); last = half(last); }
    } else {
      node = await nodeHash(node, hash);
    }
    at = half(at);
    last = half(last);
  }
  if (last !== 0) throw new ProofError("the path is shorter than a trail of this size has");
  return node;
}

/** That the trail of `from` events is the beginning of the trail of `to` events. */
export async function checkGrowth({ from, fromRoot, to, toRoot, hashes }) {
  if (from > to) throw new ProofError(`the trail had ${from} events and now has ${to}: events were taken away`);
  if (from === to) {
    if (!sameBytes(fromRoot, toRoot)) throw new ProofError(`two different trails of ${to} events: the trail was forked`);
    return;
  }
  if (from === 0) return;
  const path = isPowerOfTwo(from) ? [fromRoot, ...hashes] : [...hashes];
  if (path.length === 0) throw new ProofError("the trail's earlier state is not part of it: no path was given");
  let at = from - 1;
  let last = to - 1;
  while (odd(at)) { at = half(at); last = half(last); }
  let [older] = path;
  let newer = older;
  for (const hash of path.slice(1)) {
    if (last === 0) throw new ProofError("the path between the two checkpoints is too long");
    if (odd(at) || at === last) {
      older = await nodeHash(hash, older);
      newer = await nodeHash(hash, newer);
      while (!odd(at) && at !== 0) { at = half(at); last = half(last); }
    } else {
      newer = await nodeHash(newer, hash);
    }
    at = half(at);
    last = half(last);
  }
  if (last !== 0 || !sameBytes(older, fromRoot) || !sameBytes(newer, toRoot)) {
    throw new ProofError(`the trail of ${from} events seen before is not the beginning of this one: it was rolled back or forked`);
  }
}

/** `origin`, size and root of a checkpoint, and its signature lines; not yet verified. */
export function readNote(note) {
  const cut = note.lastIndexOf("\n\n");
  if (cut < 0) throw new ProofError("the checkpoint has no signature");
  const body = note.slice(0, cut + 1);
  const [origin, size, root] = body.split("\n");
  if (!/^(0|[1-9][0-9]{0,15})$/.test(size ?? "")) throw new ProofError("the checkpoint's size is not a number");
  let rootBytes;
  try { rootBytes = bytesOfBase64(root ?? ""); } catch { throw new ProofError("the checkpoint's root is not base64"); }
  if (rootBytes.length !== 32) throw new ProofError("the checkpoint's root is not a SHA-256 hash");
  const signatures = [];
  for (const line of note.slice(cut + 2).split("\n").filter((text) => text !== "")) {
    const parts = /^— (\S+) ([A-Za-z0-9+/=]+)$/u.exec(line);
    if (!parts) throw new ProofError("a signature line of the checkpoint cannot be read");
    let bytes;
    try { bytes = bytesOfBase64(parts[2]); } catch { throw new ProofError("a signature of the checkpoint is not base64"); }
    signatures.push({ name: parts[1], id: bytes.subarray(0, 4), signature: bytes.subarray(4) });
  }
  return { origin, size: Number(size), root: rootBytes, body, signatures };
}

/** A verifier key as C2SP writes it: `name+id+base64(1, key)`. Its id must follow from name and key. */
export async function readKey(vkey) {
  const first = vkey.indexOf("+");
  const second = vkey.indexOf("+", first + 1);
  if (first < 1 || second < 0) throw new ProofError("the key is not of the form name+id+key");
  const name = vkey.slice(0, first);
  const id = vkey.slice(first + 1, second);
  let bytes;
  try { bytes = bytesOfBase64(vkey.slice(second + 1)); } catch { throw new ProofError("the key is not base64"); }
  if (bytes.length !== 33 || bytes[0] !== 1) throw new ProofError("the key is not an Ed25519 key");
  const expected = (await sha256(joined(bytesOfText(`${name}\n`), bytes))).subarray(0, 4);
  if (hexOf(expected) !== id) throw new ProofError(`the key's id is ${id}, but its name and bytes give ${hexOf(expected)}: the key was altered`);
  return { name, id: expected, bytes: bytes.subarray(1) };
}

/** Checks the checkpoint's signature by this key; gives what the checkpoint says. */
export async function checkNote(note, vkey) {
  const read = readNote(note);
  const key = await readKey(vkey);
  const line = read.signatures.find((each) => each.name === key.name && sameBytes(each.id, key.id));
  if (!line) throw new ProofError(`the checkpoint is not signed by ${key.name}+${hexOf(key.id)}`);
  const message = bytesOfText(read.body);
  let good;
  try {
    const imported = await subtle().importKey("raw", key.bytes, { name: "Ed25519" }, false, ["verify"]);
    good = await subtle().verify({ name: "Ed25519" }, imported, line.signature, message);
  } catch (error) {
    if (error.name === "DataError" || error.name === "OperationError") throw new ProofError("the key or the signature is not well formed");
    throw new NoCrypto("this browser cannot check Ed25519 signatures: use Chromium 137, Firefox 130, Safari 17 or newer");
  }
  if (!good) throw new ProofError(`the checkpoint's signature does not hold: it, or the key ${key.name}+${hexOf(key.id)}, was altered`);
  return { ...read, key };
}

/** One event under one checkpoint: its leaf, its path, the root it must lead to. */
export async function checkInclusion({ leaf, index, hashes, checkpoint }) {
  const hash = await leafHash(leaf);
  const root = await rootFromPath({ leaf: hash, index, size: checkpoint.size, hashes });
  if (!sameBytes(root, checkpoint.root)) {
    throw new ProofError(`the path from this event leads to root ${shortHex(hexOf(root))}, but ${shortHex(hexOf(checkpoint.root))} is signed: the event or its path was altered`);
  }
  return hash;
}
