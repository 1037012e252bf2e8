/**
 * Several steps, one after the other, from the logits of the model to those that are drawn from.
 *
 * A step is data: the name of a function and its arguments by name, as in `["keep_top_k", { k: 50 }]`. Names are those
 * of ports/PROTOCOL.md, so that steps are the same in every language. The order is part of the definition: a filter
 * looks at the softmax of what reaches it  [PIPE-1].
 *
 * @module
 */

import { checkInteger, refuse } from "./checks.mjs";
import * as filters from "./filters.mjs";
import { applyTemperature, finishLogits, keepTopK } from "./lm_head.mjs";
import * as penalties from "./penalties.mjs";

/**
 * The functions from logits to logits. In a pipeline a step must have the arguments it `needs`, and may have those of
 * `may`. `history` and `uniform` are handed to it by the pipeline.
 */
export const STEPS = {
  apply_temperature: { needs: ["temperature"], run: (z, V, a) => applyTemperature(z, a.temperature, V) },
  keep_top_k: { needs: ["k"], may: ["ties"], run: (z, V, a) => keepTopK(z, a.k, a.ties, V) },
  finish_logits: {
    may: ["bias", "multiplier", "divisor", "cap"],
    run: (z, V, { bias, ...scale }) => finishLogits(z, bias ? z.constructor.from(bias) : undefined, { ...scale, V }),
  },
  keep_top_p: { needs: ["p"], may: ["until", "ties"], run: (z, V, a) => filters.keepTopP(z, a.p, a.until, a.ties, V) },
  keep_min_p: { needs: ["p"], run: (z, V, a) => filters.keepMinP(z, a.p, V) },
  keep_typical: { needs: ["mass"], run: (z, V, a) => filters.keepTypical(z, a.mass, V) },
  keep_epsilon: { needs: ["cutoff"], run: (z, V, a) => filters.keepEpsilon(z, a.cutoff, V) },
  keep_eta: { needs: ["cutoff"], run: (z, V, a) => filters.keepEta(z, a.cutoff, V) },
  keep_top_h: { needs: ["h"], run: (z, V, a) => filters.keepTopH(z, a.h, V) },
  keep_top_n_sigma: { needs: ["n"], run: (z, V, a) => filters.keepTopNSigma(z, a.n, V) },
  keep_xtc: {
    takes: "uniform",
    needs: ["threshold", "probability"],
    run: (z, V, a) => filters.keepXtc(z, a.threshold, a.probability, a.uniform, V),
  },
  repetition_penalty: {
    takes: "history",
    needs: ["penalty"],
    run: (z, V, a) => penalties.repetitionPenalty(z, a.history, a.penalty, V),
  },
  frequency_penalty: {
    takes: "history",
    needs: ["penalty"],
    run: (z, V, a) => penalties.frequencyPenalty(z, a.history, a.penalty, V),
  },
  presence_penalty: {
    takes: "history",
    needs: ["penalty"],
    run: (z, V, a) => penalties.presencePenalty(z, a.history, a.penalty, V),
  },
  logit_bias: { needs: ["biased", "biases"], run: (z, V, a) => penalties.logitBias(z, a.biased, a.biases, V) },
  ban: { needs: ["banned"], run: (z, V, a) => penalties.ban(z, a.banned, V) },
  no_repeat_ngram: {
    takes: "history",
    needs: ["ngram_size"],
    run: (z, V, a) => penalties.noRepeatNgram(z, a.history, a.ngram_size, V),
  },
  min_length: {
    takes: "history",
    needs: ["length", "end_ids"],
    run: (z, V, a) => penalties.minLength(z, a.history, a.length, a.end_ids, V),
  },
};

/** Refuses what is no step, or has arguments that it must not have; returns its row of STEPS and its arguments. */
function checkStep(number, step) {
  const bad = (message, Kind) => refuse("bad_steps", `steps[${number}] ${message}`, Kind);
  const isObject = (value) => typeof value === "object" && value !== null && !Array.isArray(value);
  if (!(Array.isArray(step) && step.length === 2 && isObject(step[1])))
    bad("is not of the form [name, {argument: value}]", TypeError);
  const [name, given] = [step[0], { ...step[1] }];
  if (given.ties === "any") delete given.ties; // a remark that an engine leaves them open  [PIPE-3]
  if (!Object.hasOwn(STEPS, name)) bad(`is ${name}: it must be one of ${Object.keys(STEPS).join(", ")}`);
  const { takes, needs = [], may = [] } = STEPS[name];
  const known = [...needs, ...may, ...(takes === "history" ? ["counts"] : [])];
  for (const key of Object.keys(given)) if (!known.includes(key)) bad(`has ${key}: ${name} takes ${known.join(", ")}`);
  for (const key of needs) if (given[key] === undefined) bad(`lacks ${key}, an argument of ${name}`);
  return { takes, run: STEPS[name].run, given };
}

/** From where to where the n ids of a row count  [PIPE-2]. */
function partOf(n, promptLength, counts) {
  const parts = { all: [0, n], prompt: [0, promptLength], output: [promptLength, n] };
  if (typeof counts === "string" && Object.hasOwn(parts, counts)) return parts[counts];
  checkInteger("counts", counts, "bad_steps", 0);
  return [Math.max(0, n - counts), n];
}

/**
 * The logits after all steps  [PIPE-1 to PIPE-4].
 *
 * A step that takes a history may say which ids count: `counts` is "all", as without it, "prompt", "output", or how
 * many of the last. `ties: "any"` in a step is a remark that an engine keeps any of the tied: the lowest ids stay here.
 *
 * @param {Float32Array | Float64Array} logits (rows, V)
 * @param {[string, object][]} steps
 * @param {object} options
 * @param {ArrayLike<number>} [options.history] (rows, n): the token ids so far
 * @param {number} [options.promptLength] how many ids of each row are the prompt
 * @param {Float32Array | Float64Array} [options.uniform] (rows), for keep_xtc
 * @param {number} [options.V]
 * @param {number} [options.n] only needed where there are no rows
 * @returns {Float32Array | Float64Array} (rows, V)
 */
export function process(logits, steps, { history = [], promptLength = 0, uniform, V = logits.length, n } = {}) {
  let processed = penalties.noRepeatNgram(logits, history, Number.MAX_VALUE, V); // a copy, and both are checked
  const rows = logits.length / V;
  n ??= rows ? history.length / rows : 0;
  checkInteger("promptLength", promptLength, "bad_steps", 0);
  if (promptLength > n) refuse("bad_steps", `promptLength is ${promptLength}: the history has ${n} ids`);
  if (!Array.isArray(steps)) refuse("bad_steps", `steps is ${steps}: it must be a list`, TypeError);
  steps.forEach((step, number) => {
    const { takes, run, given } = checkStep(number, step);
    if (takes === "uniform") given.uniform = uniform;
    if (takes === "history") {
      const { counts = "all" } = given;
      const [start, end] = partOf(n, promptLength, counts);
      given.history = Array.from(history).filter((_, i) => i % n >= start && i % n < end);
    }
    processed = run(processed, V, given);
  });
  return processed;
}
