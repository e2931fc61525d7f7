// The filter box: colours the words as they are typed, underlines what cannot be a field, completes fields and
// the values that the data has. The server decides what a filter means; this only helps to write one.
import { element } from "./proof-view.js";

const VALUES = {
  outcome: ["success", "failure", "denied", "unknown"],
  identity: ["resolved", "self-reported", "conflicting", "unresolved"],
  since: ["1h", "24h", "7d", "30d"],
  kind: ["ssh.*", "ssh.session.*", "kube.*", "recording.mark", "meshtrail.*", "meshtrail.viewed", "meshtrail.exported", "meshtrail.killed", "meshtrail.signed_in"],
};
const WORD = /\s+|-?[A-Za-z_.]+:(?:"(?:\\.|[^"\\])*"?|[^\s"]*)|"(?:\\.|[^"\\])*"?|[^\s]+/g;

function paintWord(word, at, wrong) {
  const [start, end] = wrong ?? [Infinity, -1];
  if (at < end && at + word.length > start) return [element("span", { class: "wrong" }, word)];
  const parts = /^(-?)([A-Za-z_.]+):(.*)$/s.exec(word);
  if (!parts) return [word.startsWith("\"") ? element("span", { class: "s" }, word) : document.createTextNode(word)];
  const field = `${parts[1]}${parts[2]}:`;
  return [element("span", { class: parts[1] ? "x" : "f" }, field), document.createTextNode(parts[3])];
}

function paint(input, screen, wrong) {
  screen.replaceChildren(...[...input.value.matchAll(WORD)].flatMap((match) => paintWord(match[0], match.index, wrong)));
  screen.scrollLeft = input.scrollLeft;
}

/** Where the server could not read the filter. */
function wrongIn(input) {
  if (!input.dataset.wrong) return null;
  const [start, end] = input.dataset.wrong.split(",").map(Number);
  return [start, Math.max(end, start + 1)];
}

/** The word the caret is in: where it begins, and what stands of it before the caret. */
function wordAt(input) {
  const before = input.value.slice(0, input.selectionStart);
  const start = before.search(/[^\s]*$/);
  return { start, typed: before.slice(start) };
}

function offers(fields, typed) {
  const minus = typed.startsWith("-") ? "-" : "";
  const word = typed.slice(minus.length);
  const colon = word.indexOf(":");
  if (colon < 0) {
    return fields.filter(([name]) => name.startsWith(word)).map(([name, help]) => ({ text: `${minus}${name}:`, help, more: true }));
  }
  const field = word.slice(0, colon);
  const value = word.slice(colon + 1);
  const shown = [...document.querySelectorAll(`a.is[data-field="${CSS.escape(field)}"]`)].map((link) => link.dataset.value);
  const all = [...new Set([...(VALUES[field] ?? []), ...shown])].filter((each) => each.toLowerCase().includes(value.toLowerCase()) && each !== value);
  const begins = (each) => Number(each.toLowerCase().startsWith(value.toLowerCase()));
  all.sort((one, two) => begins(two) - begins(one));
  return all.slice(0, 12).map((each) => ({ text: `${minus}${field}:${/[\s"\\(),]/.test(each) ? JSON.stringify(each) : each}`, help: "" }));
}

const bytes = (text) => new TextEncoder().encode(text).length;
const unitsOf = (text, at) => new TextDecoder().decode(new TextEncoder().encode(text).slice(0, at)).length;

/** What the server knows of this place: fields, words, the values that the data has, and what it can't read. */
async function asked(text, caret) {
  const answer = await fetch(`/api/v1/events/complete?${new URLSearchParams({ q: text, at: bytes(text.slice(0, caret)) })}`, { headers: { accept: "application/json" } });
  if (!answer.ok) throw new Error("no completion came");
  const { replace, options, wrong } = await answer.json();
  const [from, to] = replace.map((at) => unitsOf(text, at));
  const help = ({ about, events }) => about || (events ? `${events.toLocaleString("en")} event${events === 1 ? "" : "s"}` : "");
  const items = options.slice(0, 12).map((option) => ({ text: option.insert, help: help(option), more: option.insert.endsWith(":"), from, to }));
  return { items: items.filter(({ text: insert }) => insert !== text.slice(from, to)), wrong: wrong && { ...wrong, at: wrong.at.map((at) => unitsOf(text, at)) } };
}

class Completion {
  #list = element("ul", { role: "listbox", id: "q-offers", "aria-label": "completions" });
  #chosen = -1;

  constructor(input) {
    this.input = input;
    this.fields = JSON.parse(input.dataset.fields ?? "[]");
    this.#list.hidden = true;
    input.parentElement.append(this.#list);
    for (const [name, value] of Object.entries({ role: "combobox", "aria-autocomplete": "list", "aria-controls": "q-offers", "aria-expanded": "false" })) input.setAttribute(name, value);
    this.#list.addEventListener("mousedown", (event) => {
      event.preventDefault();
      const option = event.target.closest("[role=option]");
      if (option) this.take([...this.#list.children].indexOf(option));
    });
  }

  get open() { return !this.#list.hidden; }
  get chosen() { return this.#chosen; }

  show() {
    const { typed } = wordAt(this.input);
    this.fill(offers(this.fields, typed));
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.askServer(), 90);
  }

  async askServer() {
    const [text, caret] = [this.input.value, this.input.selectionStart];
    try {
      const { items, wrong } = await asked(text, caret);
      if (this.input.value !== text || this.input.selectionStart !== caret || document.activeElement !== this.input) return;
      if (this.#chosen < 0) this.fill(items);
      this.wrongAt?.(wrong && (caret < wrong.at[0] || caret > wrong.at[1]) ? wrong : null);
    } catch { /* the page's own offers stay */ }
  }

  fill(items) {
    this.items = items;
    this.#list.replaceChildren(...this.items.map((item, at) => element("li", { role: "option", id: `q-offer-${at}`, "aria-selected": "false" }, element("code", {}, item.text), item.help ? element("span", {}, item.help) : null)));
    this.#list.hidden = this.items.length === 0;
    this.input.setAttribute("aria-expanded", String(this.open));
    this.choose(-1);
  }

  hide() {
    this.#list.hidden = true;
    this.input.setAttribute("aria-expanded", "false");
    this.choose(-1);
  }

  choose(at) {
    this.#chosen = at;
    [...this.#list.children].forEach((option, each) => option.setAttribute("aria-selected", String(each === at)));
    if (at >= 0) this.input.setAttribute("aria-activedescendant", `q-offer-${at}`);
    else this.input.removeAttribute("aria-activedescendant");
    this.#list.children[at]?.scrollIntoView({ block: "nearest" });
  }

  step(by) { this.choose((this.#chosen + by + this.items.length) % this.items.length); }

  take(at) {
    const item = this.items[at];
    const from = item.from ?? wordAt(this.input).start;
    this.input.setRangeText(item.text + (item.more ? "" : " "), from, item.to ?? this.input.selectionStart, "end");
    this.input.dispatchEvent(new Event("input"));
    if (!item.more) this.hide();
  }
}

export function helpAsking(form) {
  const input = form.querySelector("input[name=q]");
  const screen = element("div", { class: "paint", "aria-hidden": "true" });
  input.before(screen);
  form.classList.add("painted");
  const wrong = wrongIn(input);
  const sent = input.value;
  let found = null;
  const repaint = () => paint(input, screen, found ?? (input.value === sent ? wrong : null));
  const completion = new Completion(input);
  const note = element("p", { class: "told", role: "status" });
  completion.wrongAt = (mistake) => {
    found = mistake && [mistake.at[0], Math.max(mistake.at[1], mistake.at[0] + 1)];
    note.textContent = mistake ? [mistake.message, mistake.hint].filter(Boolean).join(" ") : "";
    if (mistake) form.after(note);
    else note.remove();
    repaint();
  };
  input.addEventListener("input", () => { found = null; repaint(); completion.show(); });
  input.addEventListener("scroll", repaint);
  input.addEventListener("focus", () => { if (input.value === "") completion.show(); });
  input.addEventListener("blur", () => completion.hide());
  input.addEventListener("keydown", (event) => {
    if (!completion.open) return;
    const steps = { ArrowDown: () => completion.step(1), ArrowUp: () => completion.step(-1), Escape: () => completion.hide() };
    if (event.key === "Tab" || (event.key === "Enter" && completion.chosen >= 0)) steps[event.key] = () => completion.take(Math.max(0, completion.chosen));
    if (!Object.hasOwn(steps, event.key)) return;
    event.preventDefault();
    event.stopPropagation();
    steps[event.key]();
  });
  repaint();
}
