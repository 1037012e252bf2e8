/** The steps of an order: what they are at a setting, what they keep, and what is said of them. */

export const NAMES = { temperature: "temperature", k: "top-k", top_p: "top-p", min_p: "min-p" };

/** What the probabilities depend on, as one text. */
export const settingKey = ({ prompt, temperature, k, top_p, min_p, order }) =>
  [prompt, temperature, k, top_p, min_p, order].join();

const HOLDS = {
  "==": (a, b) => a === b,
  "<": (a, b) => a < b,
  "<=": (a, b) => a <= b,
  ">": (a, b) => a > b,
  ">=": (a, b) => a >= b,
};

/** @typedef {[sign: string, limit: number, words?: string]} Condition */

/**
 * The steps of an order at a setting, as the port's `process` takes them, those included that are left out.
 *
 * @param {{step: string, argument: string, setting: string, always: object, off: Condition[],
 *   instead: Condition[]}[]} order
 * @param {Record<string, number>} setting
 * @returns {{box: string, on: boolean, step: [string, object], instead?: string}[]} `box` is where its argument is
 *   typed; `instead` is what the engine would take the argument as, if that is something else
 */
export function stepsOf(order, setting) {
  return order.map(({ step, argument, setting: box, always, off, instead }) => {
    const holds = ([sign, limit]) => HOLDS[sign](setting[box], limit);
    const on = !off.some(holds);
    return { box, on, step: [step, { [argument]: setting[box], ...always }], instead: instead.find(holds)?.[2] };
  });
}

/** As in "top-k 40 → top-p 0.95 → min-p 0.05 → temperature 0.8": the steps that are not left out. */
export const chain = (order, setting) =>
  stepsOf(order, setting)
    .filter(({ on }) => on)
    .map(({ box }) => `${NAMES[box]} ${setting[box]}`)
    .join(" → ");

// By the contract on ties, that of the reference first.
const TOP_K = {
  lowest_id: "keeps exactly k tokens: of those that tie for the last place, the lowest ids [TOPK-2].",
  all: "keeps all that tie with the k-th token [TOPK-7].",
  any: "keeps exactly k tokens; it leaves open which of the tied stay; here the lowest ids [PIPE-3].",
};
const TOP_P = {
  lowest_id: "of tied tokens, the lowest ids stay [FILTER-2].",
  all: "all that tie with the last token stay [FILTER-3].",
  any: "it leaves open which of the tied stay; here the lowest ids [PIPE-3].",
};
const UNTIL = {
  reached: "stops where the sum reaches p",
  exceeded: "stops only where the sum is above p [FILTER-3]",
};

/** Where the steps of an order stop, and what they do with ties, a sentence for each that has a choice. */
export function contracts(order) {
  return order.flatMap(({ step, always: { ties = "lowest_id", until = "reached" } }) => {
    if (step === "keep_top_k") return [`Top-k ${TOP_K[ties]}`];
    return step === "keep_top_p" ? [`Top-p ${UNTIL[until]}; ${TOP_P[ties]}`] : [];
  });
}
