// What makes a recording proven: its bytes hash to what its closing event says and to every mark made while it
// ran, and each of those events stands in the trail under a signed checkpoint. Shared by console and pack.
import { hexOf, shortHex, textOfBytes } from "./bytes.js";
import { checkInclusion, ProofError, sha256 } from "./proof.js";
import { RollingSha256 } from "./sha256.js";
import { visible } from "./visible.js";

const CLOSING = /^(?:ssh|kube)\.session\.(ended|failed|interrupted)$/;

/** Reads a leaf; its bytes are what is proven, so whatever is shown must come from here. */
export function readLeaf(leaf) {
  let event;
  try { event = JSON.parse(textOfBytes(leaf)); } catch { throw new ProofError("an event is not JSON any more: its bytes were altered"); }
  if (typeof event?.id !== "string" || typeof event?.kind !== "string") throw new ProofError("an event has no id or kind");
  return event;
}

/** The closing event and the marks of one session among `events` ({event, leaf, index, hashes}). */
export function partsOf(session, events) {
  const own = events.filter(({ event }) => event.session === session);
  const closings = own.filter(({ event }) => CLOSING.test(event.kind));
  if (closings.length > 1) throw new ProofError("two events close this session; there must be one");
  const marks = own.filter(({ event }) => event.kind === "recording.mark").sort((one, other) => (one.event.detail?.bytes ?? 0) - (other.event.detail?.bytes ?? 0));
  return { closing: closings[0] ?? null, marks };
}

/** Checks the bytes against the closing event and the marks; gives steps, or throws what differs. */
export async function checkRecording(bytes, { closing, marks }) {
  const said = closing?.event.detail ?? {};
  const digest = hexOf(await sha256(bytes));
  if (closing) {
    if (said.bytes !== bytes.length) throw new ProofError(`the recording is ${bytes.length} bytes long, its closing event says ${said.bytes}`);
    if (said.sha256 !== digest) throw new ProofError(`the recording hashes to ${shortHex(digest)}, its closing event says ${shortHex(String(said.sha256))}: the recording was altered`);
    if (Number.isInteger(said.marks) && said.marks !== marks.length) throw new ProofError(`the closing event counts ${said.marks} marks, ${marks.length} are here`);
  }
  await checkMarks(bytes, marks);
  const marked = marks.length === 0 ? "" : `, and to ${marks.length === 1 ? "the mark" : `each of the ${marks.length} marks`} made while it ran`;
  // Whoever reads the proof of an imported recording must not take it for one that was witnessed.
  const imported = said.imported_from ? `; imported from ${visible(String(said.imported_from))}, not witnessed while it happened` : "";
  const note = closing ? `equal to the closing event${marked}${imported}` : `equal so far${marked}`;
  return { name: "recording", value: `sha256 ${shortHex(digest)}`, full: digest, note, state: "good" };
}

async function checkMarks(bytes, marks) {
  const rolling = new RollingSha256();
  let at = 0;
  for (const { event } of marks) {
    const { bytes: until, sha256: expected } = event.detail ?? {};
    if (!Number.isSafeInteger(until) || until < at) throw new ProofError(`mark ${event.id} cannot be read`);
    if (until > bytes.length) throw new ProofError(`a mark covers ${until} bytes, the recording has only ${bytes.length}: its end was cut off`);
    rolling.update(bytes.subarray(at, until));
    at = until;
    if (hexOf(rolling.digest()) !== expected) throw new ProofError(`the first ${until} bytes do not hash to what mark ${event.id} says: the recording was altered before that place`);
    // Let the page breathe between marks of a long recording.
    if (until > 8_000_000) await new Promise((resolve) => { setTimeout(resolve); });
  }
}

/** Checks that every event stands under the checkpoint; gives steps for the closing one and for the rest. */
export async function checkEvents(events, checkpoint, closing) {
  const steps = [];
  for (const each of events) {
    let hash;
    try {
      hash = await checkInclusion({ ...each, checkpoint });
    } catch (error) {
      if (error instanceof ProofError) throw new ProofError(`event ${each.event.id}: ${error.message}`);
      throw error;
    }
    if (each === (closing ?? events.at(-1))) {
      steps.push({ name: closing ? "closing event" : "last event", value: `leaf ${shortHex(hexOf(hash))}`, full: hexOf(hash), note: `index ${each.index}`, state: "good" });
      steps.push({ name: "path", hashes: each.hashes.map(hexOf), note: "leads from the leaf to the root", state: "good" });
    }
  }
  const others = events.length - (steps.length ? 1 : 0);
  if (others > 0) steps.push({ name: "other events", value: String(others), note: others === 1 ? "in the trail by its own path" : "each in the trail by its own path", state: "good" });
  return steps;
}

/** The root's step, once its note is verified. */
export const rootStep = (checkpoint) => ({
  name: "root", value: shortHex(hexOf(checkpoint.root)), full: hexOf(checkpoint.root), state: "good",
  note: `of ${checkpoint.size.toLocaleString("en")} events, signed by ${checkpoint.key.name}+${hexOf(checkpoint.key.id)}`,
});
