// Makes a piece of a page read as a newer one of its kind, in place: what stands for the same thing stays the same
// node, so that a click under way, the focus and the pointer keep what they are on.

/** What a node stands for among its siblings: its key, where its link leads, or which of its name it is. */
function keysOf(parent) {
  const places = new Map();
  return [...parent.childNodes].map((node) => {
    const told = node.id || node.dataset?.key || (node.matches?.("li, a, span:has(> a)") && (node.getAttribute("href") ?? node.querySelector("a[href]")?.getAttribute("href")));
    if (told) return `${node.nodeName} ${told}`;
    const place = (places.get(node.nodeName) ?? 0) + 1;
    places.set(node.nodeName, place);
    return `${node.nodeName} ${place}`;
  });
}

function takeAttributes(old, fresh) {
  for (const { name, value } of fresh.attributes) if (old.getAttribute(name) !== value) old.setAttribute(name, value);
  for (const name of old.getAttributeNames()) if (!fresh.hasAttribute(name)) old.removeAttribute(name);
}

/** Whether two drawings have the same axis, so that a bar of one stands where its equal of the other does. */
const sameAxis = (old, fresh) => ["from", "width", "bars"].every((name) => old.dataset[name] === fresh.dataset[name]);

/** `still`: nothing is added, taken away or moved; what is there says the newer words and numbers. */
export function retouch(old, fresh, still = false) {
  if (old.nodeType !== Node.ELEMENT_NODE) {
    if (old.data !== fresh.data) old.data = fresh.data;
    return;
  }
  if (still && old.localName === "svg" && !sameAxis(old, fresh)) return;
  takeAttributes(old, fresh);
  const keys = keysOf(old);
  const mine = new Map([...old.childNodes].map((node, at) => [keys[at], node]));
  const [wanted, come] = [keysOf(fresh), [...fresh.childNodes]];
  let place = old.firstChild;
  come.forEach((node, at) => {
    const known = mine.get(wanted[at]);
    mine.delete(wanted[at]);
    if (known) retouch(known, node, still);
    if (still) return;
    if (known && known === place) place = place.nextSibling;
    else old.insertBefore(known ?? document.importNode(node, true), place);
  });
  if (!still) mine.forEach((node) => node.remove());
}
