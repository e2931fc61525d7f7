// The checkpoint this browser saw last. A server can show one person one trail and another person another, or
// an old copy; it cannot make this browser forget. First use is trusted, and says so.
import { bytesOfHex, hexOf } from "./bytes.js";
import { checkGrowth, checkNote, ProofError } from "./proof.js";

const PLACE = "meshtrail.checkpoint";

export function remembered() {
  try {
    const kept = JSON.parse(localStorage.getItem(PLACE));
    return kept && Number.isSafeInteger(kept.size) && typeof kept.vkey === "string" ? kept : null;
  } catch {
    return null;
  }
}

export function forget() {
  localStorage.removeItem(PLACE);
}

function keep(checkpoint, vkey) {
  const entry = { origin: checkpoint.origin, size: checkpoint.size, root: hexOf(checkpoint.root), vkey, at: new Date().toISOString() };
  try { localStorage.setItem(PLACE, JSON.stringify(entry)); } catch { /* private mode: nothing is kept, the page says "first seen" */ }
}

async function growthPath(from, to) {
  if (from === to || from === 0) return [];
  const answer = await fetch(`/api/v1/proof?from=${from}&to=${to}`, { headers: { accept: "application/json" } });
  if (!answer.ok) throw new ProofError(`the server gives no path from the ${from} events seen before to these ${to}`);
  return (await answer.json()).hashes.map(bytesOfHex);
}

/**
 * Verifies a note by its key, then against what this browser remembers; remembers it when newer.
 * Gives the checkpoint and in words how it stands to what was seen before.
 */
export async function witness(note, vkey) {
  const checkpoint = await checkNote(note, vkey);
  const before = remembered();
  if (!before) {
    keep(checkpoint, vkey);
    return { checkpoint, since: "first checkpoint this browser has seen; remembered from now on" };
  }
  if (before.vkey !== vkey) throw new ProofError(`the trail's key is not the one this browser saw on ${before.at.slice(0, 10)}: ${before.vkey}`);
  if (before.origin !== checkpoint.origin) throw new ProofError(`this is another trail: ${checkpoint.origin}, before it was ${before.origin}`);
  const seen = { from: before.size, fromRoot: bytesOfHex(before.root) };
  const now = { to: checkpoint.size, toRoot: checkpoint.root };
  // An older checkpoint than the newest seen is sound as long as it is a beginning of that one.
  const older = now.to < seen.from;
  const step = older ? { from: now.to, fromRoot: now.toRoot, to: seen.from, toRoot: seen.fromRoot } : { ...seen, ...now };
  const hashes = await growthPath(step.from, step.to).catch((error) => {
    if (older) throw new ProofError(`this browser has seen ${seen.from} events in the trail; the server now shows ${now.to}: it was rolled back`);
    throw error;
  });
  await checkGrowth({ ...step, hashes });
  if (!older) keep(checkpoint, vkey);
  return { checkpoint, since: `continues the ${before.size.toLocaleString("en")} events this browser saw ${before.at.slice(0, 16).replace("T", " ")} UTC` };
}
