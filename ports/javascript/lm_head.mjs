/**
 * The language-model head in JavaScript: from one context vector to the next token. No dependencies; Node and browsers.
 *
 *     context [rows, d]    what the model knows so far, after the final layer norm
 *         |   computeLogits      one score per token: the product with every row of the embedding [V, d]
 *     logits [rows, V]
 *         |   applyTemperature   divide: below 1 sharpens, above 1 flattens
 *         |   keepTopK           all but the k best become -Infinity
 *         |   softmax            scores become probabilities, -Infinity becomes exactly 0
 *     probs [rows, V]
 *         |   multinomial        one draw: an exponential race (as PyTorch) ...
 *         |   inverseCdf         ... or a walk along the running sum (as most other runtimes)
 *     token ids [rows, n]
 *
 * Arrays are flat typed arrays in C order. The number of rows follows from their length and V. By default V is the
 * whole length, which means one row. Float32Array in, Float32Array out, and the same for Float64Array. Inputs are never
 * modified. Bad input throws an error with a `code` of ports/PROTOCOL.md: a TypeError for a wrong kind, a RangeError
 * for a wrong value. The rules in brackets are those of reference/SPEC.md.
 *
 * JavaScript computes in float64, and storing into a Float32Array rounds again. For the quotients of TEMP-1 and DRAW-1
 * this gives the same result as one rounding. Rounding twice can only go wrong for a number very close to the middle
 * between two float32 numbers. A quotient of two 24-bit numbers either is such a middle or is at least 2^-49 of itself
 * away from it, which is more than the rounding to 53 bits can move it.
 *
 * @module
 */

/** @typedef {Float32Array | Float64Array} Floats */

/** @type {(code: string, message: string, Kind?: ErrorConstructor) => never} */
function refuse(code, message, Kind = RangeError) {
  throw Object.assign(new Kind(message), { code });
}

/** A place as text: "logits[1, 5]", or "logits[5]" if there is only one row. */
function place(name, values, index, V) {
  return values.length === V ? `${name}[${index}]` : `${name}[${Math.floor(index / V)}, ${index % V}]`;
}

function checkFloats(name, values) {
  if (values instanceof Float32Array || values instanceof Float64Array) return;
  refuse("bad_dtype", `${name} is not a Float32Array or Float64Array: convert it`, TypeError);
}

/** The number of rows of `values`. */
function rowsOf(name, values, V) {
  checkFloats(name, values);
  if (!(Number.isInteger(V) && V > 0 && values.length % V === 0))
    refuse("bad_shape", `${name} has ${values.length} numbers: they must be rows of V = ${V} tokens, and V at least 1`);
  return values.length / V;
}

/**
 * Logits are finite or -Infinity, and at least one of each row is finite. A comparison with NaN is false, so the test
 * refuses what is not below Infinity: that includes NaN.
 */
function checkLogits(logits, V, name = "logits", code = "bad_logits") {
  const rows = rowsOf(name, logits, V);
  for (let start = 0; start < rows * V; start += V) {
    let alive = false;
    for (let i = start; i < start + V; i++) {
      if (!(logits[i] < Infinity))
        refuse(code, `${place(name, logits, i, V)} is ${logits[i]}: it must be finite, or -Infinity to mask a token`);
      if (logits[i] > -Infinity) alive = true;
    }
    if (!alive) refuse(code, `row ${start / V} of ${name} is -Infinity for every token: leave at least one unmasked`);
  }
  return rows;
}

/** Refuses numbers that are not finite or are below zero. */
function checkNonNegative(name, values, V, code) {
  for (let i = 0; i < values.length; i++)
    if (!(values[i] >= 0 && values[i] < Infinity))
      refuse(code, `${place(name, values, i, V)} is ${values[i]}: it must be finite and >= 0`);
}

/** Refuses bad probabilities, and rows with fewer than `numSamples` of them above zero. Returns the number of rows. */
function checkProbs(probs, V, numSamples = 1) {
  const rows = rowsOf("probs", probs, V);
  checkNonNegative("probs", probs, V, "bad_probs");
  for (let row = 0; row < rows; row++) {
    let possible = 0;
    for (let i = row * V; i < row * V + V; i++) if (probs[i] > 0) possible++;
    if (possible === 0) refuse("bad_probs", `row ${row} of probs sums to zero: a token needs a probability above zero`);
    if (possible < numSamples)
      refuse("bad_num_samples", `numSamples is ${numSamples}, row ${row} has ${possible} possible tokens: draw fewer`);
  }
  return rows;
}

/** Refuses anything but an integer of at least 1. */
function checkCount(name, value, code) {
  if (!Number.isInteger(value)) refuse(code, `${name} is ${value}: it must be an integer`, TypeError);
  if (value < 1) refuse(code, `${name} is ${value}: it must be at least 1`);
}

/** The dot product, in four separate sums, so that no addition has to wait for the one before it. */
function dot(h, w) {
  let a = 0;
  let b = 0;
  let c = 0;
  let e = 0;
  let i = 0;
  for (; i + 3 < h.length; i += 4) {
    a += h[i] * w[i];
    b += h[i + 1] * w[i + 1];
    c += h[i + 2] * w[i + 2];
    e += h[i + 3] * w[i + 3];
  }
  for (; i < h.length; i++) a += h[i] * w[i];
  return a + b + (c + e);
}

/**
 * One score per token: the dot product with each row of the embedding  [LOGITS-1, LOGITS-2].
 *
 * @param {Floats} context (rows, d)
 * @param {Floats} embedding (V, d)
 * @param {number} d the hidden size
 * @returns {Floats} logits (rows, V), float64 if either factor is
 */
export function computeLogits(context, embedding, d = context.length) {
  checkFloats("context", context);
  checkFloats("embedding", embedding);
  if (!(Number.isInteger(d) && d > 0 && embedding.length > 0 && embedding.length % d === 0 && context.length % d === 0))
    refuse("bad_shape", `context has ${context.length} numbers, embedding ${embedding.length}: not rows of d = ${d}`);
  const [rows, V] = [context.length / d, embedding.length / d];
  const Kind = context instanceof Float64Array || embedding instanceof Float64Array ? Float64Array : Float32Array;
  const logits = new Kind(rows * V); // (rows, d), (V, d) -> (rows, V)
  for (let row = 0; row < rows; row++) {
    const h = Float64Array.from(context.subarray(row * d, row * d + d)); // converted once, not V times
    for (let v = 0; v < V; v++) logits[row * V + v] = dot(h, embedding.subarray(v * d, v * d + d));
  }
  return logits;
}

/**
 * `logits / temperature`: a true division, not a product with the reciprocal  [TEMP-1 to TEMP-3].
 *
 * @param {Floats} logits (rows, V)
 * @param {number} temperature finite and > 0, also when rounded to the dtype of the logits
 * @param {number} V
 * @returns {Floats} (rows, V)
 */
export function applyTemperature(logits, temperature, V = logits.length) {
  checkLogits(logits, V);
  if (typeof temperature !== "number")
    refuse("bad_temperature", `temperature is ${temperature}: it must be one number`, TypeError);
  const divisor = logits instanceof Float32Array ? Math.fround(temperature) : temperature;
  if (!(divisor > 0 && divisor < Infinity))
    refuse("bad_temperature", `temperature is ${temperature}: it must be finite and > 0; for greedy take the argmax`);
  const scaled = logits.map((x) => x / divisor);
  checkLogits(scaled, V, `(logits / ${temperature})`, "overflow");
  return scaled;
}

/** The order of top-k and the race: `a` is behind `b` if its score is less, or if it is equal and its id is higher. */
function behind(scores, a, b) {
  return scores[a] < scores[b] || (scores[a] === scores[b] && a > b);
}

/** Lets the id at `root` sink to its place in a heap of n ids, whose top is the id that is last in order. */
function sink(scores, heap, root, n) {
  const id = heap[root];
  for (let child; (child = 2 * root + 1) < n; root = child) {
    if (child + 1 < n && behind(scores, heap[child + 1], heap[child])) child++;
    if (behind(scores, id, heap[child])) break;
    heap[root] = heap[child];
  }
  heap[root] = id;
}

/** The ids of the k largest scores of one row, in order. A heap holds the k best so far, so V is never sorted. */
function largest(scores, k) {
  const heap = Int32Array.from({ length: k }, (_, i) => i);
  for (let i = k >> 1; i-- > 0; ) sink(scores, heap, i, k);
  for (let v = k; v < scores.length; v++) {
    if (scores[v] > scores[heap[0]]) {
      heap[0] = v; // at a tie the lower id stays: it came first
      sink(scores, heap, 0, k);
    }
  }
  for (let n = k - 1; n > 0; n--) {
    [heap[0], heap[n]] = [heap[n], heap[0]]; // takes the last in order from the top to the end
    sink(scores, heap, 0, n);
  }
  return heap;
}

/**
 * The k largest logits and their token ids, by value descending, then by id ascending  [TOPK-1 to TOPK-5].
 *
 * @param {Floats} logits (rows, V)
 * @param {number} k an integer >= 1; above V it means V
 * @param {number} V
 * @returns {{values: Floats, tokenIds: Int32Array}} each (rows, min(k, V))
 */
export function topK(logits, k, V = logits.length) {
  const rows = checkLogits(logits, V);
  checkCount("k", k, "bad_k");
  const n = Math.min(k, V);
  const [values, tokenIds] = [new logits.constructor(rows * n), new Int32Array(rows * n)]; // (rows, V) -> (rows, n)
  for (let row = 0; row < rows; row++) {
    const scores = logits.subarray(row * V, row * V + V);
    const ids = largest(scores, n);
    tokenIds.set(ids, row * n);
    ids.forEach((id, i) => (values[row * n + i] = scores[id]));
  }
  return { values, tokenIds };
}

/**
 * The logits with -Infinity everywhere but at the survivors  [TOPK-6, TOPK-7].
 *
 * @param {Floats} logits (rows, V)
 * @param {number} k
 * @param {"lowest_id" | "all"} ties exactly k, or every logit that is not below the k-th
 * @param {number} V
 * @returns {Floats} (rows, V)
 */
export function keepTopK(logits, k, ties = "lowest_id", V = logits.length) {
  const { values, tokenIds } = topK(logits, k, V);
  if (ties !== "lowest_id" && ties !== "all") refuse("bad_ties", `ties is ${ties}: it must be "lowest_id" or "all"`);
  const n = Math.min(k, V);
  const kept = new logits.constructor(logits.length).fill(-Infinity);
  for (let row = 0; row * V < logits.length; row++) {
    const [kth, lastKept] = [values[row * n + n - 1], ties === "all" ? V : tokenIds[row * n + n - 1]];
    for (let v = 0, i = row * V; v < V; v++, i++)
      if (logits[i] > kth || (logits[i] === kth && v <= lastKept)) kept[i] = logits[i];
  }
  return kept;
}

/**
 * Probabilities: `exp(x) / sum(exp(x))`, x = logits - max  [SOFTMAX-1 to SOFTMAX-4].
 *
 * @param {Floats} logits (rows, V)
 * @param {number} V
 * @returns {Floats} (rows, V)
 */
export function softmax(logits, V = logits.length) {
  const rows = checkLogits(logits, V);
  const probs = new logits.constructor(logits.length);
  for (let start = 0; start < rows * V; start += V) {
    let max = -Infinity; // subtracted: GPT-2's logits lie near -100, where float32's exp alone gives 0 / 0
    for (let i = start; i < start + V; i++) if (logits[i] > max) max = logits[i];
    let total = 0;
    for (let i = start; i < start + V; i++) total += probs[i] = Math.exp(logits[i] - max); // exp(-Infinity) is 0
    for (let i = start; i < start + V; i++) probs[i] /= total;
  }
  return probs;
}

/**
 * Token ids drawn without replacement by an exponential race: the largest of `probs / noise`  [DRAW-1 to DRAW-6].
 *
 * @param {Floats} probs (rows, V); a row need not sum to 1
 * @param {Floats} noise (rows, V), standard exponential: `new TorchGenerator(seed).exponentials(probs.length)`
 * @param {number} numSamples
 * @param {number} V
 * @returns {Int32Array} (rows, numSamples), in the order drawn
 */
export function multinomial(probs, noise, numSamples = 1, V = probs.length) {
  checkCount("numSamples", numSamples, "bad_num_samples");
  const rows = checkProbs(probs, V, numSamples);
  checkFloats("noise", noise);
  if (noise.length !== probs.length) refuse("bad_shape", `noise has ${noise.length} numbers, probs ${probs.length}`);
  checkNonNegative("noise", noise, V, "bad_noise");
  // Noise may be 0, and then the token wins; -0 counts as 0. Tokens of probability zero stay behind all others.
  const race = probs.map((p, i) => (p > 0 ? p / Math.abs(noise[i]) : -1));
  const tokenIds = new Int32Array(rows * numSamples);
  for (let row = 0; row < rows; row++)
    tokenIds.set(largest(race.subarray(row * V, row * V + V), numSamples), row * numSamples);
  return tokenIds;
}

/**
 * The first token id, in id order, whose running sum exceeds `uniform * total`  [CDF-1 to CDF-4].
 *
 * @param {Floats} probs (rows, V); a row need not sum to 1
 * @param {Floats} uniform (rows), in [0, 1)
 * @param {number} V
 * @returns {Int32Array} (rows)
 */
export function inverseCdf(probs, uniform, V = probs.length) {
  const rows = checkProbs(probs, V);
  checkFloats("uniform", uniform);
  if (uniform.length !== rows) refuse("bad_shape", `uniform has ${uniform.length} numbers: one a row are ${rows}`);
  return Int32Array.from(uniform, (u, row) => {
    if (!(u >= 0 && u < 1)) refuse("bad_uniform", `uniform[${row}] is ${u}: it must be in [0, 1)`);
    const weights = probs.subarray(row * V, row * V + V);
    let [total, running, id] = [0, 0, -1]; // float64: a float32 sum often ends below its total
    for (const p of weights) total += p;
    if (total === Infinity) refuse("overflow", `the sum of row ${row} of probs overflows: divide it by its maximum`);
    for (let v = 0; v < V && !(running > u * total); v++) {
      running += weights[v];
      if (weights[v] > 0) id = v; // at the end: the last possible id, if no sum exceeded the target
    }
    return id;
  });
}

/**
 * The whole head up to the draw  [HEAD-1].
 *
 * @param {Floats} context (rows, d)
 * @param {Floats} embedding (V, d)
 * @param {{temperature?: number, k?: number, d?: number}} options
 * @returns {Floats} probs (rows, V), zero outside the top k
 */
export function lmHead(context, embedding, { temperature = 0.7, k = 50, d = context.length } = {}) {
  const V = embedding.length / d;
  let logits = computeLogits(context, embedding, d); // (rows, d) -> (rows, V)
  logits = applyTemperature(logits, temperature, V);
  logits = keepTopK(logits, k, "lowest_id", V);
  return softmax(logits, V);
}

/** Refuses nan and the infinities. */
function checkFinite(name, values, n, code) {
  checkFloats(name, values);
  const bad = values.findIndex((x) => !Number.isFinite(x));
  if (bad >= 0) refuse(code, `${place(name, values, bad, n)} is ${values[bad]}: it must be finite`);
}

/** A vector that has one finite number for each of the last axis; undefined where a model has none. */
function checkVector(name, values, n) {
  if (values === undefined) return;
  checkFinite(name, values, n, "bad_weight");
  if (values.length !== n) refuse("bad_shape", `${name} has ${values.length} numbers: it must have ${n}`);
}

/** Rounds a number to what the arrays are computed in, Float64Array if any is; refuses what is no number. */
function rounding(...arrays) {
  const Kind = arrays.some((array) => array instanceof Float64Array) ? Float64Array : Float32Array;
  const round = Kind === Float64Array ? (x) => x : Math.fround;
  const number = (name, value, code) => {
    if (typeof value !== "number") refuse(code, `${name} is ${value}: it must be one number`, TypeError);
    return round(value);
  };
  return { Kind, round, number };
}

/** Both norms. A sum in float64 is closer to exact than any bound asks. */
function norm(hidden, weight, bias, { epsilon, weightOffset }, centred) {
  checkFloats("weight", weight);
  const d = weight.length;
  const rows = rowsOf("hidden", hidden, d);
  checkFinite("hidden", hidden, d, "bad_hidden");
  checkVector("weight", weight, d);
  checkVector("bias", bias, d);
  const { Kind, round, number } = rounding(hidden, weight, bias);
  const offset = number("weightOffset", weightOffset, "bad_weight");
  if (!Number.isFinite(offset)) refuse("bad_weight", `weightOffset is ${weightOffset}: it must be finite`);
  const eps = number("epsilon", epsilon, "bad_epsilon");
  if (!(eps > 0 && eps < Infinity)) refuse("bad_epsilon", `epsilon is ${epsilon}: it must be finite and > 0`);
  const context = new Kind(hidden.length);
  for (let start = 0; start < rows * d; start += d) {
    let [mean, square] = [0, 0];
    if (centred) for (let i = 0; i < d; i++) mean += hidden[start + i] / d;
    for (let i = 0; i < d; i++) square += (hidden[start + i] - mean) ** 2; // a second pass: nothing cancels
    const root = Math.sqrt(square / d + eps);
    for (let i = 0; i < d; i++) {
      const factor = round(offset + weight[i]);
      context[start + i] = ((hidden[start + i] - mean) / root) * factor + (bias ? bias[i] : 0);
    }
    if (square === Infinity) refuse("overflow", `the squares of row ${start / d} of hidden are ${square}: they overflow`);
  }
  checkFinite("context", context, d, "overflow");
  return context;
}

/**
 * The layer norm of GPT-2, Phi and Cohere: `(h - mean) / sqrt(variance + epsilon) * (weightOffset + weight) + bias`
 * [OUT-1, OUT-3, OUT-4].
 *
 * @param {Floats} hidden (rows, d)
 * @param {Floats} weight (d)
 * @param {Floats} [bias] (d)
 * @param {{epsilon?: number, weightOffset?: number}} options
 * @returns {Floats} context (rows, d), float64 if any of the three is
 */
export function layerNorm(hidden, weight, bias, { epsilon = 1e-5, weightOffset = 0 } = {}) {
  return norm(hidden, weight, bias, { epsilon, weightOffset }, true);
}

/**
 * The RMS norm of Llama and Gemma: `h / sqrt(mean(h^2) + epsilon) * (weightOffset + weight)`, weightOffset being 1 for
 * Gemma  [OUT-2 to OUT-4].
 *
 * @param {Floats} hidden (rows, d)
 * @param {Floats} weight (d)
 * @param {{epsilon?: number, weightOffset?: number}} options
 * @returns {Floats} context (rows, d)
 */
export function rmsNorm(hidden, weight, { epsilon = 1e-6, weightOffset = 0 } = {}) {
  return norm(hidden, weight, undefined, { epsilon, weightOffset }, false);
}

/**
 * What comes between the product and the temperature: `z = (logits + bias) * multiplier / divisor`, then
 * `cap * tanh(z / cap)` unless cap is Infinity  [OUT-5 to OUT-7].
 *
 * @param {Floats} logits (rows, V)
 * @param {Floats} [bias] (V)
 * @param {{multiplier?: number, divisor?: number, cap?: number, V?: number}} options
 * @returns {Floats} (rows, V)
 */
export function finishLogits(logits, bias, { multiplier = 1, divisor = 1, cap = Infinity, V = logits.length } = {}) {
  checkLogits(logits, V);
  checkVector("bias", bias, V);
  const { Kind, round, number } = rounding(logits, bias);
  const scale = (name, value, most) => {
    const rounded = number(name, value, "bad_scale");
    if (!(rounded > 0 && rounded <= most))
      refuse("bad_scale", `${name} is ${value}: it must be > 0${most < Infinity ? " and finite" : ""}`);
    return rounded;
  };
  const [m, q] = [scale("multiplier", multiplier, Number.MAX_VALUE), scale("divisor", divisor, Number.MAX_VALUE)];
  const limit = scale("cap", cap, Infinity);
  return Kind.from(logits, (logit, i) => {
    const added = bias ? round(logit + bias[i % V]) : logit;
    const z = round(round(added * m) / q); // each step rounded once, and not a product with m / q
    if (Math.abs(z) === Infinity && Number.isFinite(logit))
      refuse("overflow", `${place("finished logits", logits, i, V)} is ${z}: it overflows`);
    return limit === Infinity || z === -Infinity ? z : limit * Math.tanh(z / limit); // a mask stays a mask
  });
}

/**
 * PyTorch's CPU random stream: MT19937 (Matsumoto & Nishimura 1998), its state carried over from call to call
 * [RNG-1 to RNG-4].
 */
export class TorchGenerator {
  #state = new Uint32Array(624);
  #next = 624;

  /** @param {bigint | number} seed an integer from -2^63 to 2^64 - 1; only its low 32 bits count */
  constructor(seed) {
    if (typeof seed !== "bigint" && !Number.isSafeInteger(seed))
      refuse("bad_seed", `seed is ${seed}: it must be an integer, beyond 2^53 a bigint`, TypeError);
    if (seed < -(2n ** 63n) || seed >= 2n ** 64n)
      refuse("bad_seed", `seed is ${seed}: it must be from -2^63 to 2^64 - 1`);
    this.#state[0] = Number(BigInt.asUintN(32, BigInt(seed)));
    for (let i = 1; i < 624; i++) {
      const previous = this.#state[i - 1];
      this.#state[i] = Math.imul(1812433253, previous ^ (previous >>> 30)) + i;
    }
  }

  /**
   * The same generator as CPython's `random.seed` seeds it: `init_by_array` with one word.
   *
   * @param {number} seed an integer from 0 to 2^32 - 1
   * @returns {TorchGenerator}
   */
  static asPython(seed) {
    const stream = new TorchGenerator(19650218);
    const s = stream.#state;
    let i = 1;
    for (let k = 0; k < 624 + 623; k++) {
      const previous = s[i - 1] ^ (s[i - 1] >>> 30);
      s[i] = k < 624 ? (s[i] ^ Math.imul(previous, 1664525)) + seed : (s[i] ^ Math.imul(previous, 1566083941)) - i;
      if (++i === 624) {
        s[0] = s[623];
        i = 1;
      }
    }
    s[0] = 0x80000000;
    return stream;
  }

  /** The next 32 bits, which all other numbers are made of. */
  output() {
    const s = this.#state;
    if (this.#next === 624) {
      for (let i = 0; i < 624; i++) {
        const joined = (s[i] & 0x80000000) | (s[(i + 1) % 624] & 0x7fffffff);
        s[i] = s[(i + 397) % 624] ^ (joined >>> 1) ^ (joined & 1 ? 0x9908b0df : 0);
      }
      this.#next = 0;
    }
    let y = s[this.#next++];
    y ^= y >>> 11;
    y ^= (y << 7) & 0x9d2c5680;
    y ^= (y << 15) & 0xefc60000;
    return (y ^ (y >>> 18)) >>> 0;
  }

  /** A number in [0, 1) of 53 bits. The first output is the high word. */
  #uniform53() {
    const high = this.output() & 0x1fffff;
    return (high * 2 ** 32 + this.output()) * 2 ** -53;
  }

  /**
   * As `torch.rand(size)`. Each float32 takes 32 bits of the stream, each float64 takes 64.
   *
   * @param {number} size
   * @param {Float32ArrayConstructor | Float64ArrayConstructor} Kind
   * @returns {Floats}
   */
  uniforms(size, Kind = Float64Array) {
    const draw = Kind === Float32Array ? () => (this.output() & 0xffffff) * 2 ** -24 : () => this.#uniform53();
    return new Kind(size).map(draw);
  }

  /**
   * As `torch.empty(size).exponential_()` in float32. There is no float64 version: its last bit is that of the C
   * library's log1p, and the log1p of a JavaScript engine may differ there. Rounding to float32 removes that bit.
   *
   * @param {number} size
   * @returns {Float32Array}
   */
  exponentials(size) {
    return new Float32Array(size).map(() => -Math.log1p(-this.#uniform53()));
  }
}
