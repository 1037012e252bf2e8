/**
 * Filters: which tokens may be drawn at all. Each takes logits (rows, V) and returns them with -Infinity where a token
 * falls.
 *
 *     logits [rows, V]
 *         |   keepTopP, keepTypical, keepTopH           the first of a ranking, until that is enough
 *         |   keepMinP, keepEpsilon, keepEta,
 *         |   keepTopNSigma                             what reaches a threshold
 *         |   keepXtc                                   now and then, all but the most likely
 *     logits [rows, V]     survivors have the bits they came with
 *
 * Arrays, V and refusals are as in lm_head.mjs. At least one token survives, and a masked one never does  [FILTER-1].
 * Each filter looks at the softmax of what it is given, in float64. What a parameter may be: [FILTER-11].
 *
 * @module
 */

import { checkNumber, checkUniform, checkWord, refuse } from "./checks.mjs";
import { topK } from "./lm_head.mjs";

/** @typedef {Float32Array | Float64Array} Floats */

/** A number between 0 and 1. The two ends are refused unless `ends` has them. */
function checkShare(name, value, ...ends) {
  checkNumber(name, value, "bad_share");
  if (!((value > 0 && value < 1) || ends.includes(value)))
    refuse("bad_share", `${name} is ${value}: it must be between 0 and 1${ends.map((end) => `, or ${end}`).join("")}`);
}

/**
 * The logits of one row, their weights exp(z - max), which are 1 for the largest and 0 for a masked token, and the sum.
 */
function rowOf(z, max) {
  const weights = Float64Array.from(z, (x) => Math.exp(x - max));
  return { z, max, weights, total: weights.reduce((a, b) => a + b, 0) };
}

/** -ln q, infinite for a masked token. It is not the logarithm of a weight, which may be 0. */
const surprise = ({ z, max, total }, v) => Math.log(total) - (z[v] - max);

/** -q ln q of each token, which is 0 for one of no weight. */
const entropyParts = (row) => row.weights.map((w, v) => (w > 0 ? (w / row.total) * surprise(row, v) : 0));

const entropyOf = (row) => entropyParts(row).reduce((a, b) => a + b, 0);

/** Keeps what `choose(row, number)`, which is given one row and returns a function of the id, says. */
function filter(logits, V, choose) {
  const largest = topK(logits, 1, V).values; // which refuses bad logits
  const kept = new logits.constructor(logits.length).fill(-Infinity);
  largest.forEach((max, number) => {
    const z = logits.subarray(number * V, number * V + V);
    const stays = choose(rowOf(z, max), number);
    for (let v = 0; v < V; v++) if (stays(v)) kept[number * V + v] = z[v];
  });
  return kept;
}

/** Ids by score descending, then by id ascending. The first are soon found, without the order of the others. */
function* ranking(scores) {
  for (let from = 0, k = 64; from < scores.length; from = k, k *= 8) yield* topK(scores, k).tokenIds.subarray(from);
}

/**
 * The first of a ranking, up to where the running sum of their weights has this share of the total; with allTies, also
 * what scores as the last one.
 */
function first({ weights, total }, scores, share, until, allTies) {
  const stays = new Uint8Array(scores.length);
  let [running, full, last] = [0, false, 0];
  for (const id of ranking(scores)) {
    if (full && !(allTies && scores[id] === last)) break;
    stays[id] = 1;
    running += weights[id];
    full = until === "exceeded" ? running > share * total : running >= share * total;
    last = scores[id];
  }
  return (v) => stays[v] === 1;
}

/**
 * The most probable tokens, up to the first at which their running sum reaches p  [FILTER-2, FILTER-3].
 *
 * @param {Floats} logits (rows, V)
 * @param {number} p in (0, 1]
 * @param {"reached" | "exceeded"} until whether a sum of exactly p is enough
 * @param {"lowest_id" | "all"} ties whether all that are as probable as the last one stay
 * @param {number} V
 * @returns {Floats} (rows, V)
 */
export function keepTopP(logits, p, until = "reached", ties = "lowest_id", V = logits.length) {
  checkShare("p", p, 1);
  checkWord("until", until, "reached", "exceeded");
  checkWord("ties", ties, "lowest_id", "all");
  const all = () => true; // at p = 1, whatever the rounding of the sum
  return filter(logits, V, (row) => (p === 1 ? all : first(row, row.z, p, until, ties === "all")));
}

/**
 * `exp(z - max) >= p`  [FILTER-4].
 *
 * @param {Floats} logits (rows, V)
 * @param {number} p in [0, 1]
 * @param {number} V
 * @returns {Floats} (rows, V)
 */
export function keepMinP(logits, p, V = logits.length) {
  checkShare("p", p, 0, 1);
  return filter(logits, V, ({ weights }) => (v) => weights[v] >= p);
}

/**
 * The tokens whose -ln q is closest to the entropy, until their sum reaches the mass  [FILTER-5].
 *
 * @param {Floats} logits (rows, V)
 * @param {number} mass in (0, 1)
 * @param {number} V
 * @returns {Floats} (rows, V)
 */
export function keepTypical(logits, mass, V = logits.length) {
  checkShare("mass", mass);
  return filter(logits, V, (row) => {
    const entropy = entropyOf(row);
    const closeness = row.weights.map((_, v) => -Math.abs(surprise(row, v) - entropy));
    return first(row, closeness, mass, "reached", true);
  });
}

/** The tokens of at least this probability, and those that equal the largest. */
const probable = ({ z, max, weights, total }, least) => (v) => weights[v] >= least * total || z[v] === max;

/**
 * `q >= cutoff`, and the largest in any case  [FILTER-6].
 *
 * @param {Floats} logits (rows, V)
 * @param {number} cutoff in (0, 1)
 * @param {number} V
 * @returns {Floats} (rows, V)
 */
export function keepEpsilon(logits, cutoff, V = logits.length) {
  checkShare("cutoff", cutoff);
  return filter(logits, V, (row) => probable(row, cutoff));
}

/**
 * `q >= min(cutoff, sqrt(cutoff) exp(-entropy))`, and the largest in any case  [FILTER-6].
 *
 * @param {Floats} logits (rows, V)
 * @param {number} cutoff in (0, 1)
 * @param {number} V
 * @returns {Floats} (rows, V)
 */
export function keepEta(logits, cutoff, V = logits.length) {
  checkShare("cutoff", cutoff);
  const least = (row) => Math.min(cutoff, Math.sqrt(cutoff) * Math.exp(-entropyOf(row)));
  return filter(logits, V, (row) => probable(row, least(row)));
}

/**
 * Of the 100 largest, the first whose running sum of -r ln r is at most h of the whole sum  [FILTER-7].
 *
 * @param {Floats} logits (rows, V)
 * @param {number} h in (0, 1]
 * @param {number} V
 * @returns {Floats} (rows, V)
 */
export function keepTopH(logits, h, V = logits.length) {
  checkShare("h", h, 1);
  return filter(logits, V, ({ z, max }) => {
    const { values, tokenIds } = topK(z, 100); // the number is part of the rule
    const parts = entropyParts(rowOf(values, max));
    const whole = parts.reduce((a, b) => a + b, 0);
    const stays = new Set();
    let running = 0;
    tokenIds.forEach((id, i) => {
      running += parts[i];
      if (i === 0 || running <= h * whole) stays.add(id);
    });
    return (v) => stays.has(v);
  });
}

/**
 * `z >= max - n s`, with s the standard deviation of the unmasked logits  [FILTER-8].
 *
 * @param {Floats} logits (rows, V)
 * @param {number} n finite and > 0
 * @param {number} V
 * @returns {Floats} (rows, V)
 */
export function keepTopNSigma(logits, n, V = logits.length) {
  checkNumber("n", n, "bad_n");
  if (!(n > 0 && n < Infinity)) refuse("bad_n", `n is ${n}: it must be finite and > 0`);
  return filter(logits, V, ({ z, max }) => {
    const unmasked = z.filter((x) => x > -Infinity);
    let [sum, square] = [0, 0];
    for (const x of unmasked) sum += x;
    const mean = sum / unmasked.length;
    for (const x of unmasked) square += (x - mean) ** 2; // a second pass: where the mean is large, one would cancel
    const threshold = max - n * Math.sqrt(square / unmasked.length);
    return (v) => z[v] >= threshold;
  });
}

/**
 * Where `uniform` is below `probability`: of the tokens with `q >= threshold`, only the least probable stays
 * [FILTER-9].
 *
 * @param {Floats} logits (rows, V)
 * @param {number} threshold in (0, 1]
 * @param {number} probability in [0, 1]
 * @param {Floats} uniform (rows), in [0, 1)
 * @param {number} V
 * @returns {Floats} (rows, V)
 */
export function keepXtc(logits, threshold, probability, uniform, V = logits.length) {
  checkShare("threshold", threshold, 1);
  checkShare("probability", probability, 0, 1);
  checkUniform(uniform, topK(logits, 1, V).values.length);
  return filter(logits, V, ({ z, weights, total }, number) => {
    let least = Infinity; // of those that reach the threshold; what is above it falls
    if (uniform[number] < probability)
      for (let v = 0; v < V; v++) if (weights[v] >= threshold * total && z[v] < least) least = z[v];
    return (v) => z[v] <= least;
  });
}

/**
 * The id of the largest logit, of several the lowest  [FILTER-10].
 *
 * @param {Floats} logits (rows, V)
 * @param {number} V
 * @returns {Int32Array} (rows)
 */
export function greedy(logits, V = logits.length) {
  return topK(logits, 1, V).tokenIds;
}
