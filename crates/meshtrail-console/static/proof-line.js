// The proof lines of the console: fetches what is to be checked, checks it here, and only then says so.
import { bytesOfHex, hexOf, shortHex } from "./bytes.js";
import { checkInclusion, NoCrypto, ProofError, subtle } from "./proof.js";
import { element, showProof } from "./proof-view.js";
import { forget, remembered, witness } from "./remember.js";
import { checkEvents, checkRecording, partsOf, readLeaf, rootStep } from "./session-proof.js";
import { visible } from "./visible.js";

const encoded = encodeURIComponent;

async function get(path) {
  const answer = await fetch(path);
  if (answer.ok) return answer;
  const problem = await answer.json().catch(() => ({}));
  throw new Error(problem.detail ?? `the server answered ${answer.status}`);
}

const json = async (path) => (await get(path)).json();

/** Shows a failure for what it is: disproven, not computable here, or not reachable. */
function showFailure(section, error) {
  if (error instanceof ProofError) showProof(section, { state: "bad", title: "Does not hold", text: error.message });
  else if (error instanceof NoCrypto) showProof(section, { state: "unsure", title: "Not checked", text: error.message });
  else showProof(section, { state: "unsure", title: "Not checked", text: `what is needed for it could not be had: ${error.message}` });
}

async function checked(section, check) {
  try {
    subtle();
    showProof(section, { state: "busy", title: "Checking", text: "computed by this browser" });
    await check();
  } catch (error) {
    showFailure(section, error);
  }
}

const sinceStep = (since) => ({ name: "before", note: since, state: "good" });

export function checkEvent(section) {
  const { event, index } = section.dataset;
  return checked(section, async () => {
    const [answer, proof] = await Promise.all([get(`/api/v1/events/${encoded(event)}`), json(`/api/v1/proof?event=${encoded(event)}`)]);
    const leaf = new Uint8Array(await answer.arrayBuffer());
    const { checkpoint, since } = await witness(proof.note, proof.vkey);
    if (readLeaf(leaf).id !== event) throw new ProofError("the server gave another event than the one asked for");
    const hashes = proof.hashes.map(bytesOfHex);
    const hash = await checkInclusion({ leaf, index: proof.index, hashes, checkpoint });
    const shown = document.querySelector("[data-leaf]");
    if (shown && shown.textContent !== visible(new TextDecoder().decode(leaf))) throw new ProofError("this page shows other bytes than the ones that are proven");
    if (index !== undefined && Number(index) !== proof.index) throw new ProofError(`this page says index ${index}, the proof says ${proof.index}`);
    showProof(section, {
      state: "good", title: "Proven in this browser", text: `in the trail at index ${proof.index.toLocaleString("en")}, under checkpoint ${checkpoint.size.toLocaleString("en")}`,
      steps: [
        { name: "leaf", value: hexOf(hash), note: `of ${leaf.length} bytes`, state: "good" },
        { name: "path", hashes: proof.hashes, note: "leads from the leaf to the root", state: "good" },
        rootStep(checkpoint), sinceStep(since),
      ],
    });
  });
}

/** All events of a session with their paths, under one checkpoint. */
async function eventsOf(session, size) {
  const found = [];
  let cursor = "";
  do {
    const page = await json(`/api/v1/events?q=${encoded(`session:${session}`)}&limit=500${cursor ? `&cursor=${encoded(cursor)}` : ""}`);
    page.events.forEach((event, at) => found.push({ id: event.id, kind: event.kind, index: page.indexes[at] }));
    cursor = page.next;
  } while (cursor && found.length < 5000);
  const wanted = found.filter(({ kind, index }) => index < size && (kind === "recording.mark" || kind.includes(".session.")));
  const events = [];
  await inTurns(wanted, 6, async ({ id, index }) => {
    const [leaf, proof] = await Promise.all([get(`/api/v1/events/${encoded(id)}`).then((answer) => answer.arrayBuffer()), json(`/api/v1/proof?index=${index}&size=${size}`)]);
    const bytes = new Uint8Array(leaf);
    const event = readLeaf(bytes);
    if (event.id !== id || event.session !== session) throw new ProofError("the server gave another event than the one asked for");
    events.push({ event, leaf: bytes, index: proof.index, hashes: proof.hashes.map(bytesOfHex) });
  });
  return events.sort((one, other) => one.index - other.index);
}

async function inTurns(items, width, act) {
  const queue = items.slice();
  await Promise.all(Array.from({ length: Math.min(width, queue.length) }, async () => {
    for (let item = queue.shift(); item; item = queue.shift()) await act(item);
  }));
}

/** A session's proof; `recording` holds its bytes once the reader has asked to play it. */
export function checkSession(section, recording) {
  const { session } = section.dataset;
  return checked(section, async () => {
    const note = await json("/api/v1/checkpoint");
    const { checkpoint, since } = await witness(note.note, note.vkey);
    const events = await eventsOf(session, checkpoint.size);
    if (!events.length) throw new Error("its events are not under a checkpoint yet");
    const parts = partsOf(session, events);
    const steps = await checkEvents(events, checkpoint, parts.closing);
    if (recording) steps.unshift(await checkRecording(recording, parts));
    else steps.unshift({ name: "recording", note: parts.closing ? "checked when you play it: then this browser has the bytes" : "still running", state: "open" });
    steps.push(rootStep(checkpoint), sinceStep(since));
    const whole = recording && parts.closing;
    showProof(section, {
      steps, state: whole ? "good" : "open",
      title: whole ? "Proven in this browser" : `Its events are proven; the recording is ${parts.closing ? "checked when you play it" : "still running"}`,
      text: whole
        ? `${recording.length.toLocaleString("en")} bytes as received, in the trail at ${events[0].index.toLocaleString("en")} to ${parts.closing.index.toLocaleString("en")}, under checkpoint ${checkpoint.size.toLocaleString("en")}`
        : `${events.length === 1 ? "1 event" : `${events.length} events`} under checkpoint ${checkpoint.size.toLocaleString("en")}`,
    });
  });
}

/** The word beside the event count: sound once the newest checkpoint is verified against what was seen before. */
export async function checkSoundness(place) {
  const say = (state, word, why) => { place.className = state; place.textContent = word; place.title = why; };
  try {
    const note = await json("/api/v1/checkpoint");
    const { checkpoint, since } = await witness(note.note, note.vkey);
    say("good", "sound", `checkpoint of ${checkpoint.size.toLocaleString("en")} events, root ${shortHex(hexOf(checkpoint.root))}: signature verified by this browser; ${since}`);
  } catch (error) {
    if (!(error instanceof ProofError)) return say("unsure", "not checked", error.message);
    say("bad", "not sound", error.message);
    alarm(error.message);
  }
  return undefined;
}

function alarm(message) {
  const before = remembered();
  const section = element("section", { class: "proof bad", role: "alert" });
  section.append(element("p", { class: "head" }, element("b", {}, "The trail does not hold"), element("span", {}, message)));
  section.append(element("p", {}, `This browser remembers ${before?.size.toLocaleString("en") ?? "no"} events since ${before?.at ?? "–"}. Keep a copy of this page, ask whoever runs the server, and compare by hand: meshtrail verify --all`));
  const button = element("button", { type: "button" }, "Forget what this browser remembers");
  button.addEventListener("click", () => { forget(); location.reload(); });
  section.append(button);
  document.querySelector("main").prepend(section);
}
