// A session's page: replay, live view, ending it. Bytes are fetched when the reader asks for them, once; what is
// played is what was hashed.
import { readCast } from "./cast.js";
import { offerKeys } from "./keys.js";
import { Replay, sourceOf } from "./player.js";
import { checkSession } from "./proof-line.js";
import { element } from "./proof-view.js";

/** Above this, the replay streams from the server instead, and the proof is left to the command line. */
const MOST = 96_000_000;

const api = (session) => `/api/v1/sessions/${encodeURIComponent(session)}`;

async function download(url, size, progress) {
  const answer = await fetch(url);
  if (!answer.ok) {
    const problem = await answer.json().catch(() => ({}));
    throw new Error(problem.detail ?? `the server answered ${answer.status}`);
  }
  const parts = [];
  let got = 0;
  for (const reader = answer.body.getReader(); ;) {
    const { done, value } = await reader.read();
    if (done) break;
    parts.push(value);
    got += value.length;
    progress(size ? got / size : 0);
  }
  return new Uint8Array(await new Blob(parts).arrayBuffer());
}

function screenOf(stage) {
  const screen = element("div", { class: "screen" });
  stage.replaceChildren(screen);
  return screen;
}

async function playRecorded(stage, proof) {
  const { session, bytes: size } = stage.dataset;
  if (Number(size) > MOST) {
    const replay = new Replay(screenOf(stage), { url: `${api(session)}/cast` });
    replay.start();
    stage.after(element("p", { class: "unsure small" }, `Too large to check in a page: meshtrail verify ${session}`));
    return replay;
  }
  const bar = element("progress", { max: "1", value: "0", "aria-label": "fetching the recording" });
  stage.querySelector(".cover").replaceChildren(bar);
  const bytes = await download(`${api(session)}/recording?for=view`, Number(size), (part) => { bar.value = part; });
  const cast = readCast(bytes);
  const replay = new Replay(screenOf(stage), sourceOf(cast));
  replay.start();
  if (cast.mended.length) stage.after(element("p", { class: "unsure small told" }, `Mended for playing, not in the bytes: ${cast.mended.join("; ")}.`));
  if (proof) checkSession(proof, bytes);
  return replay;
}

function watchLive(stage) {
  const { session } = stage.dataset;
  const place = screenOf(stage);
  const replay = new Replay(place, { driver: "eventsource", url: `${api(session)}/follow` }, { live: true });
  const line = element("p", { class: "replay-line" }, element("span", { class: "live-line" }, "live"), "as it is received");
  stage.after(line);
  place.addEventListener("replay-ended", () => {
    line.replaceChildren(element("span", { class: "unsure" }, "the live view is over. "), element("a", { href: location.pathname }, "Look at the whole session"));
  });
  replay.start();
  return replay;
}

export function startSession(stage) {
  const proof = document.querySelector("[data-proof=session]");
  const button = stage.querySelector("[data-play]");
  if (proof) checkSession(proof, null);
  if (!button) return;
  let replay = null;
  const start = async () => {
    button.disabled = true;
    try {
      replay = stage.dataset.state === "live" ? watchLive(stage) : await playRecorded(stage, proof);
    } catch (error) {
      const again = element("p", {}, `It could not be played: ${error.message}`);
      stage.replaceChildren(element("div", { class: "cover" }, again, element("p", { class: "dim" }, "Reload the page to try again.")));
    }
  };
  button.addEventListener("click", start);
  offerKeys((key) => {
    if (replay) return replay.key(key);
    if (key !== " " && key !== "f") return false;
    button.click();
    return true;
  });
}

/** The sheet that ends a session: it names the effect, asks for the reason, and stays until the server has answered. */
export function offerKill(dialog) {
  const form = dialog.querySelector("form");
  const result = dialog.querySelector(".result");
  document.querySelector("[data-open=kill]")?.addEventListener("click", () => dialog.showModal());
  dialog.querySelector("[data-close]").addEventListener("click", () => dialog.close());
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const submit = form.querySelector("[type=submit]");
    submit.disabled = true;
    result.textContent = "Asking the recorder to end it…";
    const body = JSON.stringify({ reason: form.elements.reason.value, message: form.elements.message.value });
    try {
      const answer = await fetch(`${api(form.dataset.kill)}/kill`, { method: "POST", headers: { "content-type": "application/json" }, body });
      if (!answer.ok) throw new Error((await answer.json().catch(() => ({}))).detail ?? `the server answered ${answer.status}`);
      result.textContent = "Ended. Your reason is in the trail.";
      setTimeout(() => location.reload(), 1200);
    } catch (error) {
      result.textContent = `Not ended: ${error.message}`;
      submit.disabled = false;
    }
  });
}
