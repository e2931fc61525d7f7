// An evidence pack's page: runs the checks, then shows verdict, key, session, replay and events, all made here
// from what was checked. Text from the recording or the events goes in as text, control characters made visible.
import { hexOf } from "../bytes.js";
import { readCast } from "../cast.js";
import { Replay, sourceOf } from "../player.js";
import { ProofError } from "../proof.js";
import { element, showProof } from "../proof-view.js";
import { visible } from "../visible.js";
import { checkPack } from "./pack-check.js";

const said = (text) => element("bdi", {}, visible(text));
const clockOf = (time) => `${String(time).slice(0, 19).replace("T", " ")} UTC`;

/** The file's own frame: a look that was altered is not applied by the browser, and that shows here. */
function checkFrame() {
  const altered = [...document.querySelectorAll("style")].some((style) => !style.sheet) || document.querySelectorAll("script").length !== 3;
  if (altered) throw new ProofError("the look or the frame of this file was altered");
}

const whoOf = (event) => event.actor?.person?.login ?? event.actor?.tags?.join(", ") ?? event.actor?.service ?? event.actor?.device?.name ?? "somebody not known";
const targetOf = (event) => (event.target?.namespace && event.target?.name ? `${event.target.namespace}/${event.target.name}` : event.target?.name ?? event.target?.device?.name ?? event.target?.address ?? "a target not known");

function heading(result) {
  const closing = result.parts?.closing?.event;
  if (!closing) return [element("h1", {}, "A session that cannot be read")];
  const { detail = {} } = closing;
  const line = element("p", { class: "when" }, `${closing.kind.split(".").at(-1)} · ${clockOf(detail.started ?? closing.time)} to ${clockOf(detail.ended ?? closing.time)}`);
  const title = element("h1", {}, said(whoOf(closing)), " → ", said(targetOf(closing)));
  if (closing.target?.account) title.append(element("span", { class: "as" }, " as ", said(closing.target.account)));
  const run = detail.command ? element("p", { class: "run" }, element("code", {}, said(detail.command))) : null;
  document.title = visible(`Evidence: ${whoOf(closing)} → ${targetOf(closing)}`);
  return [title, line, run];
}

const VERDICTS = {
  good: ["This recording is as it was received", "Every check below was computed by this browser, from this file alone."],
  unsure: ["Not everything could be checked", "What could not be computed here is named below; meshtrail verify --offline checks it all."],
  bad: ["This pack does not hold", "What is wrong is named below. Do not rely on what it shows."],
};

function verdict(result) {
  const section = element("section", { class: "proof", "data-open": "", id: "verdict" });
  const [title, text] = VERDICTS[result.state];
  showProof(section, { state: result.state, title, text, steps: result.steps });
  return section;
}

/** The key is the one thing a pack cannot prove about itself: whoever made another trail has another key. */
function keyPart(vkey) {
  const answer = element("p", { class: "q", role: "status", id: "key-answer" }, "Compare it with the key you were given by another way than this file: meshtrail checkpoint prints it.");
  const input = element("input", { id: "expected", spellcheck: "false", autocomplete: "off", placeholder: "paste the key you expect" });
  input.addEventListener("input", () => {
    const expected = input.value.trim();
    if (!expected) { answer.className = "q"; answer.textContent = "Nothing pasted yet."; return; }
    const same = expected === vkey;
    answer.className = same ? "same" : "alarm";
    answer.textContent = same ? "It is the key you expect." : "It is NOT the key you expect: this pack was signed by somebody else.";
  });
  return element("section", { class: "key" }, element("h2", {}, "Signed by this key"), element("pre", { class: "leaf", id: "vkey" }, visible(vkey)), element("label", { for: "expected" }, "Expected key"), input, answer);
}

function facts(result) {
  const { event } = result.parts.closing;
  const { detail = {}, identity = {} } = event;
  const list = element("dl", {});
  const add = (name, value, doubt) => value && list.append(element("dt", {}, name), element("dd", doubt ? { class: "unsure" } : {}, said(value)));
  add("person", event.actor?.person?.login);
  add("tags", event.actor?.tags?.join(" "));
  add("device", event.actor?.device?.name);
  add("address", event.actor?.device?.addresses?.join(" "));
  add("how known", [identity.status ?? "unresolved", identity.provider && `by ${identity.provider}`, identity.as_of && `as of ${clockOf(identity.as_of)}`].filter(Boolean).join(" "), identity.status !== "resolved");
  add("in doubt", identity.reason, true);
  add("target", targetOf(event));
  add("recorded by", detail.recorded_by);
  add("session", event.session);
  add("why it ended", detail.reason);
  (detail.anomalies ?? []).forEach((anomaly) => add("odd", anomaly, true));
  const gaps = element("ul", { class: "plain" }, ...(detail.not_seen ?? ["keystrokes: never recorded"]).map((gap) => element("li", {}, said(gap))));
  return element("section", {}, element("h2", {}, "What the closing event says"), list, element("h2", {}, "What is not in it"), gaps);
}

function replayPart(bytes) {
  const screen = element("div", { class: "screen" });
  const play = element("button", { class: "play", type: "button" }, "Play");
  const stage = element("div", { class: "stage" }, element("div", { class: "cover" }, play));
  const cast = readCast(bytes);
  let replay = null;
  play.addEventListener("click", () => {
    stage.replaceChildren(screen);
    replay = new Replay(screen, sourceOf(cast));
    replay.start();
  });
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest?.("input, select, .ap-wrapper, button, summary")) return;
    if (replay?.key(event.key)) event.preventDefault();
  });
  const told = cast.mended.length ? element("p", { class: "unsure small" }, `Mended for playing, not in the bytes: ${cast.mended.join("; ")}.`) : null;
  return [stage, told];
}

function eventRow({ event, leaf, index, hashes }) {
  const more = element("details", {}, element("summary", {}, said(event.id)), element("pre", { class: "leaf" }, visible(new TextDecoder().decode(leaf))), element("p", { class: "small q" }, "path: ", element("code", {}, hashes.map(hexOf).join(" ") || "none: the only event")));
  return element("tr", {}, element("td", { class: "n r" }, String(index)), element("td", { class: "n" }, clockOf(event.time)), element("td", {}, element("code", {}, said(event.kind))), element("td", { class: "wide-cell" }, more));
}

function eventsPart(events) {
  const head = element("tr", {}, ...["Index", "Time", "Kind", "Event"].map((name) => element("th", { scope: "col" }, name)));
  return element("section", {}, element("h2", {}, "Its events, and the path of each"), element("table", { class: "pack-events" }, element("thead", {}, head), element("tbody", {}, ...events.map(eventRow))));
}

function limits() {
  return element("section", { class: "small" }, element("h2", {}, "What this shows, and what not"), element("p", {}, "If the key is the right one: the trail held exactly these events and this recording when the checkpoint was signed, and no byte of them has changed since. It does not show that the sender recorded everything, nor that its clock was right; what is known to be missing stands above."));
}

async function open() {
  const page = document.getElementById("pack-page");
  const data = document.getElementById("pack");
  if (!page || !data) throw new ProofError("the frame of this file was altered: its parts are not where they belong");
  page.replaceChildren(element("p", {}, "Checking…"));
  const result = await checkPack(data.textContent, checkFrame);
  page.replaceChildren(element("p", { class: "crumb" }, "Evidence pack · meshtrail"), ...heading(result).filter(Boolean), verdict(result));
  if (typeof result.pack?.vkey === "string") page.append(keyPart(result.pack.vkey));
  if (result.bytes) page.append(...replayPart(result.bytes).filter(Boolean));
  if (result.parts?.closing) page.append(facts(result));
  if (result.events.length) page.append(eventsPart(result.events));
  page.append(limits());
  document.documentElement.dataset.verdict = result.state;
}

open().catch((error) => {
  const place = document.getElementById("pack-page") ?? document.body;
  place.replaceChildren(element("h1", {}, "This pack does not hold"), element("p", { class: "alarm" }, error.message));
  document.documentElement.dataset.verdict = "bad";
});
