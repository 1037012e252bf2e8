/**
 * Log-probabilities, as interfaces return them: of every token, of the best, of a given one, and their mean.
 *
 * They are raw from the logits of the model, and processed from what temperature, penalties and filters have left: the
 * same functions of other logits. In nats: divide by ln 2 for bits. Arrays, V and refusals are as in lm_head.mjs. What
 * is refused: [LOGPROB-5].
 *
 * @module
 */

import { checkInteger, checkTargets, checkWord, refuse, roundingOf } from "./checks.mjs";
import { topK } from "./lm_head.mjs";

/** @typedef {Float32Array | Float64Array} Floats */

/** For each row, the function from its logits to their log-probabilities: `x - max - ln sum exp(z - max)`. */
function scorers(logits, V) {
  return Array.from(topK(logits, 1, V).values, (max, row) => {
    let total = 0;
    for (let i = row * V; i < row * V + V; i++) total += Math.exp(logits[i] - max); // exp(-Infinity) is 0
    const log = Math.log(total);
    return (x) => x - max - log;
  });
}

/**
 * The log-probability of every token  [LOGPROB-1].
 *
 * @param {Floats} logits (rows, V)
 * @param {number} V
 * @returns {Floats} (rows, V)
 */
export function logProbs(logits, V = logits.length) {
  const scores = scorers(logits, V);
  return logits.map((x, i) => scores[Math.floor(i / V)](x)); // a mask stays a mask
}

/**
 * The k largest log-probabilities and their ids, those of `topK` and in its order  [LOGPROB-2].
 *
 * @param {Floats} logits (rows, V)
 * @param {number} k an integer >= 1; above V it means V
 * @param {number} V
 * @returns {{logProbs: Floats, tokenIds: Int32Array}} each (rows, min(k, V))
 */
export function topLogProbs(logits, k, V = logits.length) {
  const { values, tokenIds } = topK(logits, k, V);
  const [scores, n] = [scorers(logits, V), Math.min(k, V)];
  return { logProbs: values.map((x, i) => scores[Math.floor(i / n)](x)), tokenIds };
}

/**
 * How many tokens come before the given one, in the order of `topK`  [LOGPROB-3].
 *
 * @param {Floats} logits (rows, V)
 * @param {ArrayLike<number>} tokenIds (rows)
 * @param {"lowest_id" | "all"} ties whether every other token with the same logit comes before it, too
 * @param {number} V
 * @returns {Int32Array} (rows)
 */
export function rank(logits, tokenIds, ties = "lowest_id", V = logits.length) {
  checkTargets(tokenIds, topK(logits, 1, V).values.length, V);
  checkWord("ties", ties, "lowest_id", "all");
  return Int32Array.from(tokenIds, (id, row) => {
    const z = logits.subarray(row * V, row * V + V);
    let before = 0;
    for (let v = 0; v < V; v++)
      if (z[v] > z[id] || (z[v] === z[id] && (ties === "all" ? v !== id : v < id))) before++;
    return before;
  });
}

/**
 * Minus the mean log-probability of the given ids, except for those that are `ignoreIndex`  [LOGPROB-4].
 *
 * @param {Floats} logits (rows, V)
 * @param {ArrayLike<number>} tokenIds (rows)
 * @param {number} ignoreIndex
 * @param {number} V
 * @returns {number} rounded to the dtype of the logits
 */
export function crossEntropy(logits, tokenIds, ignoreIndex = -100, V = logits.length) {
  checkInteger("ignoreIndex", ignoreIndex, "bad_token_ids");
  const scores = scorers(logits, V);
  checkTargets(tokenIds, scores.length, V, ignoreIndex);
  let [sum, counted] = [0, 0];
  scores.forEach((score, row) => {
    if (tokenIds[row] === ignoreIndex) return;
    sum += score(logits[row * V + tokenIds[row]]);
    counted++;
  });
  if (counted === 0) refuse("bad_token_ids", "no position of tokenIds counts: the mean needs at least one");
  return roundingOf(logits)(-sum / counted);
}
