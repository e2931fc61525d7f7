// The checks of an evidence pack, one after the other, each with its own verdict. Nothing outside the file is
// asked; what the page shows of the session comes from bytes that were checked.
import { bytesOfBase64, bytesOfHex, hexOf, shortHex } from "../bytes.js";
import { checkInclusion, checkNote, NoCrypto, ProofError, readKey, readNote, sha256 } from "../proof.js";
import { checkRecording, partsOf, readLeaf } from "../session-proof.js";

const MEMBERS = ["checkpoint", "events", "format", "recording", "session", "size", "vkey"];

/** Reads the block; anything that is not exactly a pack is refused. */
export function readPack(text) {
  let pack;
  try { pack = JSON.parse(text); } catch { throw new ProofError("the data in this file is not JSON any more"); }
  if (pack?.format !== "meshtrail-pack-1") throw new ProofError(`this is not a pack of a form known here: ${JSON.stringify(pack?.format ?? null)}`);
  const found = Object.keys(pack).sort();
  if (found.join() !== MEMBERS.join()) throw new ProofError(`the pack's members are ${found.join(", ")}; they must be ${MEMBERS.join(", ")}`);
  if (!Array.isArray(pack.events) || pack.events.length === 0) throw new ProofError("the pack holds no events");
  return pack;
}

export function readPackEvents(pack) {
  return pack.events.map((each, at) => {
    try {
      if (Object.keys(each).sort().join() !== "hashes,index,leaf") throw new Error("its members are not index, leaf and hashes");
      const leaf = bytesOfBase64(each.leaf);
      return { leaf, index: each.index, hashes: each.hashes.map(bytesOfHex), event: readLeaf(leaf) };
    } catch (error) {
      throw new ProofError(`event ${at + 1} of ${pack.events.length} cannot be read: ${error.message}`);
    }
  });
}

/** The recording's bytes as received. */
export async function unpackRecording(recording) {
  if (Object.keys(recording ?? {}).sort().join() !== "data,encoding,sha256") throw new ProofError("the recording's members are not data, encoding and sha256");
  if (recording.encoding !== "gzip") throw new ProofError(`the recording is packed as ${JSON.stringify(recording.encoding)}, which is not known here`);
  let packed;
  try { packed = bytesOfBase64(recording.data); } catch { throw new ProofError("the recording is not base64 any more: it was altered"); }
  const digest = hexOf(await sha256(packed));
  if (digest !== recording.sha256) throw new ProofError(`the packed recording hashes to ${shortHex(digest)}, the pack says ${shortHex(String(recording.sha256))}: the recording was altered`);
  try {
    const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
    return new Uint8Array(await new Response(stream).arrayBuffer());
  } catch {
    throw new ProofError("the recording cannot be unpacked: it was altered");
  }
}

async function checkPackEvents(events, checkpoint) {
  for (const each of events) {
    try { await checkInclusion({ ...each, checkpoint }); } catch (error) {
      if (error instanceof ProofError) throw new ProofError(`event ${each.event.id}: ${error.message}`);
      throw error;
    }
  }
  return { value: String(events.length), note: `each leads by its own path of hashes to the root of ${checkpoint.size.toLocaleString("en")} events` };
}

function sessionOf(pack, events) {
  const stranger = events.find(({ event }) => event.session !== pack.session);
  if (stranger) throw new ProofError(`event ${stranger.event.id} belongs to session ${stranger.event.session}, not to ${pack.session}`);
  const parts = partsOf(pack.session, events);
  if (!parts.closing) throw new ProofError(`no event closes session ${pack.session}`);
  return parts;
}

/**
 * Runs every check and goes on after a failed one where it can. Gives {steps, state, events, parts, bytes, note}:
 * what could be read, even where the verdict is bad.
 */
export async function checkPack(text, shell) {
  const steps = [];
  const out = { steps, state: "good", events: [], parts: null, bytes: null, checkpoint: null, pack: null };
  const worse = (state) => { if (out.state !== "bad") out.state = state; };
  const check = async (name, act) => {
    try {
      const said = await act();
      steps.push({ name, state: "good", ...said });
    } catch (error) {
      const state = error instanceof NoCrypto ? "unsure" : "bad";
      steps.push({ name, state, note: error instanceof ProofError || error instanceof NoCrypto ? error.message : `cannot be checked: ${error.message}` });
      worse(state);
    }
  };
  await check("this file", async () => { shell(); out.pack = readPack(text); return { note: "a pack of a known form, its script and look as written" }; });
  const { pack } = out;
  if (!pack) return out;
  await check("key", async () => { const key = await readKey(pack.vkey); return { value: `${key.name}+${hexOf(key.id)}`, note: "is well formed; whether it is the right key only you can say, below" }; });
  await check("checkpoint", async () => {
    if (readNote(pack.checkpoint).size !== pack.size) throw new ProofError(`the checkpoint is of ${readNote(pack.checkpoint).size} events, the pack says ${pack.size}`);
    out.checkpoint = readNote(pack.checkpoint);
    const { root, key } = await checkNote(pack.checkpoint, pack.vkey);
    return { value: `root ${shortHex(hexOf(root))}`, full: hexOf(root), note: `of ${pack.size.toLocaleString("en")} events, signed by ${key.name}` };
  });
  await check("events read", async () => { out.events = readPackEvents(pack); out.parts = sessionOf(pack, out.events); return { value: String(out.events.length), note: `all of session ${pack.session}, one of them closes it` }; });
  if (!out.checkpoint) steps.push({ name: "events proven", state: "bad", note: "there is no checkpoint to prove them under" });
  else await check("events proven", () => checkPackEvents(out.events, out.checkpoint));
  await check("recording", async () => {
    out.bytes = await unpackRecording(pack.recording);
    if (!out.parts) throw new ProofError("its closing event cannot be read, so there is nothing to hold it against");
    const step = await checkRecording(out.bytes, out.parts);
    return { value: step.value, full: step.full, note: `${out.bytes.length.toLocaleString("en")} bytes, ${step.note}` };
  });
  return out;
}
