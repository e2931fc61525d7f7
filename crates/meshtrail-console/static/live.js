// The list of sessions, kept current without moving what is being read: rows change in place; new ones come in
// only while the reader is at the top and holds no row, otherwise a line offers them.
import { element } from "./proof-view.js";

const EVERY = 3000;

const reading = (table) => window.scrollY > 40 || table.contains(document.activeElement) || table.matches(":hover");

function refreshRow(row, fresh) {
  if (row.className !== fresh.className) row.className = fresh.className;
  [...fresh.cells].forEach((cell, at) => {
    if (row.cells[at] && row.cells[at].innerHTML !== cell.innerHTML && !row.cells[at].contains(document.activeElement)) {
      row.cells[at].replaceChildren(...cell.cloneNode(true).childNodes);
    }
  });
}

function offer(table, count) {
  let line = document.querySelector(".newer");
  if (!count) return line?.remove();
  if (!line) {
    line = element("a", { class: "newer", href: location.pathname + location.search });
    table.before(line);
  }
  line.textContent = count === 1 ? "1 new session: show it" : `${count} new sessions: show them`;
  return undefined;
}

function bringIn(table, page) {
  const body = table.tBodies[0];
  const fresh = [...page.querySelectorAll("table[data-live] tbody tr[id]")];
  const shown = new Map([...body.rows].map((row) => [row.id, row]));
  const added = fresh.filter((row) => !shown.has(row.id));
  fresh.filter((row) => shown.has(row.id)).forEach((row) => refreshRow(shown.get(row.id), row));
  if (!added.length) return offer(table, 0);
  if (reading(table)) return offer(table, added.length);
  body.replaceChildren(...fresh.map((row) => shown.get(row.id) ?? Object.assign(row, { className: `${row.className} arrived` })));
  return offer(table, 0);
}

async function refresh(table) {
  const answer = await fetch(location.pathname + location.search, { headers: { accept: "text/html" } });
  if (!answer.ok || answer.redirected) return;
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  if (page.querySelector("table[data-live]")) bringIn(table, page);
  for (const part of ["h1", ".sound-count"]) {
    const [old, fresh] = [document.querySelector(part), page.querySelector(part)];
    if (old && fresh && old.textContent !== fresh.textContent) old.textContent = fresh.textContent;
  }
}

export function keepCurrent() {
  const table = document.querySelector("table[data-live]");
  const waiting = document.querySelector("[data-live-empty]");
  if (!table && !waiting) return;
  let busy = false;
  setInterval(async () => {
    if (busy || document.hidden) return;
    busy = true;
    try {
      if (table) await refresh(table);
      else await leaveEmpty();
    } catch { /* the server is away: the page keeps what it shows, and the next poll tries again */ }
    busy = false;
  }, EVERY);
}

/** An empty list is replaced as a whole once there is something to show. */
async function leaveEmpty() {
  const answer = await fetch(location.pathname + location.search, { headers: { accept: "text/html" } });
  if (answer.ok && (await answer.text()).includes("data-live=") && document.activeElement === document.body) location.reload();
}
