// An evidence pack with one byte changed, in each of its parts; and one signed by somebody else.
import { createHash, generateKeyPairSync, sign } from "node:crypto";

const BEGIN = "id=\"pack\">";

const another = (character) => (character === "A" ? "B" : "A");
const flip = (text, at) => text.slice(0, at) + (/[0-9a-f]/.test(text[at]) ? (text[at] === "0" ? "1" : "0") : another(text[at])) + text.slice(at + 1);

/** The file with its data changed by `change`. */
function withData(html, change) {
  const begin = html.indexOf(BEGIN) + BEGIN.length;
  const end = html.indexOf("</script>", begin);
  const pack = JSON.parse(html.slice(begin, end));
  change(pack);
  return html.slice(0, begin) + JSON.stringify(pack).replaceAll("<", "\\u003c") + html.slice(end);
}

const middle = (text) => Math.floor(text.length / 2);

/** Name of the part, the changed file, and the check that must name it (none: the page must not have run). */
export function tampered(html) {
  const changed = (change) => withData(html, change);
  const script = html.indexOf("Every check below");
  const style = html.indexOf("--paper: #");
  return [
    ["the recording", changed((pack) => { pack.recording.data = flip(pack.recording.data, middle(pack.recording.data)); }), "recording"],
    ["the recording's digest", changed((pack) => { pack.recording.sha256 = flip(pack.recording.sha256, 9); }), "recording"],
    ["the first event", changed((pack) => {
      const leaf = Buffer.from(pack.events[0].leaf, "base64").toString().replace("success", "succesz");
      pack.events[0].leaf = Buffer.from(leaf).toString("base64");
    }), "events proven"],
    ["an event's index", changed((pack) => { pack.events[0].index += 1; }), "events proven"],
    ["a hash of a path", changed((pack) => { const { hashes } = pack.events.at(-1); hashes[0] = flip(hashes[0], 20); }), "events proven"],
    ["the checkpoint's size", changed((pack) => { pack.checkpoint = pack.checkpoint.replace(`\n${pack.size}\n`, `\n${pack.size + 1}\n`); }), "checkpoint"],
    ["the checkpoint's root", changed((pack) => { const [, , root] = pack.checkpoint.split("\n"); pack.checkpoint = pack.checkpoint.replace(root, flip(root, 5)); }), "checkpoint"],
    ["the checkpoint's signature", changed((pack) => { pack.checkpoint = flip(pack.checkpoint, pack.checkpoint.length - 20); }), "checkpoint"],
    ["the key", changed((pack) => { pack.vkey = flip(pack.vkey, pack.vkey.length - 9); }), "key"],
    ["the header's form", changed((pack) => { pack.format = "meshtrail-pack-7"; }), "this file"],
    ["the header's session", changed((pack) => { pack.session = pack.session.replace(/.$/, (last) => (last === "9" ? "8" : "9")); }), "events read"],
    ["the page's look", html.slice(0, style) + "--papes" + html.slice(style + 7), "this file"],
    ["the page's script", flip(html, script), null],
  ];
}

/** The same pack, its checkpoint signed anew by a key of a forger: sound in itself, but another key. */
export function forged(html) {
  return withData(html, (pack) => {
    const { publicKey, privateKey } = generateKeyPairSync("ed25519");
    const name = pack.vkey.split("+")[0];
    const key = Buffer.concat([Buffer.of(1), publicKey.export({ format: "der", type: "spki" }).subarray(-32)]);
    const id = createHash("sha256").update(`${name}\n`).update(key).digest().subarray(0, 4);
    const body = pack.checkpoint.slice(0, pack.checkpoint.indexOf("\n\n") + 1);
    const signature = Buffer.concat([id, sign(null, Buffer.from(body), privateKey)]).toString("base64");
    pack.vkey = `${name}+${id.toString("hex")}+${key.toString("base64")}`;
    pack.checkpoint = `${body}\n— ${name} ${signature}\n`;
  });
}

export const keyOf = (html) => JSON.parse(html.slice(html.indexOf(BEGIN) + BEGIN.length, html.indexOf("</script>", html.indexOf(BEGIN)))).vkey;
