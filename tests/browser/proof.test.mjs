// The console's proof code against trees computed another way, in Node's WebCrypto.
import assert from "node:assert/strict";
import { createHash, generateKeyPairSync, sign } from "node:crypto";
import { test } from "node:test";
import { bytesOfBase64, bytesOfText, hexOf } from "../../crates/meshtrail-console/static/bytes.js";
import { readCast } from "../../crates/meshtrail-console/static/cast.js";
import { checkGrowth, checkInclusion, checkNote, leafHash, ProofError, rootFromPath } from "../../crates/meshtrail-console/static/proof.js";
import { RollingSha256 } from "../../crates/meshtrail-console/static/sha256.js";

const sha256 = (...parts) => parts.reduce((hash, part) => hash.update(part), createHash("sha256")).digest();
const node = (left, right) => sha256(Buffer.of(1), left, right);
const cut = (hashes) => { let at = 1; while (at * 2 < hashes.length) at *= 2; return [hashes.slice(0, at), hashes.slice(at)]; };

function root(hashes) {
  if (hashes.length === 1) return hashes[0];
  const [left, right] = cut(hashes);
  return node(root(left), root(right));
}

function path(at, hashes) {
  if (hashes.length === 1) return [];
  const [left, right] = cut(hashes);
  return at < left.length ? [...path(at, left), root(right)] : [...path(at - left.length, right), root(left)];
}

function growth(from, hashes, whole = true) {
  if (from === hashes.length) return whole ? [] : [root(hashes)];
  const [left, right] = cut(hashes);
  return from <= left.length ? [...growth(from, left, whole), root(right)] : [...growth(from - left.length, right, false), root(left)];
}

const leaves = Array.from({ length: 40 }, (_, at) => bytesOfText(`event ${at}`));
const hashes = leaves.map((leaf) => sha256(Buffer.of(0), leaf));

test("every leaf of every tree up to 40 leads to its root, and to no other", async () => {
  for (let size = 1; size <= 40; size += 1) {
    const tree = hashes.slice(0, size);
    for (let index = 0; index < size; index += 1) {
      const way = path(index, tree);
      const leaf = await leafHash(leaves[index]);
      assert.equal(hexOf(await rootFromPath({ leaf, index, size, hashes: way })), root(tree).toString("hex"));
      if (way.length === 0) continue;
      await assert.rejects(rootFromPath({ leaf, index, size, hashes: way.slice(1) }), ProofError);
      await assert.rejects(rootFromPath({ leaf, index, size, hashes: [...way, way[0]] }), ProofError);
    }
  }
});

test("every tree up to 40 grows from every smaller one, and from no other", async () => {
  for (let to = 1; to <= 40; to += 1) {
    for (let from = 1; from <= to; from += 1) {
      const step = { from, fromRoot: root(hashes.slice(0, from)), to, toRoot: root(hashes.slice(0, to)), hashes: from === to ? [] : growth(from, hashes.slice(0, to)) };
      await checkGrowth(step);
      await assert.rejects(checkGrowth({ ...step, fromRoot: sha256("another") }), ProofError);
      await assert.rejects(checkGrowth({ ...step, toRoot: sha256("another") }), ProofError);
    }
  }
  await assert.rejects(checkGrowth({ from: 9, fromRoot: root(hashes.slice(0, 9)), to: 8, toRoot: root(hashes.slice(0, 8)), hashes: [] }), /taken away/);
});

function signed(size, top) {
  const { publicKey, privateKey } = generateKeyPairSync("ed25519");
  const name = "trail.example.com/main";
  const key = Buffer.concat([Buffer.of(1), publicKey.export({ format: "der", type: "spki" }).subarray(-32)]);
  const id = sha256(`${name}\n`, key).subarray(0, 4);
  const body = `${name}\n${size}\n${top.toString("base64")}\n`;
  const signature = Buffer.concat([id, sign(null, Buffer.from(body), privateKey)]).toString("base64");
  return { note: `${body}\n— ${name} ${signature}\n`, vkey: `${name}+${id.toString("hex")}+${key.toString("base64")}` };
}

test("a checkpoint holds by its own key only, and an event by its own path", async () => {
  const { note, vkey } = signed(40, root(hashes));
  const checkpoint = await checkNote(note, vkey);
  assert.equal(checkpoint.size, 40);
  await checkInclusion({ leaf: leaves[7], index: 7, hashes: path(7, hashes), checkpoint });
  await assert.rejects(checkInclusion({ leaf: leaves[8], index: 7, hashes: path(7, hashes), checkpoint }), /altered/);
  await assert.rejects(checkNote(note, signed(40, root(hashes)).vkey), /not signed by/);
  await assert.rejects(checkNote(note.replace("\n40\n", "\n41\n"), vkey), /does not hold/);
  await assert.rejects(checkNote(note, vkey.replace("trail.", "trial.")), /altered/);
  for (const bad of ["", "x", "\n\n", "a\nb\nc\n\n— d e\n", note.replace("—", "-")]) await assert.rejects(checkNote(bad, vkey), ProofError);
});

test("the rolling hash agrees at every length", () => {
  const bytes = Buffer.from(Array.from({ length: 400 }, (_, at) => (at * 131) % 256));
  const rolling = new RollingSha256();
  for (let at = 0; at < bytes.length; at += 1) {
    assert.equal(hexOf(rolling.digest()), sha256(bytes.subarray(0, at)).toString("hex"));
    rolling.update(bytes.subarray(at, at + 1));
  }
});

test("base64 has one form", () => {
  assert.deepEqual([...bytesOfBase64("QUI=")], [65, 66]);
  for (const other of ["QUJ=", "QUI", "QU I=", " QUI=", "QUI=\n", "Q===", null]) assert.throws(() => bytesOfBase64(other), `${other}`);
});

test("a cast is mended for playing, and what was mended is told", () => {
  const lines = ['{"version":2,"width":0,"height":0,"kubernetes":{"PodName":"x"}}', '[1,"o","a"]', '[0.5,"o","b"]', '[2,"r","50x132"]', '[3,"i","secret"]', '[1e400,"o","x"]', '[4,"o","c'];
  const cast = readCast(bytesOfText(lines.join("\n")));
  assert.deepEqual([cast.cols, cast.rows], [80, 24]);
  assert.deepEqual(cast.events, [[1, "o", "a"], [1, "o", "b"], [2, "r", { cols: 132, rows: 50 }]]);
  assert.deepEqual(cast.mended, ["2 lines cannot be read", "1 times go back and were held"]);
  assert.deepEqual(readCast(new Uint8Array()).events, []);
});
