// How a proof is shown. A line turns green only by `good`, which callers reach after computing; whatever could
// not be computed is amber, whatever contradicts is red. Text goes in as text, never as markup.

export function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value !== undefined && value !== null) made.setAttribute(key, value);
  }
  made.append(...children.filter((child) => child !== undefined && child !== null));
  return made;
}

const WORDS = { good: "proven", open: "open", unsure: "not checked", bad: "does not hold", busy: "checking" };

/** `step`: {name, value, note, state: good | unsure | bad, hashes?: [hex]}. */
function stepRow(step) {
  const row = element("li", { class: step.state });
  row.append(element("span", { class: "name" }, step.name));
  const said = element("span", { class: "said" });
  if (step.value) said.append(element("code", { title: step.full ?? step.value }, step.value), " ");
  if (step.hashes?.length) said.append(hashList(step.hashes));
  if (step.note) said.append(element("span", { class: step.state }, step.note));
  row.append(said);
  return row;
}

function hashList(hashes) {
  const list = element("ol", { class: "hashes" }, ...hashes.map((hash) => element("li", {}, element("code", {}, hash))));
  return element("details", {}, element("summary", {}, hashes.length === 1 ? "1 hash" : `${hashes.length} hashes`), list);
}

/** Fills a `.proof` section. `state`: busy | open (what was asked holds, more can be) | good | unsure | bad. */
export function showProof(section, { state, title, text, steps = [] }) {
  section.classList.remove("busy", "open", "good", "unsure", "bad");
  section.classList.add(state);
  section.dataset.state = state;
  const opened = section.querySelector("details.way")?.open ?? false;
  const head = element("p", { class: "head" }, element("b", {}, title ?? WORDS[state]), text ? element("span", {}, text) : null);
  const kept = [...section.querySelectorAll("[data-keep]")];
  section.replaceChildren(head);
  if (steps.length) {
    const way = element("details", { class: "way" }, element("summary", {}, "what was checked"), element("ol", { class: "steps" }, ...steps.map(stepRow)));
    way.open = opened || state === "bad" || section.hasAttribute("data-open");
    section.append(way);
  }
  section.append(...kept);
}
