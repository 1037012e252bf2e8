/** What the page shows, computed by the port; each stage is kept until something that it depends on changes. */

import * as port from "../../javascript/lm_head.mjs";
import { process } from "../../javascript/pipeline.mjs";
import { NAMES, settingKey, stepsOf } from "./orders.mjs";

export const SHOWN = 12; // candidates on the page
const [FEWEST, MOST] = [24, 60]; // tokens in the chart of a cut, if there are as many; where nothing falls, at most

/** `f`, remembering its last arguments and their result; what it throws is not remembered. */
function last(f, keyOf = (...args) => args.join()) {
  let [key, value] = [null, null];
  return (...args) => {
    const now = keyOf(...args);
    if (now !== key) [value, key] = [f(...args), now];
    return value;
  };
}

/** `f` of one argument, remembering every result. */
export function every(f) {
  const known = new Map();
  return (key) => {
    if (!known.has(key)) known.set(key, f(key));
    return known.get(key);
  };
}

/** What the engine takes as something else is not shown under its name. */
function refuseInstead(box, { [box]: value, order }, instead) {
  const message = `${NAMES[box]} is ${value}: ${order} takes that as ${instead}; choose another value or order`;
  throw Object.assign(new RangeError(message), { code: "bad_steps" });
}

/**
 * A head with its prompts, and its stages at a setting: a prompt, a temperature, k, top_p, min_p and an order.
 * V tokens, hidden size d.
 */
export class Head {
  #stages = []; // those last computed

  /**
   * @param {{V: number, d: number, embedding: Float32Array, context: Float32Array, bias?: Float32Array,
   *   finish?: {multiplier: number, divisor: number, cap: number}, orders: Record<string, object[]>}} bundle `finish`:
   *   where the products are not the logits
   */
  constructor(bundle) {
    Object.assign(this, bundle);
    const { V, d } = bundle;
    this.contextOf = (prompt) => this.context.subarray(prompt * d, prompt * d + d);
    this.products = every((prompt) => port.computeLogits(this.contextOf(prompt), this.embedding));
    this.logits = every((prompt) => this.#finished(this.products(prompt)));
    this.scaled = last((prompt, T) => port.applyTemperature(this.logits(prompt), T));
    this.whole = last((prompt, T) => port.softmax(this.scaled(prompt, T))); // had nothing been cut
    this.probs = last((setting) => port.softmax(this.kept(setting)), settingKey);
    this.candidates = last((prompt, T) => port.topK(this.scaled(prompt, T), SHOWN).tokenIds);
    this.firstNoise = last((seed) => new port.TorchGenerator(seed).exponentials(V));
    this.summary = last((setting) => this.#summary(setting), settingKey);
    this.cuts = last((setting) => this.#cuts(setting), settingKey);
  }

  embeddingOf(token) {
    return this.embedding.subarray(token * this.d, token * this.d + this.d);
  }

  #finished(products) {
    return this.finish ? port.finishLogits(products, this.bias, this.finish) : products;
  }

  /** The steps, in the order of the setting. */
  steps(setting) {
    return stepsOf(this.orders[setting.order], setting);
  }

  /**
   * Each step with the logits `before` and `after` it; from the first on that has changed, computed anew. An error has
   * the box that it is about.
   */
  stages(setting) {
    let [logits, key] = [this.logits(setting.prompt), `${setting.prompt}`];
    return this.steps(setting).map(({ box, on, step, instead }, i) => {
      key += JSON.stringify([on, step, instead]);
      if (this.#stages[i]?.key !== key || this.#stages[i].box !== box) {
        let after = logits;
        try {
          if (on) after = process(logits, [step]);
          else process(Float32Array.of(0), [step]); // refuses what an engine's off value must not hide
          if (instead) refuseInstead(box, setting, instead);
        } catch (error) {
          throw Object.assign(error, { box });
        }
        this.#stages[i] = { key, box, on, before: logits, after };
      }
      logits = this.#stages[i].after;
      return this.#stages[i];
    });
  }

  /** The logits after all steps. */
  kept(setting) {
    return this.stages(setting).at(-1).after;
  }

  /** Of a setting: the mass that was cut away, entropy in bits, how many survive and can be drawn. */
  #summary(setting) {
    const { prompt, temperature } = setting;
    const [whole, kept, probs] = [this.whole(prompt, temperature), this.kept(setting), this.probs(setting)];
    let [tail, entropy, survivors, possible, lowest] = [0, 0, 0, 0, Infinity];
    const logits = this.logits(prompt);
    for (let v = 0; v < this.V; v++) {
      if (kept[v] === -Infinity) tail += whole[v];
      else {
        survivors++;
        if (logits[v] < lowest) lowest = logits[v];
      }
      if (probs[v] > 0) {
        entropy -= probs[v] * Math.log2(probs[v]);
        possible++;
      }
    }
    return { tail, entropy: Math.max(entropy, 0), effective: 2 ** Math.max(entropy, 0), survivors, possible, lowest };
  }

  /** What top-p and min-p see and keep: the first of their ranking. */
  #cuts(setting) {
    const stages = this.stages(setting);
    const of = (box) => this.#cut(stages.find((stage) => stage.box === box));
    return { top_p: of("top_p"), min_p: of("min_p") };
  }

  /**
   * @returns {{on: boolean, of: number, kept: number, ids: Int32Array, shares: Float64Array, sums: Float64Array}} of
   *   how many it keeps how many; for the first of these, the most probable first: their ids, their probabilities among
   *   all that come in, the sums of these so far. All it keeps are among the first, unless it keeps everything.
   */
  #cut({ on, before, after }) {
    let [of, kept, max] = [0, 0, -Infinity];
    for (let v = 0; v < this.V; v++) {
      if (before[v] > -Infinity) of++;
      if (after[v] > -Infinity) kept++;
      if (before[v] > max) max = before[v];
    }
    let total = 0;
    for (let v = 0; v < this.V; v++) total += Math.exp(before[v] - max);
    const n = Math.min(of, kept < of ? Math.max(FEWEST, Math.ceil(1.25 * kept)) : MOST);
    const ids = port.topK(before, n).tokenIds;
    const weights = Float64Array.from(ids, (v) => Math.exp(before[v] - max));
    let sum = 0;
    const sums = weights.map((w) => (sum += w) / total);
    return { on, of, kept, ids, shares: weights.map((w) => w / total), sums };
  }
}

/** Draws one after the other from one seed, counted: the state of the stream carries over  [RNG-2, RNG-5]. */
export class Draws {
  #rng = null;

  constructor(head, probs, seed) {
    Object.assign(this, { head, probs, seed, count: 0, token: -1, first: -1, noise: null });
    this.counts = new Uint32Array(head.V);
  }

  next() {
    if (this.count === 0) this.noise = this.head.firstNoise(this.seed);
    else {
      if (!this.#rng) {
        this.#rng = new port.TorchGenerator(this.seed);
        this.#rng.exponentials(this.head.V); // those of the first draw
      }
      this.noise = this.#rng.exponentials(this.head.V);
    }
    this.token = port.multinomial(this.probs, this.noise)[0];
    if (this.count === 0) this.first = this.token;
    this.counts[this.token]++;
    this.count++;
  }

  /** The ids that came in first in the last race, in order of arrival. */
  arrivals(possible) {
    return port.multinomial(this.probs, this.noise, Math.min(SHOWN, possible));
  }
}
