/**
 * The tokens that other runtimes draw from a seed: their generators, their order, their walks and races. PyTorch's own
 * stream is in lm_head.mjs.
 */

import { refuse } from "./checks.mjs";
import { multinomial, TorchGenerator, topK } from "./lm_head.mjs";

// ---- generators: each returns a function that gives the next number in [0, 1) ----

function mt19937(seed) {
  const stream = new TorchGenerator(seed);
  return () => {
    const low = stream.output();
    return Math.min((low + stream.output() * 2 ** 32) * 2 ** -64, 1 - 2 ** -53);
  };
}

function pythonRandom(seed) {
  const stream = TorchGenerator.asPython(seed);
  return () => {
    const high = stream.output() >>> 5;
    return (high * 2 ** 26 + (stream.output() >>> 6)) * 2 ** -53;
  };
}

const bits = (n, x) => BigInt.asUintN(n, x);

function xorshift(seed) {
  let state = BigInt(seed);
  return () => {
    state ^= state >> 12n;
    state = bits(64, state ^ (state << 25n));
    state ^= state >> 27n;
    return Number(bits(64, state * 0x2545f4914f6cdd1dn) >> 40n) * 2 ** -24;
  };
}

/** The words of NumPy's SeedSequence, of a seed of 32 bits. */
function seedSequence(seed) {
  let constant;
  const hashed = (value, factor) => {
    const mixed = value ^ constant;
    constant = Math.imul(constant, factor);
    const product = Math.imul(mixed, constant);
    return product ^ (product >>> 16);
  };
  constant = 0x43b0d7e5;
  const pool = [seed, 0, 0, 0].map((word) => hashed(word, 0x931e8875));
  for (let source = 0; source < 4; source++)
    for (let i = 0; i < 4; i++)
      if (i !== source) {
        const mixed = Math.imul(0xca01f9dd, pool[i]) - Math.imul(0x4973f715, hashed(pool[source], 0x931e8875));
        pool[i] = mixed ^ ((mixed | 0) >>> 16);
      }
  constant = 0x8b51f9dd;
  return Array.from({ length: 8 }, (_, i) => BigInt(hashed(pool[i % 4], 0x58f38ded) >>> 0));
}

function pcg64(seed) {
  const w = seedSequence(seed);
  const [high, low] = [0, 4].map((i) => ((w[i] | (w[i + 1] << 32n)) << 64n) | w[i + 2] | (w[i + 3] << 32n));
  const increment = bits(128, (low << 1n) | 1n);
  const next = (state) => bits(128, state * 0x2360ed051fc65da44385df649fccf645n + increment);
  let state = next(increment + high);
  return () => {
    state = next(state);
    const folded = bits(64, (state >> 64n) ^ state);
    const turn = state >> 122n;
    return Number(bits(64, (folded >> turn) | (folded << (64n - turn))) >> 11n) * 2 ** -53;
  };
}

const turned = (x, by) => (x << by) | (x >>> (32 - by));

/** Threefry-2x32 in 20 rounds (Salmon et al. 2011) of key (0, seed): two words of 32 bits. */
function threefry(seed, counter) {
  const keys = [0, seed, seed ^ 0x1bd11bda];
  let [a, b] = [Math.floor(counter / 2 ** 32) | 0, (counter + seed) | 0];
  for (let block = 1; block <= 5; block++) {
    for (const by of block % 2 ? [13, 15, 26, 6] : [17, 29, 16, 24]) {
      a = (a + b) | 0;
      b = turned(b, by) ^ a;
    }
    a = (a + keys[block % 3]) | 0;
    b = (b + keys[(block + 1) % 3] + block) | 0;
  }
  return [a >>> 0, b >>> 0];
}

// ---- draws: each returns a place among the weights ----

const sum = (weights) => weights.reduce((total, weight) => total + weight, 0);

/** The first place that is found, or else the last one. */
function first(weights, found) {
  const place = weights.findIndex(found);
  return place < 0 ? weights.length - 1 : place;
}

function llamaCpp(weights, next) {
  const target = next() * sum(weights);
  let running = 0;
  return first(weights, (weight) => (running += weight) >= target);
}

/** llama2.c, and llm.c with its own target: sums rounded to the dtype of the weights. */
function inTheirDtype(weights, target, round) {
  let running = 0;
  return first(weights, (weight) => (running = round(running + weight)) > target);
}

function transformersJs(weights, next) {
  let left = next() * sum(weights);
  return first(weights, (weight) => (left -= weight) < 0);
}

function numpy(weights, next) {
  const [u, total] = [next(), sum(weights)];
  let running = 0;
  return first(weights, (weight) => (running += weight) / total > u);
}

function jax(weights, seed, start, round) {
  const ln = (x) => round(Math.log(x));
  let [best, largest] = [0, -Infinity];
  weights.forEach((weight, i) => {
    const [a, b] = threefry(seed, start + i);
    const u = round === Math.fround ? ((a ^ b) >>> 9) * 2 ** -23 : (a * 2 ** 20 + (b >>> 12)) * 2 ** -52;
    const value = round(ln(weight) - ln(-ln(u || (round === Math.fround ? 2 ** -126 : 2 ** -1022))));
    if (value > largest) [best, largest] = [i, value];
  });
  return best;
}

/** The draw of each runtime, from weights, the next number of its generator and the rounding of their dtype. */
const WALKS = {
  "llama.cpp": { generator: mt19937, draw: llamaCpp, byRank: true },
  "llama2.c": { generator: xorshift, draw: (weights, next, round) => inTheirDtype(weights, next(), round) },
  "llm.c": {
    generator: xorshift,
    draw: (weights, next, round) => inTheirDtype(weights, round(next() * sum(weights)), round),
  },
  "transformers.js": { generator: pythonRandom, draw: transformersJs, byRank: true },
  jax: { generator: () => null },
  numpy: { generator: pcg64, draw: numpy },
  nanochat: {
    generator: (seed) => new TorchGenerator(seed),
    draw: (weights, stream) => multinomial(weights, stream.exponentials(weights.length))[0],
    byRank: true,
  },
};
const REFUSED = { "llama.cpp": 2 ** 32 - 1, "llama2.c": 0, "llm.c": 0 }; // seeds that they take for something else

/**
 * The first tokens that a runtime draws from a seed, one for each row  [STREAM-1 to STREAM-7].
 *
 * @param {Float32Array | Float64Array} probs (rows, V); nanochat's race is run on float32 noise
 * @param {string} runtime "llama.cpp", "llama2.c", "llm.c", "transformers.js", "jax", "numpy" or "nanochat"
 * @param {bigint | number} seed an integer from 0 to 2^32 - 1
 * @param {number} V
 * @returns {number[]} token ids (rows)
 */
export function drawAs(probs, runtime, seed, V = probs.length) {
  const rows = probs.length / V;
  multinomial(probs, new Float32Array(probs.length), 1, V); // refuses bad probabilities
  if (typeof runtime !== "string" || !Object.hasOwn(WALKS, runtime))
    refuse("bad_runtime", `runtime is ${runtime}: it must be one of ${Object.keys(WALKS).join(", ")}`);
  if (typeof seed !== "bigint" && !Number.isSafeInteger(seed))
    refuse("bad_seed", `seed is ${seed}: it must be an integer`, TypeError);
  if (seed < 0 || seed >= 2 ** 32) refuse("bad_seed", `seed is ${seed}: it must be from 0 to 2^32 - 1`);
  const number = Number(seed);
  if (number === REFUSED[runtime]) refuse("bad_seed", `seed is ${seed}: ${runtime} takes it for something else`);
  const round = probs instanceof Float32Array ? Math.fround : (x) => x;
  const { generator, draw, byRank } = WALKS[runtime];
  const next = generator(number);
  return Array.from({ length: rows }, (_, row) => {
    const weights = probs.subarray(row * V, row * V + V);
    if (sum(weights) === Infinity)
      refuse("overflow", `the sum of probs[${row}] overflows: divide the row by its largest value`);
    if (runtime === "jax") return jax(weights, number, row * V, round);
    if (!byRank) return draw(weights, next, round);
    const { values, tokenIds } = topK(weights, weights.filter((weight) => weight > 0).length, V);
    return tokenIds[draw(values, next, round)];
  });
}
