/** The suite's four words for this page and PyTorch, as parity_tests/judges has them, for one row in float32. */

import { topK } from "../../javascript/lm_head.mjs";
import * as bounds from "./bounds.mjs";

const identical = (a, b) => a.length === b.length && a.every((x, i) => Object.is(x, b[i]));

/** The largest error / bound; Infinity for nan and where an exact value is missed. */
function worst(values, exact, bound) {
  let ratio = 0;
  for (let v = 0; v < exact.length; v++) {
    if (values[v] === exact[v]) continue;
    const r = Math.abs(values[v] - exact[v]) / bound[v];
    if (!(r <= ratio)) ratio = Number.isNaN(r) ? Infinity : r;
  }
  return ratio;
}

const plus = (a, b) => a.map((x, v) => x + b[v]);

/**
 * How far logits may be off: by a float32 head, and by the float64 oracle itself.
 *
 * @param {Float32Array} context (d)
 * @param {Float32Array} embedding (V, d)
 * @param {{products?: Float32Array, bias?: Float32Array, finish?: object}} head `finish`: where the products (V) are
 *   not the logits
 */
export function logitErrors(context, embedding, { products, bias, finish } = {}) {
  const magnitude = bounds.magnitude(context, embedding);
  if (bias) bias.forEach((b, v) => (magnitude[v] += Math.abs(b))); // as one product more
  const [float32, float64] = ["float32", "float64"].map((dtype) => {
    const errors = bounds.logits(magnitude, context.length + (bias ? 1 : 0), dtype);
    // The exact sum is no further from that of our products than their own error.
    const sum = (v) => Math.abs(products[v] + (bias ? bias[v] : 0)) + errors[v];
    return finish ? errors.map((error, v) => bounds.finish(sum(v), finish, dtype, error)) : errors;
  });
  return plus(float32, float64);
}

/**
 * Logits of two heads, each within its bound of the exact ones  [LOGITS-2].
 *
 * @param {Float32Array} ours (V)
 * @param {Float32Array} theirs (V)
 * @param {Float64Array} exact (V)
 * @param {Float64Array} error (V), of `logitErrors`
 * @returns {{word: string, ratio: number, rule?: string}} the word, and their largest error / bound
 */
export function logits(ours, theirs, exact, error) {
  const ratio = worst(theirs, exact, error);
  if (!(ratio <= 1 && worst(ours, exact, error) <= 1)) return { word: "DIVERGED", ratio, rule: "LOGITS-2" };
  return { word: identical(ours, theirs) ? "IDENTICAL" : "WITHIN_BOUND", ratio };
}

/** The judge of the whole head at one setting. */
export class HeadJudge {
  constructor(exact, error, temperature, k) {
    const T = Math.fround(temperature);
    this.scaled = exact.map((x) => x / T);
    this.errorOf = (v) => bounds.temperature(exact[v], T, "float32", error[v]);
    this.k = Math.min(k, exact.length);
    // In order of value, then of id; all of them need no order, only which is the last.
    const whole = this.k === exact.length;
    const order = whole ? exact.keys() : topK(this.scaled, this.k + 1).tokenIds;
    this.best = Array.from(order).slice(0, this.k);
    const lowest = (a, v) => (this.scaled[v] <= this.scaled[a] ? v : a);
    this.last = whole ? this.best.reduce(lowest, 0) : order[this.k - 1];
    this.runnerUp = whole ? this.last : order[this.k];
    this.top = new Uint8Array(exact.length);
    for (const v of this.best) this.top[v] = 1;
  }

  /** Closer to token `v` than both their errors allow to tell. */
  #near(token, v) {
    return Math.abs(this.scaled[token] - this.scaled[v]) <= this.errorOf(token) + this.errorOf(v);
  }

  /** The survivors behind a row of probabilities, those included that underflowed; null if they break TOPK-1. */
  #survivors(probs) {
    const kept = new Uint8Array(probs.length);
    let alive = 0;
    for (let v = 0; v < probs.length; v++) {
      if (!(probs[v] > 0)) continue;
      if (++alive > this.k || (!this.top[v] && !this.#near(v, this.last))) return null;
      kept[v] = 1;
    }
    for (const v of this.best) {
      if (alive >= this.k) break; // what is missing underflowed to zero, best first
      if (!kept[v]) alive++;
      kept[v] = 1;
    }
    return this.best.some((v) => !kept[v] && !this.#near(v, this.runnerUp)) ? null : kept;
  }

  /** The exact probabilities of these survivors, and how far a float32 head may be from them. */
  #reach(survivors) {
    const V = survivors.length;
    const ids = Array.from(survivors.keys()).filter((v) => survivors[v]);
    const z = Float64Array.from(ids, (v) => this.scaled[v]);
    const p = bounds.exactSoftmax(z);
    const float32 = bounds.softmax(z, "float32", Float64Array.from(ids, this.errorOf), p, V);
    const both = plus(float32, bounds.softmax(z, "float64", null, p, V));
    const [exact, bound] = [new Float64Array(V), new Float64Array(V)]; // 0 for all the others, exactly
    ids.forEach((v, i) => ([exact[v], bound[v]] = [p[i], both[i]]));
    return { exact, bound };
  }

  /**
   * Two rows of probabilities  [HEAD-1, TOPK-1].
   *
   * @param {Float32Array} ours (V)
   * @param {Float32Array} theirs (V)
   * @returns {{word: string, ratio: number, rule?: string, bound?: Float64Array}} `bound` is that of `ours`
   */
  compare(ours, theirs) {
    const [mine, other] = [this.#survivors(ours), this.#survivors(theirs)];
    if (!mine || !other) return { word: "DIVERGED", ratio: 0, rule: "TOPK-1" };
    const reach = this.#reach(mine);
    const theirReach = identical(mine, other) ? reach : this.#reach(other);
    const { bound } = reach;
    const ratio = worst(theirs, theirReach.exact, theirReach.bound);
    if (!(ratio <= 1 && worst(ours, reach.exact, bound) <= 1))
      return { word: "DIVERGED", ratio, rule: "HEAD-1", bound };
    if (identical(ours, theirs)) return { word: "IDENTICAL", ratio, bound };
    const same = ours.every((p, v) => p > 0 === theirs[v] > 0);
    return { word: same ? "WITHIN_BOUND" : "TIE_BREAK", ratio, bound };
  }
}

/**
 * Two tokens drawn from the same noise, from probabilities that are off by at most `error`  [DRAW-1, DRAW-2].
 *
 * @param {number} ours
 * @param {number} theirs
 * @param {Float32Array} probs (V)
 * @param {Float32Array} noise (V)
 * @param {(v: number) => number} error
 */
export function draw(ours, theirs, probs, noise, error) {
  if (!(probs[theirs] > 0)) return { word: "DIVERGED", rule: "DRAW-2" };
  if (ours === theirs) return { word: "IDENTICAL" };
  const bound = (v) => ["float32", "float64"].reduce((sum, t) => sum + bounds.race(probs[v], noise[v], t, error(v)), 0);
  const lead = Math.abs(probs[ours] / noise[ours]) - Math.abs(probs[theirs] / noise[theirs]);
  return lead <= bound(ours) + bound(theirs) ? { word: "TIE_BREAK" } : { word: "DIVERGED", rule: "DRAW-1" };
}
