/** Speaks the protocol of ports/PROTOCOL.md for the port, in Node: one line for each request and for each reply. */

import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { join } from "node:path";

import { openBundle } from "./bundle.mjs";
import { greedy } from "./filters.mjs";
import * as head from "./lm_head.mjs";
import { process as processed, STEPS } from "./pipeline.mjs";
import * as scores from "./scores.mjs";
import { drawAs } from "./streams.mjs";

/** Thrown for what this port does not support. Any other error that has a code is a refusal. */
class Skipped extends Error {}

const refusal = (code, message) => Object.assign(new Error(message), { code });

// ---- values ----

const WORDS = { inf: Infinity, "-inf": -Infinity, nan: NaN, "-0": -0 };
const fromJson = (x) => (typeof x === "string" && Object.hasOwn(WORDS, x) ? WORDS[x] : x);

/** JSON.stringify would write nan and the infinities as null, and -0 as 0. */
function toJson(x) {
  if (Object.is(x, -0)) return "-0";
  return Number.isFinite(x) ? x : Number.isNaN(x) ? "nan" : x > 0 ? "inf" : "-inf";
}

// Every 16-bit float is a float32 number too.
const KINDS = { float16: Float32Array, bfloat16: Float32Array, float32: Float32Array, float64: Float64Array };

const product = (shape) => shape.reduce((a, b) => a * b, 1);

/** Refuses a tensor whose shape has another size than its data. */
function checkForm(name, { shape, data }) {
  if (!(Array.isArray(shape) && Array.isArray(data) && data.length === product(shape)))
    throw new Error(`${name} has ${data?.length} numbers, its shape is [${shape}]`);
}

/** A tensor of floats: its shape, its numbers, the length of its last axis, and the number of rows. */
function tensor(inputs, name, axesNeeded = 1) {
  const { dtype, shape, data } = inputs[name] ?? {};
  if (dtype === "int64" || dtype === "bool")
    throw refusal("bad_dtype", `${name} has dtype ${dtype}: convert it to float32 or float64`);
  if (!Object.hasOwn(KINDS, dtype)) throw new Error(`${name} is not a tensor, or of an unknown dtype: ${dtype}`);
  checkForm(name, { shape, data });
  if (shape.length < axesNeeded) throw refusal("bad_shape", `${name} is a single number, ${data}: it needs an axis`);
  const numbers = data.map(fromJson);
  const bad = numbers.findIndex((x) => typeof x !== "number");
  if (bad >= 0) throw new Error(`${name}: element ${bad} is not a number`);
  return { shape, numbers: KINDS[dtype].from(numbers), last: shape.at(-1), rows: product(shape.slice(0, -1)) };
}

/** A tensor of token ids: its shape and its ids, a plain array. Where there are none, any dtype will do. */
function tokenIds(inputs, name) {
  const { dtype, shape, data } = inputs[name] ?? {};
  checkForm(name, { shape, data });
  if (data.length > 0 && dtype !== "int64")
    throw refusal("bad_dtype", `${name} has dtype ${dtype}: token ids are integers`);
  return { shape, ids: data };
}

/** The token ids so far, as many for each row of logits; n of them. */
function history(inputs, logits) {
  const { shape, ids } = tokenIds(inputs, "history");
  const n = shape.at(-1);
  sameShape("history", shape, withLast(logits.shape, n));
  return { history: ids, n };
}

/** One id for each row of logits. */
function targets(inputs, logits) {
  const { shape, ids } = tokenIds(inputs, "token_ids");
  sameShape("token_ids", shape, logits.shape.slice(0, -1));
  return ids;
}

function uniforms(inputs, logits) {
  const { shape, numbers } = tensor(inputs, "uniform", 0);
  sameShape("uniform", shape, logits.shape.slice(0, -1));
  return numbers;
}

function checkList(name, { shape }) {
  if (shape.length !== 1) throw refusal("bad_shape", `${name} has shape [${shape}]: it must have one axis`);
}

/** One of the arguments of a step, as its function takes it. */
function argument(inputs, name) {
  if (["biased", "banned", "end_ids"].includes(name)) {
    const given = tokenIds(inputs, name);
    checkList(name, given);
    return given.ids;
  }
  if (name === "biases") {
    const given = tensor(inputs, name, 0);
    checkList(name, given);
    return given.numbers;
  }
  return fromJson(inputs[name]);
}

function floats(numbers, shape) {
  const dtype = numbers instanceof Float32Array ? "float32" : "float64";
  return { dtype, shape, data: Array.from(numbers, toJson) };
}

const ids = (numbers, shape) => ({ dtype: "int64", shape, data: Array.from(numbers) });

/** (..., n) -> (..., m) */
const withLast = (shape, m) => [...shape.slice(0, -1), m];

function sameShape(name, given, expected) {
  if (given.length !== expected.length || given.some((n, i) => n !== expected[i]))
    throw refusal("bad_shape", `${name} has shape [${given}]: it must be [${expected}]`);
}

/** A seed, which is given in decimal digits. */
function seedOf({ seed }) {
  if (!/^-?[0-9]+$/.test(seed)) throw refusal("bad_seed", `seed is ${seed}: it must be an integer`);
  return BigInt(seed);
}

/** PyTorch's random stream of a seed. */
const generator = (inputs) => new head.TorchGenerator(seedOf(inputs));

/** A vector with one number for each of the last axis of `rows`; undefined if the request has none. */
function vector(inputs, name, rows) {
  if (inputs[name] === undefined) return undefined;
  const given = tensor(inputs, name, 0);
  sameShape(name, given.shape, [rows.last]);
  return given.numbers;
}

function factors(inputs) {
  const [context, embedding] = [tensor(inputs, "context"), tensor(inputs, "embedding", 0)];
  if (embedding.shape.length !== 2 || embedding.rows === 0 || embedding.last !== context.last)
    throw refusal("bad_shape", `embedding is [${embedding.shape}]: it must be (V, d), context is [${context.shape}]`);
  if (context.last === 0) throw new Skipped("flat arrays do not say how many rows of length 0 they hold");
  return { context, embedding, shape: withLast(context.shape, embedding.rows) };
}

// ---- operations ----

const NO_FLOAT64_EXPONENTIALS =
  "float64 exponentials have the last bit of the C library's log1p, JavaScript's Math.log1p has another";

/** The values of arguments that a request may leave out. */
const DEFAULTS = {
  ...{ temperature: 0.7, k: 50, ties: "lowest_id", num_samples: 1 },
  ...{ weight_offset: 0, multiplier: 1, divisor: 1, cap: Infinity },
  ...{ p: 0.9, until: "reached", mass: 0.9, cutoff: 3e-4, h: 0.4, n: 1, threshold: 0.1, probability: 0.5 },
  ...{ penalty: 1.1, ngram_size: 3, length: 1, ignore_index: -100, steps: [], prompt_length: 0, epsilon: 1e-5 },
  runtime: "llama.cpp",
};

/** Those of them that differ. */
const OWN_DEFAULTS = {
  rms_norm: { epsilon: 1e-6 },
  keep_min_p: { p: 0.05 },
  frequency_penalty: { penalty: 0.5 },
  presence_penalty: { penalty: 0.5 },
  top_log_probs: { k: 5 },
};

let bundle = null;

function contextOf(which) {
  if (!bundle) throw new Error("no bundle is open");
  if (!(Number.isInteger(which) && which >= 0 && which < bundle.contexts))
    throw new Error(`context ${which}: the bundle has ${bundle.contexts}`);
  return bundle.context.subarray(which * bundle.d, which * bundle.d + bundle.d);
}

/** The head of the open bundle, on one context: as `lmHead`, with the finish of the logits before the temperature. */
function probabilities(which, { temperature, k }) {
  const logits = head.computeLogits(contextOf(which), bundle.embedding);
  const finished = head.finishLogits(logits, bundle.bias, bundle.finish);
  return head.softmax(head.keepTopK(head.applyTemperature(finished, temperature), k));
}

/** The operations that are a step of a pipeline each: the function for an operation's name. */
function single(name) {
  const { takes, needs = [], may = [], run } = STEPS[name];
  return (inputs) => {
    const logits = tensor(inputs, "logits");
    const given = Object.fromEntries([...needs, ...may].map((key) => [key, argument(inputs, key)]));
    if (takes === "history") Object.assign(given, history(inputs, logits));
    if (takes === "uniform") given.uniform = uniforms(inputs, logits);
    return { logits: floats(run(logits.numbers, logits.last, given), logits.shape) };
  };
}

/** Steps are plain JSON, whatever their form: its words for numbers become numbers. */
function plain(value) {
  if (Array.isArray(value)) return value.map(plain);
  if (typeof value !== "object" || value === null) return fromJson(value);
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, plain(inner)]));
}

const OPERATIONS = {
  hello({ protocol }) {
    if (protocol !== 1) throw new Error(`protocol is ${protocol}: this port speaks 1`);
    const operations = Object.keys(OPERATIONS);
    const dtypes = Object.keys(KINDS);
    const ties = ["lowest_id", "all"];
    const about = { name: "lm_head.mjs", version: "1", language: "JavaScript" };
    return { protocol: 1, ...about, dtypes, ties, bundle_versions: [2, 3], operations };
  },
  compute_logits(inputs) {
    const { context, embedding, shape } = factors(inputs);
    return { logits: floats(head.computeLogits(context.numbers, embedding.numbers, context.last), shape) };
  },
  apply_temperature: single("apply_temperature"),
  top_k(inputs) {
    const logits = tensor(inputs, "logits");
    const { values, tokenIds } = head.topK(logits.numbers, fromJson(inputs.k), logits.last);
    const shape = withLast(logits.shape, Math.min(inputs.k, logits.last));
    return { values: floats(values, shape), token_ids: ids(tokenIds, shape) };
  },
  keep_top_k: single("keep_top_k"),
  softmax(inputs) {
    const logits = tensor(inputs, "logits");
    return { probs: floats(head.softmax(logits.numbers, logits.last), logits.shape) };
  },
  multinomial(inputs) {
    const probs = tensor(inputs, "probs");
    const numSamples = fromJson(inputs.num_samples);
    let noise;
    if (inputs.noise !== undefined) {
      const given = tensor(inputs, "noise", 0);
      sameShape("noise", given.shape, probs.shape);
      noise = given.numbers;
    } else {
      const stream = generator(inputs);
      if (probs.numbers instanceof Float64Array) throw new Skipped(NO_FLOAT64_EXPONENTIALS);
      noise = stream.exponentials(probs.numbers.length);
    }
    const tokenIds = head.multinomial(probs.numbers, noise, numSamples, probs.last);
    return { token_ids: ids(tokenIds, withLast(probs.shape, numSamples)) };
  },
  inverse_cdf(inputs) {
    const probs = tensor(inputs, "probs");
    const uniform = uniforms(inputs, probs);
    return { token_ids: ids(head.inverseCdf(probs.numbers, uniform, probs.last), probs.shape.slice(0, -1)) };
  },
  lm_head(inputs) {
    const { context, embedding, shape } = factors(inputs);
    const options = { temperature: fromJson(inputs.temperature), k: fromJson(inputs.k), d: context.last };
    return { probs: floats(head.lmHead(context.numbers, embedding.numbers, options), shape) };
  },
  torch_rng(inputs) {
    const stream = generator(inputs);
    const numbers = inputs.calls.map(({ draw, dtype, size }) => {
      if (!["exponential", "uniform"].includes(draw)) throw new Error(`draw is ${draw}`);
      if (!["float32", "float64"].includes(dtype))
        throw refusal("bad_dtype", `the dtype of a call is ${dtype}: it must be float32 or float64`);
      if (draw === "exponential" && dtype === "float64") throw new Skipped(NO_FLOAT64_EXPONENTIALS);
      return floats(draw === "uniform" ? stream.uniforms(size, KINDS[dtype]) : stream.exponentials(size), [size]);
    });
    return { numbers };
  },
  layer_norm(inputs) {
    const hidden = tensor(inputs, "hidden");
    const [weight, bias] = [vector(inputs, "weight", hidden), vector(inputs, "bias", hidden)];
    const options = { epsilon: fromJson(inputs.epsilon), weightOffset: fromJson(inputs.weight_offset) };
    return { context: floats(head.layerNorm(hidden.numbers, weight, bias, options), hidden.shape) };
  },
  rms_norm(inputs) {
    const hidden = tensor(inputs, "hidden");
    const options = { epsilon: fromJson(inputs.epsilon), weightOffset: fromJson(inputs.weight_offset) };
    return { context: floats(head.rmsNorm(hidden.numbers, vector(inputs, "weight", hidden), options), hidden.shape) };
  },
  finish_logits(inputs) {
    const logits = tensor(inputs, "logits");
    const [multiplier, divisor, cap] = [inputs.multiplier, inputs.divisor, inputs.cap].map(fromJson);
    const options = { multiplier, divisor, cap, V: logits.last };
    return { logits: floats(head.finishLogits(logits.numbers, vector(inputs, "bias", logits), options), logits.shape) };
  },
  keep_top_p: single("keep_top_p"),
  keep_min_p: single("keep_min_p"),
  keep_typical: single("keep_typical"),
  keep_epsilon: single("keep_epsilon"),
  keep_eta: single("keep_eta"),
  keep_top_h: single("keep_top_h"),
  keep_top_n_sigma: single("keep_top_n_sigma"),
  keep_xtc: single("keep_xtc"),
  greedy(inputs) {
    const logits = tensor(inputs, "logits");
    return { token_ids: ids(greedy(logits.numbers, logits.last), logits.shape.slice(0, -1)) };
  },
  repetition_penalty: single("repetition_penalty"),
  frequency_penalty: single("frequency_penalty"),
  presence_penalty: single("presence_penalty"),
  logit_bias: single("logit_bias"),
  ban: single("ban"),
  no_repeat_ngram: single("no_repeat_ngram"),
  min_length: single("min_length"),
  process(inputs) {
    const logits = tensor(inputs, "logits");
    const steps = plain(inputs.steps);
    const options = { promptLength: fromJson(inputs.prompt_length), V: logits.last, n: 0 };
    const given = (name) => inputs[name] !== undefined && inputs[name] !== null;
    if (given("history")) Object.assign(options, history(inputs, logits));
    const takesUniform = Array.isArray(steps) && steps.some((step) => STEPS[step?.[0]]?.takes === "uniform");
    if (takesUniform && given("uniform")) options.uniform = uniforms(inputs, logits);
    return { logits: floats(processed(logits.numbers, steps, options), logits.shape) };
  },
  log_probs(inputs) {
    const logits = tensor(inputs, "logits");
    return { log_probs: floats(scores.logProbs(logits.numbers, logits.last), logits.shape) };
  },
  top_log_probs(inputs) {
    const logits = tensor(inputs, "logits");
    const { logProbs, tokenIds } = scores.topLogProbs(logits.numbers, fromJson(inputs.k), logits.last);
    const shape = withLast(logits.shape, Math.min(inputs.k, logits.last));
    return { log_probs: floats(logProbs, shape), token_ids: ids(tokenIds, shape) };
  },
  rank(inputs) {
    const logits = tensor(inputs, "logits");
    const ranks = scores.rank(logits.numbers, targets(inputs, logits), inputs.ties, logits.last);
    return { ranks: ids(ranks, logits.shape.slice(0, -1)) };
  },
  cross_entropy(inputs) {
    const logits = tensor(inputs, "logits");
    const ignored = fromJson(inputs.ignore_index);
    const loss = scores.crossEntropy(logits.numbers, targets(inputs, logits), ignored, logits.last);
    return { loss: floats(logits.numbers.constructor.of(loss), []) };
  },
  draw_as(inputs) {
    const probs = tensor(inputs, "probs");
    if (inputs.runtime === "nanochat" && probs.numbers instanceof Float64Array) throw new Skipped(NO_FLOAT64_EXPONENTIALS);
    return { token_ids: ids(drawAs(probs.numbers, inputs.runtime, seedOf(inputs), probs.last), probs.shape.slice(0, -1)) };
  },
  async open_bundle({ path }) {
    const read = async (name) => {
      const bytes = await readFile(join(path, name));
      const whole = bytes.byteLength === bytes.buffer.byteLength; // small files share a buffer
      return whole ? bytes.buffer : bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength);
    };
    // Node's own `subtle` copies what it hashes.
    const subtle = { digest: async (_, bytes) => createHash("sha256").update(new Uint8Array(bytes)).digest() };
    bundle = await openBundle(read, { subtle });
    return { vocab_size: bundle.V, hidden_size: bundle.d, contexts: bundle.contexts };
  },
  step(inputs) {
    const options = { temperature: fromJson(inputs.temperature), k: fromJson(inputs.k) };
    const probs = probabilities(inputs.context, options);
    const uniform = fromJson(inputs.uniform);
    if (typeof uniform !== "number") throw refusal("bad_uniform", `uniform is ${uniform}: it must be one number`);
    return { probs: floats(probs, [bundle.V]), token_id: head.inverseCdf(probs, Float64Array.of(uniform))[0] };
  },
  sequence(inputs) {
    const options = { temperature: fromJson(inputs.temperature), k: fromJson(inputs.k) };
    const stream = generator(inputs); // one for all steps, never seeded again: V numbers for each row of each step
    const draw = (which) => {
      const probs = probabilities(which, options);
      return head.multinomial(probs, stream.exponentials(bundle.V))[0];
    };
    return { token_ids: inputs.contexts.map((batch) => batch.map(draw)) };
  },
  stop: () => ({}),
};

/** The reply to one request, without `seq`. */
async function outcome({ op, inputs }) {
  try {
    if (typeof op !== "string" || typeof inputs !== "object" || inputs === null)
      throw new Error("a line that is not a request: it must be a JSON object with seq, op and inputs");
    if (!Object.hasOwn(OPERATIONS, op)) throw new Skipped(`no operation ${op} in this port`);
    return { result: await OPERATIONS[op]({ ...DEFAULTS, ...OWN_DEFAULTS[op], ...inputs }) };
  } catch (error) {
    if (error instanceof Skipped) return { skipped: error.message };
    if (typeof error.code === "string" && /^(bad_|overflow)/.test(error.code))
      return { refused: { code: error.code, message: error.message } };
    return { errored: error.stack };
  }
}

function parse(line) {
  try {
    return JSON.parse(line) ?? {};
  } catch (error) {
    return {};
  }
}

/** The lines of standard input. node:readline is not used, because it would also split a line at U+2028. */
async function* lines() {
  let parts = [];
  process.stdin.setEncoding("utf8");
  for await (const chunk of process.stdin) {
    const [first, ...rest] = chunk.split("\n");
    parts.push(first);
    for (const part of rest) {
      yield parts.join("");
      parts = [part];
    }
  }
}

for await (const line of lines()) {
  const request = parse(line);
  const reply = { seq: request.seq ?? null, ...(await outcome(request)) };
  process.stdout.write(`${JSON.stringify(reply)}\n`);
  if (request.op === "stop" && reply.result) break;
}
