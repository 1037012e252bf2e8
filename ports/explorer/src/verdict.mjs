/** The suite's four words for this page and PyTorch, as parity_tests/judges has them, for one row in float32. */

import * as bounds from "./bounds.mjs";
import { aliveOf, ends } from "./survivors.mjs";

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
  #reaches = []; // for each row of survivors judged so far

  /**
   * @param {Float64Array} exact (V), the logits
   * @param {Float64Array} error (V), of `logitErrors`
   * @param {[string, object][]} steps
   */
  constructor(exact, error, steps) {
    Object.assign(this, { exact, error, steps });
  }

  /** The exact probabilities of these survivors, and how far a float32 head may be from them. */
  static #reach({ z, error }) {
    const V = z.length;
    const ids = aliveOf(z);
    const alive = Float64Array.from(ids, (v) => z[v]);
    const p = bounds.exactSoftmax(alive);
    const float32 = bounds.softmax(alive, "float32", Float64Array.from(ids, (v) => error[v]), p, V);
    const both = plus(float32, bounds.softmax(alive, "float64", null, p, V));
    const [exact, bound] = [new Float64Array(V), new Float64Array(V)]; // 0 for all the others, exactly
    ids.forEach((v, i) => ([exact[v], bound[v]] = [p[i], both[i]]));
    return { exact, bound };
  }

  /** What a right head may have computed, if it is one that kept these; of those that underflowed nothing is known. */
  #reachesOf(probs) {
    const kept = Uint8Array.from(probs, (p) => p > 0);
    let found = this.#reaches.find((known) => identical(known.kept, kept));
    if (!found) {
      found = { kept, reaches: ends(this.exact, this.error, this.steps, kept).map(HeadJudge.#reach) };
      this.#reaches.push(found);
    }
    return found.reaches;
  }

  /** The largest error / bound of these probabilities, by the way of the steps that fits them best, and its bound. */
  #judge(probs) {
    const all = this.#reachesOf(probs).map(({ exact, bound }) => ({ ratio: worst(probs, exact, bound), bound }));
    return all.length ? all.reduce((best, other) => (other.ratio < best.ratio ? other : best)) : null;
  }

  /**
   * Two rows of probabilities  [HEAD-1, TOPK-1, PIPE-1].
   *
   * @param {Float32Array} ours (V)
   * @param {Float32Array} theirs (V)
   * @returns {{word: string, ratio: number, rule?: string, bound?: Float64Array}} `bound` is that of `ours`
   */
  compare(ours, theirs) {
    const [mine, other] = [this.#judge(ours), this.#judge(theirs)];
    const rule = this.steps.length > 2 ? "PIPE-1" : "TOPK-1";
    if (!mine || !other) return { word: "DIVERGED", ratio: 0, rule };
    const [{ bound }, { ratio }] = [mine, other];
    if (!(ratio <= 1 && mine.ratio <= 1)) return { word: "DIVERGED", ratio, rule: "HEAD-1", bound };
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
