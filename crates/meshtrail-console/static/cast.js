// A recording's bytes as received, read for playing. The bytes are never changed: what the stream gets wrong
// (sizes of 0, Kubernetes' rows-before-columns, a last line cut off, times that go back) is mended here, and
// each mending is reported.

const SIZE = { cols: [1, 1000], rows: [1, 500] };
const sized = (value, [least, most], instead) => (Number.isInteger(value) && value >= least && value <= most ? value : instead);

function readHeader(line) {
  let header;
  try { header = JSON.parse(line); } catch { header = null; }
  if (typeof header !== "object" || header === null || Array.isArray(header)) return { header: {}, mended: ["its header cannot be read"] };
  return { header, mended: [] };
}

function readLine(line) {
  let parts;
  try { parts = JSON.parse(line); } catch { return null; }
  if (!Array.isArray(parts) || parts.length !== 3) return null;
  const [time, code, data] = parts;
  return Number.isFinite(time) && typeof code === "string" && typeof data === "string" ? { time, code, data } : null;
}

function readResize(data, swapped) {
  const parts = /^(\d{1,5})x(\d{1,5})$/.exec(data);
  if (!parts) return null;
  const [one, other] = [Number(parts[1]), Number(parts[2])];
  const [cols, rows] = swapped ? [other, one] : [one, other];
  return sized(cols, SIZE.cols, 0) && sized(rows, SIZE.rows, 0) ? { cols, rows } : null;
}

/** Gives {cols, rows, events, mended} as the player takes it. */
export function readCast(bytes) {
  const lines = new TextDecoder("utf-8").decode(bytes).split("\n");
  if (lines.at(-1) === "") lines.pop();
  const { header, mended } = readHeader(lines[0] ?? "");
  const swapped = typeof header.kubernetes === "object" && header.kubernetes !== null;
  const events = [];
  let skipped = 0;
  let latest = 0;
  let back = 0;
  for (const line of lines.slice(mended.length ? 0 : 1)) {
    const read = readLine(line);
    if (!read) { skipped += line === "" ? 0 : 1; continue; }
    if (read.time < latest) back += 1;
    latest = Math.max(latest, read.time);
    if (read.code === "r") {
      const size = readResize(read.data, swapped);
      if (size) events.push([latest, "r", size]);
    } else if (read.code === "o" || read.code === "m") {
      events.push([latest, read.code, read.data]);
    }
  }
  if (skipped) mended.push(skipped === 1 ? "one line cannot be read (cut off at its end)" : `${skipped} lines cannot be read`);
  if (back) mended.push(`${back} times go back and were held`);
  return { cols: sized(header.width, SIZE.cols, 80), rows: sized(header.height, SIZE.rows, 24), events, mended };
}
