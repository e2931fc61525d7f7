// The keyboard. `j` and `k` move the focus from row to row (so Enter opens, by the browser's own rule), and the
// address keeps the row, so that Back returns to it. A page may offer its own keys first (the replay does).

const typing = (target) => target.closest?.("input:not([type=checkbox]), textarea, select, [contenteditable]");
const rows = () => [...document.querySelectorAll("[data-row]")];
const own = [];

export const offerKeys = (handler) => own.push(handler);

function move(by) {
  const all = rows();
  if (!all.length) return;
  const at = all.findIndex((row) => row.contains(document.activeElement));
  const next = at < 0 ? (by > 0 ? 0 : all.length - 1) : Math.min(all.length - 1, Math.max(0, at + by));
  const link = all[next].querySelector("a.open");
  link?.focus();
  all[next].scrollIntoView({ block: "nearest" });
  if (all[next].id) history.replaceState(history.state, "", `#${all[next].id}`);
}

function back() {
  const open = document.querySelector("dialog[open]");
  if (open) return open.close();
  if (document.activeElement !== document.body && document.activeElement?.closest("main, form.ask")) return document.activeElement.blur();
  const up = document.querySelector("[data-back]");
  if (!up) return undefined;
  // Going back keeps the list's place; a page opened from a link has no list behind it.
  const { navigation } = globalThis;
  const before = navigation?.entries()[navigation.currentEntry.index - 1]?.url;
  const list = new URL(up.href).pathname;
  return before && new URL(before).pathname === list ? history.back() : up.click();
}

function askNow() {
  const box = document.querySelector("form[role=search] input[name=q]");
  box?.focus();
  box?.setSelectionRange(box.value.length, box.value.length);
}

const follow = (selector) => document.querySelector(selector)?.click();

const keys = {
  "/": askNow,
  j: () => move(1),
  k: () => move(-1),
  Escape: back,
  f: () => follow("[data-follow]"),
  "[": () => follow("a[rel=next], a[data-earlier]"),
  "]": () => follow("a[rel=prev], a[data-later]"),
  "?": () => document.querySelector("#keys")?.showModal(),
};

export function listenToKeys() {
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing || event.defaultPrevented) return;
    if (typing(event.target)) {
      if (event.key === "Escape") event.target.blur();
      return;
    }
    if (event.target.closest?.(".ap-wrapper") && !["/", "Escape"].includes(event.key)) return;
    if (event.target.closest?.("dialog") && event.key !== "Escape") return;
    if (event.key === " " && event.target.closest?.("button, summary, a, label")) return;
    const taken = own.some((handler) => handler(event.key)) || (Object.hasOwn(keys, event.key) && (keys[event.key](), true));
    if (taken) event.preventDefault();
  });
  for (const button of document.querySelectorAll("[data-keys]")) {
    button.hidden = false;
    button.addEventListener("click", keys["?"]);
  }
  const kept = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
  kept?.querySelector?.("a.open")?.focus({ preventScroll: true });
}
