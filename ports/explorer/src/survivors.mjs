/**
 * Who may survive the steps, where the logits are off by rounding: as parity_tests/judges/cuts.py and pipeline.py have
 * it, for one row. A filter compares rounded numbers; where such a number is within its bound, either way is right.
 */

import { topK } from "../../javascript/lm_head.mjs";
import * as bounds from "./bounds.mjs";

const MANY = 64; // more ways through the steps than that are not tried
const DTYPES = ["float32", "float64"]; // the head's, and our own

/** @typedef {{z: Float64Array, error: Float64Array}} State logits (V) that are off by at most `error` (V) */
/** @typedef {{sure: (v: number) => boolean, possible: (v: number) => boolean}} Cut of those that are not masked */

const lowerOf = ({ z, error }) => z.map((x, v) => x - error[v]);
const upperOf = ({ z, error }) => z.map((x, v) => x + error[v]);
const all = { sure: () => true, possible: () => true };

const descending = (keys, ids) => Int32Array.from(ids).sort((a, b) => keys[b] - keys[a]);

/** The ids that are not masked. */
export function aliveOf(z) {
  const ids = [];
  for (let v = 0; v < z.length; v++) if (z[v] > -Infinity) ids.push(v);
  return ids;
}

/** The k largest: one is sure if fewer than k others may be as large, possible if fewer than k surely are larger. */
function topKCut(state, alive, { k }) {
  if (alive.length <= k) return all;
  const [lower, upper] = [lowerOf(state), upperOf(state)];
  const kth = topK(lower, k).values[k - 1];
  const next = topK(upper, k + 1).values[k];
  return { sure: (v) => lower[v] > next, possible: (v) => upper[v] >= kth };
}

/**
 * Top-p: one is sure if all that may come before it are not enough, and possible if those that surely do are not.
 * Whether a sum of exactly p is enough makes no difference to sums that round.
 */
function topPCut(state, alive, { p }) {
  if (p === 1) return all;
  const [lower, upper] = [lowerOf(state), upperOf(state)];
  const z = Float64Array.from(alive, (v) => state.z[v]);
  const error = Float64Array.from(alive, (v) => state.error[v]);
  const exact = bounds.exactSoftmax(z);
  const share = new Float64Array(state.z.length);
  alive.forEach((v, i) => (share[v] = exact[i]));
  const band = DTYPES.reduce((sum, t) => sum + bounds.runningShare(z, p, t, error, exact, state.z.length), 0);
  const sure = new Uint8Array(state.z.length);
  let [before, mayPrecede, least] = [0, 0, -Infinity]; // sums of those surely larger, and of those that may be as large
  const others = descending(upper, alive);
  let i = 0;
  for (const v of descending(lower, alive)) {
    for (; i < others.length && upper[others[i]] >= lower[v]; i++) mayPrecede += share[others[i]];
    if (mayPrecede - share[v] + band < p) sure[v] = 1;
    before += share[v];
    if (before - band < p) continue;
    least = lower[v]; // what is surely below this one has enough before it
    break;
  }
  return { sure: (v) => sure[v] === 1, possible: (v) => upper[v] >= least };
}

/** Min-p, by the distance of a weight from p. */
function minPCut({ z, error }, alive, { p }) {
  if (p === 0) return all;
  const max = alive.reduce((most, v) => Math.max(most, z[v]), -Infinity);
  const [values, errors] = [z, error].map((numbers) => Float64Array.from(alive, (v) => numbers[v]));
  const band = new Float64Array(z.length);
  for (const t of DTYPES) bounds.weight(values, p, t, errors).forEach((b, i) => (band[alive[i]] += b));
  const weight = (v) => Math.exp(z[v] - max);
  return { sure: (v) => weight(v) - band[v] >= p, possible: (v) => weight(v) + band[v] >= p };
}

const CUTS = { keep_top_k: topKCut, keep_top_p: topPCut, keep_min_p: minPCut };

/** What a filter surely keeps and may keep. */
export const cutOf = (name, state, given) => CUTS[name](state, aliveOf(state.z), given);

/**
 * The states that a step may lead to, if all that are `kept` stay. The others that may stay fall sooner or later, which
 * makes a difference only to the sums of a later top-p: there any number of them is tried, the first by rank.
 *
 * @returns {State[]}
 */
function after(state, [name, given], kept, sumsFollow) {
  const { z, error } = state;
  if (name === "apply_temperature") {
    const T = Math.fround(given.temperature);
    const grown = (e, v) => (z[v] > -Infinity ? bounds.temperature(z[v], T, "float32", e) : 0);
    return [{ z: z.map((x) => x / T), error: error.map(grown) }];
  }
  const alive = aliveOf(z);
  const { sure, possible } = CUTS[name](state, alive, given);
  const stays = alive.filter((v) => sure(v) || (kept[v] && possible(v)));
  const others = alive.filter((v) => !kept[v] && !sure(v) && possible(v));
  const missing = name === "keep_top_k" ? Math.min(given.k, alive.length) - stays.length : stays.length ? 0 : 1;
  const exact = name === "keep_top_k" && given.ties !== "all";
  const least = Math.max(missing, 0);
  const most = Math.min(others.length, exact ? missing : sumsFollow ? least + MANY - 1 : least);
  if (most > 0) others.sort((a, b) => z[b] - z[a] || a - b);
  const states = [];
  for (let n = least; n <= most; n++) {
    const left = new Float64Array(z.length).fill(-Infinity);
    for (const v of stays) left[v] = z[v];
    for (const v of others.slice(0, n)) left[v] = z[v];
    states.push({ z: left, error });
  }
  return states;
}

/**
 * Where the steps may lead from these logits, if all that are `kept` (V) survive; at most MANY ways.
 *
 * @param {Float64Array} exact (V)
 * @param {Float64Array} error (V)
 * @param {[string, object][]} steps
 * @param {Uint8Array} kept (V)
 * @returns {State[]}
 */
export function ends(exact, error, steps, kept) {
  let states = [{ z: exact, error }];
  steps.forEach((step, i) => {
    const sumsFollow = steps.slice(i + 1).some(([name]) => name === "keep_top_p");
    states = states.flatMap((state) => after(state, step, kept, sumsFollow)).slice(0, MANY);
  });
  return states.filter(({ z }) => kept.every((is, v) => !is || z[v] > -Infinity));
}
