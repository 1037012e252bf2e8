/**
 * Penalties: logits changed by what the text holds already, before temperature and filters.
 *
 *     logits [rows, V], history [rows, n]
 *         |   repetitionPenalty                       what occurred is divided or multiplied
 *         |   frequencyPenalty, presencePenalty       ... or loses a number, for each time or once
 *         |   logitBias                               a number for each token
 *         |   ban, noRepeatNgram, minLength           -Infinity
 *     logits [rows, V]
 *
 * Arrays, V and refusals are as in lm_head.mjs. The history is a flat array of the token ids so far, n for each row; n
 * may be 0. The caller passes those that count, as runtimes differ in which do  [PENALTY-1]. A masked token stays
 * masked. What is refused: [PENALTY-7].
 *
 * @module
 */

import { checkIds, checkInteger, checkNumber, refuse, roundingOf } from "./checks.mjs";
import { topK } from "./lm_head.mjs";

/**
 * @typedef {Float32Array | Float64Array} Floats
 * @typedef {ArrayLike<number>} Ids integers: an array, or a typed array of integers
 */

/** The ids of each row of logits, after a check of both. */
function historyOf(logits, history, V) {
  const rows = topK(logits, 1, V).values.length; // which refuses bad logits
  checkIds("history", history, V);
  const n = rows ? history.length / rows : 0;
  if (!Number.isInteger(n)) refuse("bad_shape", `history has ${history.length} ids: it must have as many for each row`);
  return Array.from({ length: rows }, (_, row) => history.slice(row * n, row * n + n));
}

/** Changes the logits of what occurs in the history; the others keep their bits, and a mask stays a mask. */
function penalise(logits, history, V, change) {
  const penalised = logits.slice();
  historyOf(logits, history, V).forEach((ids, row) => {
    const counts = new Map();
    for (const id of ids) counts.set(id, (counts.get(id) ?? 0) + 1);
    for (const [id, count] of counts) {
      const i = row * V + id;
      if (logits[i] > -Infinity) penalised[i] = change(logits[i], count);
      checkFinite(penalised[i], logits[i], row, id);
    }
  });
  return penalised;
}

function checkFinite(after, before, row, id) {
  if (Number.isFinite(before) && !Number.isFinite(after))
    refuse("overflow", `after the penalty the logit of token ${id} in row ${row} is ${after}: it overflows; lower it`);
}

/** A penalty, rounded to the dtype of the logits. */
function rounded(penalty, logits, positive = false) {
  checkNumber("penalty", penalty, "bad_penalty");
  const number = roundingOf(logits)(penalty);
  if (!Number.isFinite(number) || (positive && !(number > 0)))
    refuse("bad_penalty", `penalty is ${penalty}: it must be finite${positive ? " and > 0" : ""}`);
  return number;
}

/**
 * What occurs in the history: `x * penalty` below zero, `x / penalty` from zero on, however often  [PENALTY-2].
 *
 * @param {Floats} logits (rows, V)
 * @param {Ids} history (rows, n)
 * @param {number} penalty finite and > 0
 * @param {number} V
 * @returns {Floats} (rows, V)
 */
export function repetitionPenalty(logits, history, penalty, V = logits.length) {
  const r = rounded(penalty, logits, true);
  return penalise(logits, history, V, (x) => (x < 0 ? x * r : x / r)); // the store rounds: see lm_head.mjs
}

/**
 * `x - penalty * c` for what occurs c times in the history  [PENALTY-3].
 *
 * @param {Floats} logits (rows, V)
 * @param {Ids} history (rows, n)
 * @param {number} penalty finite
 * @param {number} V
 * @returns {Floats} (rows, V)
 */
export function frequencyPenalty(logits, history, penalty, V = logits.length) {
  const [round, a] = [roundingOf(logits), rounded(penalty, logits)];
  return penalise(logits, history, V, (x, count) => x - round(a * round(count)));
}

/**
 * `x - penalty` for what occurs in the history, however often  [PENALTY-4].
 *
 * @param {Floats} logits (rows, V)
 * @param {Ids} history (rows, n)
 * @param {number} penalty finite
 * @param {number} V
 * @returns {Floats} (rows, V)
 */
export function presencePenalty(logits, history, penalty, V = logits.length) {
  const a = rounded(penalty, logits);
  return penalise(logits, history, V, (x) => x - a);
}

/**
 * `x + bias` for the given ids, in every row; a bias of -Infinity masks  [PENALTY-5].
 *
 * @param {Floats} logits (rows, V)
 * @param {Ids} biased (n), each once
 * @param {ArrayLike<number>} biases (n), finite or -Infinity
 * @param {number} V
 * @returns {Floats} (rows, V)
 */
export function logitBias(logits, biased, biases, V = logits.length) {
  const rows = topK(logits, 1, V).values.length;
  checkIds("biased", biased, V);
  if (!(Array.isArray(biases) || ArrayBuffer.isView(biases)) || biases.length !== biased.length)
    refuse("bad_shape", `biases has ${biases?.length} numbers, biased ${biased.length} ids: it must have one for each`);
  const round = roundingOf(logits);
  const added = new Map();
  biases.forEach((bias, i) => {
    if (Array.isArray(bias)) refuse("bad_shape", "biases must be one flat array of numbers");
    checkNumber(`biases[${i}]`, bias, "bad_biases");
    // A finite bias that is infinite when rounded is none of the two that are allowed.
    if (!(Number.isFinite(round(bias)) || bias === -Infinity))
      refuse("bad_biases", `biases[${i}] is ${bias}: it must be finite, or -Infinity to mask a token`);
    if (added.has(biased[i]))
      refuse("bad_biases", `biased[${i}] is ${biased[i]} again: an id may stand once; add its biases`);
    added.set(biased[i], round(bias));
  });
  const moved = logits.slice();
  for (let row = 0; row < rows; row++) {
    for (const [id, bias] of added) {
      const i = row * V + id;
      moved[i] += bias;
      if (bias > -Infinity) checkFinite(moved[i], logits[i], row, id);
    }
  }
  return checkLeft(moved, V);
}

/** Refuses a row of which every token is masked. */
function checkLeft(logits, V) {
  topK(logits, 1, V);
  return logits;
}

/**
 * -Infinity for these ids, in every row  [PENALTY-6].
 *
 * @param {Floats} logits (rows, V)
 * @param {Ids} banned (n)
 * @param {number} V
 * @returns {Floats} (rows, V)
 */
export function ban(logits, banned, V = logits.length) {
  const rows = topK(logits, 1, V).values.length;
  checkIds("banned", banned, V);
  const kept = logits.slice();
  for (let row = 0; row < rows; row++) for (const id of banned) kept[row * V + id] = -Infinity;
  return checkLeft(kept, V);
}

/**
 * -Infinity for what would complete a run of `ngramSize` tokens that the history holds already  [PENALTY-6].
 *
 * @param {Floats} logits (rows, V)
 * @param {Ids} history (rows, n)
 * @param {number} ngramSize an integer >= 1
 * @param {number} V
 * @returns {Floats} (rows, V)
 */
export function noRepeatNgram(logits, history, ngramSize, V = logits.length) {
  checkInteger("ngramSize", ngramSize, "bad_count", 1);
  const kept = logits.slice();
  historyOf(logits, history, V).forEach((ids, row) => {
    const begun = ngramSize - 1; // how many ids of a run there are before its last
    const end = ids.length - begun; // where the run begins that the next token may complete
    for (let start = 0; start < end; start++) {
      let i = 0;
      while (i < begun && ids[start + i] === ids[end + i]) i++;
      if (i === begun) kept[row * V + ids[start + begun]] = -Infinity;
    }
  });
  return checkLeft(kept, V);
}

/**
 * -Infinity for the ids that end a text, while the history has fewer than `length` ids  [PENALTY-6].
 *
 * @param {Floats} logits (rows, V)
 * @param {Ids} history (rows, n)
 * @param {number} length an integer >= 1
 * @param {Ids} endIds (m)
 * @param {number} V
 * @returns {Floats} (rows, V)
 */
export function minLength(logits, history, length, endIds, V = logits.length) {
  checkInteger("length", length, "bad_count", 1);
  checkIds("endIds", endIds, V);
  const rows = historyOf(logits, history, V);
  return ban(logits, rows.some((ids) => ids.length < length) ? endIds : [], V);
}
