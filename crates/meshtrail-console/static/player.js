// The replay: asciinema-player (vendored, a global) with speed and idle control. Speed is fixed when a player
// is made, so a change makes a new one that goes on at the same place.
import { element } from "./proof-view.js";

const SPEEDS = [0.5, 1, 2, 4, 8];
const IDLE_LIMIT = 2;
/** The smallest type that is read without a glass, in pixels. */
const LEAST_TYPE = 9.5;

/** A read cast (its times in seconds) as a source of the player, which counts in milliseconds. */
export const sourceOf = (cast) => ({
  data: cast,
  parser: ({ cols, rows, events }) => ({ cols, rows, events: events.map(([time, code, data]) => [time * 1000, code, data]) }),
});

export class Replay {
  #place;
  #source;
  #marks;
  #player = null;
  #playing = false;
  #line;
  speed = 1;
  skipIdle = true;

  /** `source`: what asciinema-player takes; `live` sources have neither speed nor places. */
  constructor(place, source, { marks = [], live = false } = {}) {
    this.#place = place;
    this.#source = source;
    this.#marks = marks;
    this.live = live;
  }

  start() {
    const { cols = 80, rows = 24 } = this.#source.data ?? {};
    this.#size(cols, rows);
    if (!this.live) this.#controls();
    // The player measures a character once, when it is made: with another face its bar would be narrower than its
    // terminal.
    const face = document.fonts?.load('15px "Hyperlegible Mono"') ?? Promise.resolve();
    face.catch(() => {}).then(() => { if (!this.#player) this.#make(0); });
  }

  /** As large as the width allows, but never so tall that the proof below is out of sight, nor so small that it can't
   * be read: a wide terminal on a narrow screen is moved sideways under its control bar. */
  #size(cols, rows) {
    const least = Math.ceil(cols * 0.6 * LEAST_TYPE + 2 * LEAST_TYPE);
    if (least > this.#place.clientWidth) {
      this.#place.style.width = `${least}px`;
      this.#place.parentElement.classList.add("wide");
    }
    const wanted = this.#place.clientWidth * (rows * 1.36) / (cols * 0.6);
    this.#place.style.height = `${Math.round(Math.max(200, Math.min(wanted, innerHeight * 0.56)) + 48)}px`;
  }

  #make(startAt) {
    this.#player?.dispose();
    const options = {
      autoPlay: true, preload: true, fit: "both", controls: this.live ? false : true, theme: "ledger",
      terminalFontFamily: '"Hyperlegible Mono", ui-monospace, "DejaVu Sans Mono", monospace',
      speed: this.speed, startAt, markers: this.skipIdle ? [] : this.#marks,
    };
    if (this.skipIdle && !this.live) options.idleTimeLimit = IDLE_LIMIT;
    this.#player = globalThis.AsciinemaPlayer.create(this.#source, this.#place, options);
    this.#playing = true;
    this.#player.addEventListener("playing", () => { this.#playing = true; this.#trim(); });
    this.#player.addEventListener("pause", () => { this.#playing = false; });
    this.#player.addEventListener("ended", () => { this.#playing = false; this.#place.dispatchEvent(new CustomEvent("replay-ended")); });
  }

  /** Takes back the height that the terminal did not need. */
  #trim() {
    const used = this.#place.querySelector(".ap-player")?.getBoundingClientRect().height ?? 0;
    if (used > 100) this.#place.style.height = `${Math.ceil(used) + 6}px`;
  }

  #controls() {
    const speeds = element("select", { "aria-label": "speed" }, ...SPEEDS.map((speed) => {
      const option = element("option", { value: String(speed) }, `${speed}×`);
      option.selected = speed === this.speed;
      return option;
    }));
    speeds.addEventListener("change", () => this.setSpeed(Number(speeds.value)));
    const idle = element("input", { type: "checkbox", id: "skip-idle" });
    idle.checked = this.skipIdle;
    idle.addEventListener("change", () => this.setSkipIdle(idle.checked));
    const keys = element("span", { class: "keys" }, element("kbd", {}, "Space"), " play ", element("kbd", {}, "←"), " ", element("kbd", {}, "→"), " 5 s ", element("kbd", {}, "<"), " ", element("kbd", {}, ">"), " speed");
    this.#line = element("div", { class: "replay-line" }, speeds, element("label", {}, idle, ` skip idle over ${IDLE_LIMIT} s`), keys);
    (this.#place.closest(".stage") ?? this.#place).after(this.#line);
  }

  setSpeed(speed) {
    this.speed = speed;
    const select = this.#line?.querySelector("select");
    if (select) select.value = String(speed);
    this.#make(this.#player?.getCurrentTime() ?? 0);
  }

  setSkipIdle(skip) {
    this.skipIdle = skip;
    const box = this.#line?.querySelector("input");
    if (box) box.checked = skip;
    // Idle time shortens the player's clock: the same place has another time, so start over.
    this.#make(0);
  }

  /** Handles a key; true when it was one of the replay's. */
  key(name) {
    if (!this.#player || this.live) return false;
    const at = this.#player.getCurrentTime() ?? 0;
    const step = SPEEDS.indexOf(this.speed);
    const acts = {
      " ": () => (this.#playing ? this.#player.pause() : this.#player.play()),
      ArrowLeft: () => this.#player.seek(Math.max(0, at - 5)),
      ArrowRight: () => this.#player.seek(at + 5),
      "[": () => this.#player.seek({ marker: "prev" }),
      "]": () => this.#player.seek({ marker: "next" }),
      "<": () => this.setSpeed(SPEEDS[Math.max(0, step - 1)]),
      ">": () => this.setSpeed(SPEEDS[Math.min(SPEEDS.length - 1, step + 1)]),
    };
    if (!Object.hasOwn(acts, name)) return false;
    acts[name]();
    return true;
  }
}
