// What scripts add to the console's pages. Every page reads without them.
import { helpAsking } from "./ask.js";
import { listenToKeys } from "./keys.js";
import { keepCurrent } from "./live.js";
import { checkEvent, checkSoundness } from "./proof-line.js";
import { offerKill, startSession } from "./session.js";

const each = (selector, act) => document.querySelectorAll(selector).forEach(act);

function span(seconds) {
  const units = [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"]];
  const at = Math.max(0, units.findIndex(([size]) => seconds >= size));
  if (seconds < 1) return "under 1 s";
  const [size, unit] = units[at];
  const rest = at < 3 ? Math.floor((seconds % size) / units[at + 1][0]) : 0;
  return rest ? `${Math.floor(seconds / size)} ${unit} ${rest} ${units[at + 1][1]}` : `${Math.floor(seconds / size)} ${unit}`;
}

const secondsSince = (time) => (Date.now() - Date.parse(time)) / 1000;

function clockText(seconds) {
  const [h, m, s] = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60, String(Math.floor(seconds) % 60).padStart(2, "0")];
  return h ? `${h}:${String(m).padStart(2, "0")}:${s}` : `${m}:${s}`;
}

function tick() {
  each("[data-since]", (place) => { place.textContent = clockText(Math.max(0, secondsSince(place.dataset.since))); });
  each("time[data-ago]", (place) => { place.textContent = `${span(secondsSince(place.dateTime))} ago`; });
}

async function copy(place) {
  try {
    await navigator.clipboard.writeText(place.dataset.copy);
  } catch {
    // Plain HTTP has no clipboard: select the text instead, whole.
    place.textContent = place.dataset.copy;
    getSelection().selectAllChildren(place);
    return;
  }
  place.classList.add("copied");
  setTimeout(() => place.classList.remove("copied"), 1200);
}

document.addEventListener("click", (event) => {
  const place = event.target.closest(".copy");
  if (place) { copy(place); return; }
  const row = event.target.closest("tr[data-row]");
  if (row && !event.target.closest("a, button") && getSelection().isCollapsed) row.querySelector("a.open")?.click();
});
document.addEventListener("pointerover", (event) => {
  const time = event.target.closest?.("time:not([data-ago])");
  if (time) time.title = `${time.dateTime}, ${span(secondsSince(time.dateTime))} ago`;
});

listenToKeys();
each("form.ask", helpAsking);
each("[data-proof=event]", checkEvent);
each(".stage[data-session]", startSession);
each("dialog#kill", offerKill);
each("#sound", checkSoundness);
keepCurrent();
tick();
setInterval(tick, 1000);
