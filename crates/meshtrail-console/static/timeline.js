// The timeline: counting on, selecting a time range, and following events as they come in.
import { element } from "./proof-view.js";
import { retouch } from "./retouch.js";

const page = async (address) => {
  const answer = await fetch(address, { headers: { accept: "text/html" } });
  if (!answer.ok || answer.redirected) throw new Error("no page came");
  return new DOMParser().parseFromString(await answer.text(), "text/html");
};

/** Where this very question is answered; `more` changes parameters, null takes one out. */
function address(more = {}) {
  const parameters = new URLSearchParams(location.search);
  for (const [name, value] of Object.entries(more)) {
    if (value === null) parameters.delete(name);
    else parameters.set(name, value);
  }
  return `${location.pathname}?${parameters}`;
}

const COUNTS = ["histogram", "facets"];
/** Whether a button is held down over the counts: what is under it stays until the click is done. */
let held = false;
/** Counts that came while somebody was about to choose: what moves rows waits here until they are away. */
let waiting = null;

/** Whether a link of this part is pointed at, held or focused: then nothing in it may change its place. */
const chosen = (part) => part.contains(document.activeElement) || part.querySelector("li:hover, a:hover") !== null;

function replaceCounts(fresh) {
  waiting = null;
  if (held || document.querySelector(".brush")) { waiting = fresh; return; }
  for (const id of COUNTS) {
    const [old, come] = [document.getElementById(id), fresh.getElementById(id)];
    if (!old || !come) continue;
    const still = chosen(old);
    retouch(old, come, still);
    if (still) waiting = fresh;
  }
}

function settle() {
  if (waiting && !held && !COUNTS.some((id) => { const part = document.getElementById(id); return part && chosen(part); })) replaceCounts(waiting);
}

document.addEventListener("pointerdown", (event) => { held = Boolean(event.target.closest?.("#histogram, #facets")); });
// The click comes after the button is up.
for (const over of ["pointerup", "pointercancel", "dragend"]) addEventListener(over, () => setTimeout(() => { held = false; settle(); }));
for (const away of ["pointerout", "focusout"]) document.addEventListener(away, () => setTimeout(settle));

/** What the page could not count in its own time is counted now. */
async function countOn() {
  const histogram = document.getElementById("histogram");
  const whole = COUNTS.every((id) => document.getElementById(id)?.dataset.whole !== "false");
  if (whole || new URLSearchParams(location.search).get("counts") === "all") return;
  histogram?.classList.add("counting");
  try {
    replaceCounts(await page(address({ counts: "all", cursor: null })));
  } catch { /* what was counted stays, and says of how many events it is */ }
  document.getElementById("histogram")?.classList.remove("counting");
}

/** The filter without the times that hold for all of it, as the server would take them out. */
const untimed = (text) => text.replace(/(^|\s)(since|until):("(?:\\.|[^"\\])*"|\S+)/gi, "").trim();

const instant = (seconds) => new Date(seconds * 1000).toISOString().replace(/\.\d+Z$/, "Z");

function narrow(from, to) {
  const q = document.querySelector("form.ask input[name=q]")?.defaultValue ?? "";
  const text = / OR /.test(q) ? `(${untimed(q)})` : untimed(q);
  location.assign(address({ q: `${text} since:${instant(from)} until:${instant(to)}`.trim(), cursor: null, counts: null }));
}

/** A range drawn with the pointer over the bars narrows to it; a click on one bar is the link that it is. */
function brush() {
  let svg = null;
  let start = null;
  let band = null;
  const end = () => { band?.remove(); band = null; svg = null; };
  const draw = (x) => {
    const [from, width, bars] = ["from", "width", "bars"].map((name) => Number(svg.dataset[name]));
    const [box, outer] = [svg.getBoundingClientRect(), svg.parentElement.getBoundingClientRect()];
    const at = Math.min(bars - 1, Math.max(0, Math.floor(((x - box.left) / box.width) * bars)));
    start ??= at;
    const [first, last] = [Math.min(start, at), Math.max(start, at)];
    if (!band && first === last) return null;
    band ??= svg.parentElement.appendChild(element("div", { class: "brush" }));
    Object.assign(band.style, { left: `${box.left - outer.left + (first / bars) * box.width}px`, width: `${((last - first + 1) / bars) * box.width}px`, top: `${box.top - outer.top}px`, height: `${box.height}px` });
    return [from + first * width, from + (last + 1) * width];
  };
  const bars = (event) => event.target.closest?.("#histogram svg");
  document.addEventListener("pointerdown", (event) => {
    if (event.button !== 0 || event.pointerType === "touch" || !bars(event)) return;
    [svg, start] = [bars(event), null];
    draw(event.clientX);
  });
  document.addEventListener("dragstart", (event) => { if (bars(event)) event.preventDefault(); });
  addEventListener("pointermove", (event) => { if (svg) draw(event.clientX); });
  addEventListener("pointerup", (event) => {
    if (!svg) return;
    const drawnOn = svg;
    const range = band && draw(event.clientX);
    end();
    if (!range) return;
    drawnOn.addEventListener("click", (click) => click.preventDefault(), { capture: true, once: true });
    narrow(...range);
  });
  addEventListener("keydown", (event) => { if (event.key === "Escape") end(); });
}

/** A filter that finds little is looked for page after page, until something is found or everything was looked at. */
async function lookOn() {
  const line = document.querySelector("[data-goes-on]");
  const begun = Date.now();
  const pager = () => document.querySelector(".pager");
  let stopped = false;
  const stop = element("button", { type: "button" }, "stop");
  stop.addEventListener("click", () => { stopped = true; });
  for (let next = line && pager()?.querySelector("a[rel=next]")?.href; next && !stopped;) {
    line.replaceChildren(`Nothing yet; looking through older events, for ${Math.round((Date.now() - begun) / 1000)} s so far. `, stop);
    const fresh = await page(next);
    if (!fresh.querySelector("[data-goes-on]")) {
      document.querySelector(".timeline .main, main").replaceChildren(...fresh.querySelector(".timeline .main, main").childNodes);
      history.replaceState(history.state, "", next);
      return;
    }
    next = fresh.querySelector(".pager a[rel=next]")?.href;
    pager()?.replaceWith(fresh.querySelector(".pager"));
  }
  if (line) line.textContent = "Nothing among the events looked through so far; older ones are left.";
}

const LOOK_EVERY = 700;
const MOST_ROWS = 300;

/** New events come in by themselves while the reader is at the top and holds no row; else they wait and are counted. */
class Tail {
  #stream = null;
  #waiting = 0;
  #busy = false;

  constructor(button, table) {
    this.button = button;
    this.table = table;
    button.hidden = false;
    button.addEventListener("click", () => this.turn(!this.on));
    addEventListener("scroll", () => this.look(), { passive: true });
    document.addEventListener("focusin", () => this.look());
    this.turn(new URLSearchParams(location.search).get("live") === "on");
  }

  get on() { return this.#stream !== null; }
  get reading() { return scrollY > 40 || this.table.contains(document.activeElement) || document.hidden; }

  turn(on) {
    this.button.setAttribute("aria-pressed", String(on));
    history.replaceState(history.state, "", address({ live: on ? "on" : null }).replace(/\?$/, "") + location.hash);
    this.#stream?.close();
    this.#stream = on ? this.open() : null;
    if (!on) this.said(0);
  }

  open() {
    const last = this.table.querySelector("tbody tr[id]")?.dataset.position;
    const q = new URLSearchParams(location.search).get("q") ?? "";
    const parameters = new URLSearchParams({ q, ...(last ? { after: last } : {}) });
    const stream = new EventSource(`/api/v1/events/follow?${parameters}`);
    stream.addEventListener("message", () => { this.#waiting += 1; this.look(); });
    return stream;
  }

  look() {
    if (!this.on || this.#waiting === 0) return;
    if (this.reading) { this.said(this.#waiting); return; }
    if (this.#busy) return;
    this.#busy = true;
    this.bringIn().catch(() => {}).finally(() => setTimeout(() => { this.#busy = false; this.look(); }, LOOK_EVERY));
  }

  async bringIn() {
    this.#waiting = 0;
    const fresh = await page(address({ live: null, counts: null }));
    const body = this.table.tBodies[0];
    const shown = new Set([...body.rows].map((row) => row.id));
    const rows = [...fresh.querySelectorAll("table[data-tail-rows] tbody tr")];
    const come = rows.filter((row) => !shown.has(row.id));
    // More came at once than a page holds: what lies between is on the next pages, so the list begins anew.
    if (come.length === rows.length) body.replaceChildren();
    come.forEach((row) => row.classList.add("arrived"));
    body.prepend(...come);
    [...body.rows].slice(MOST_ROWS).forEach((row) => row.remove());
    replaceCounts(fresh);
    this.said(0);
  }

  said(count) {
    this.button.classList.toggle("waits", count > 0);
    let line = document.querySelector(".newer");
    if (count === 0) { line?.remove(); return; }
    if (!line) {
      line = element("a", { class: "newer", href: "#content", role: "status" });
      line.addEventListener("click", (event) => { event.preventDefault(); document.activeElement?.blur(); scrollTo(0, 0); this.look(); });
      this.table.before(line);
    }
    line.textContent = `${count === 1 ? "1 new event waits" : `${count} new events wait`} while you read: show`;
  }
}

brush();
countOn();
lookOn().catch(() => { /* the link to older events stays */ });
const button = document.querySelector("[data-tail]");
const table = document.querySelector("table[data-tail-rows]");
if (button && table) new Tail(button, table);
