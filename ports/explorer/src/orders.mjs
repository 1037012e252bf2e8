/** The steps of an order: what they are at a setting, what they keep, and what is said of them. */

const NAMES = { temperature: "temperature", k: "top-k", top_p: "top-p", min_p: "min-p" };

/** What the probabilities depend on, as one text. */
export const settingKey = ({ prompt, temperature, k, top_p, min_p, order }) =>
  [prompt, temperature, k, top_p, min_p, order].join();

/**
 * The steps of an order at a setting, as the port's `process` takes them, those included that are left out.
 *
 * @param {{step: string, argument: string, setting: string, off: number | null, always: object}[]} order
 * @param {Record<string, number>} setting
 * @returns {{box: string, on: boolean, step: [string, object]}[]} `box` is where its argument is typed
 */
export function stepsOf(order, setting) {
  return order.map(({ step, argument, setting: box, off, always }) => ({
    box,
    on: setting[box] !== off,
    step: [step, { [argument]: setting[box], ...always }],
  }));
}

/** As in "top-k 40 → top-p 0.95 → min-p 0.05 → temperature 0.8": the steps that are not left out. */
export const chain = (order, setting) =>
  order
    .filter((row) => setting[row.setting] !== row.off)
    .map((row) => `${NAMES[row.setting]} ${setting[row.setting]}`)
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
