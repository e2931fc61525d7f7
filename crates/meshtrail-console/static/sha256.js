// SHA-256 that can be asked for the digest so far: a recording carries a mark of its first n bytes for many n,
// and WebCrypto only hashes whole buffers. The whole recording is hashed by WebCrypto as well; both must agree.

const ROUND = new Uint32Array(64);
const FIRST = new Uint32Array(8);

(function constants() {
  const frac = (x) => ((x - Math.floor(x)) * 0x100000000) >>> 0;
  const prime = (n) => { for (let d = 2; d * d <= n; d += 1) if (n % d === 0) return false; return true; };
  for (let n = 2, found = 0; found < 64; n += 1) {
    if (!prime(n)) continue;
    if (found < 8) FIRST[found] = frac(Math.sqrt(n));
    ROUND[found] = frac(Math.cbrt(n));
    found += 1;
  }
})();

const turn = (x, by) => (x >>> by) | (x << (32 - by));

function mix(state, block, offset, w) {
  for (let i = 0; i < 16; i += 1) {
    const at = offset + i * 4;
    w[i] = (block[at] << 24) | (block[at + 1] << 16) | (block[at + 2] << 8) | block[at + 3];
  }
  for (let i = 16; i < 64; i += 1) {
    const x = w[i - 15];
    const y = w[i - 2];
    w[i] = (w[i - 16] + (turn(x, 7) ^ turn(x, 18) ^ (x >>> 3)) + w[i - 7] + (turn(y, 17) ^ turn(y, 19) ^ (y >>> 10))) | 0;
  }
  let [a, b, c, d, e, f, g, h] = state;
  for (let i = 0; i < 64; i += 1) {
    const one = (h + (turn(e, 6) ^ turn(e, 11) ^ turn(e, 25)) + ((e & f) ^ (~e & g)) + ROUND[i] + w[i]) | 0;
    const two = ((turn(a, 2) ^ turn(a, 13) ^ turn(a, 22)) + ((a & b) ^ (a & c) ^ (b & c))) | 0;
    h = g; g = f; f = e; e = (d + one) | 0; d = c; c = b; b = a; a = (one + two) | 0;
  }
  state[0] += a; state[1] += b; state[2] += c; state[3] += d;
  state[4] += e; state[5] += f; state[6] += g; state[7] += h;
}

export class RollingSha256 {
  #state = FIRST.slice();
  #tail = new Uint8Array(64);
  #held = 0;
  #length = 0;
  #words = new Int32Array(64);

  update(bytes) {
    let at = 0;
    this.#length += bytes.length;
    if (this.#held > 0) {
      const take = Math.min(64 - this.#held, bytes.length);
      this.#tail.set(bytes.subarray(0, take), this.#held);
      this.#held += take;
      at = take;
      if (this.#held < 64) return this;
      mix(this.#state, this.#tail, 0, this.#words);
      this.#held = 0;
    }
    for (; at + 64 <= bytes.length; at += 64) mix(this.#state, bytes, at, this.#words);
    this.#tail.set(bytes.subarray(at), 0);
    this.#held = bytes.length - at;
    return this;
  }

  /** The digest of all bytes so far; more may follow. */
  digest() {
    const state = this.#state.slice();
    const end = new Uint8Array(this.#held < 56 ? 64 : 128);
    end.set(this.#tail.subarray(0, this.#held));
    end[this.#held] = 0x80;
    const view = new DataView(end.buffer);
    view.setUint32(end.length - 8, Math.floor(this.#length / 0x20000000));
    view.setUint32(end.length - 4, (this.#length << 3) >>> 0);
    for (let at = 0; at < end.length; at += 64) mix(state, end, at, this.#words);
    const out = new Uint8Array(32);
    state.forEach((word, at) => new DataView(out.buffer).setUint32(at * 4, word));
    return out;
  }
}
