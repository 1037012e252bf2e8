/** What the page shows of top-p, min-p and the order of the steps. */

import { scaleLinear, scaleLog } from "d3-scale";
import { drawCut } from "./cut_chart.mjs";
import { chain, contracts, settingKey } from "./orders.mjs";
import { $, count, percent, short, written } from "./words.mjs";

/** @typedef {import("./page.mjs").Page} Page */

/** Where both filters cut the probabilities that reach them. */
export function showFilters(page) {
  page.ifNew("filters", [settingKey(page.state), page.width], () => {
    const { top_p, min_p } = page.head.cuts(page.state);
    showTopP(page, top_p);
    showMinP(page, min_p);
  });
}

/** How many of the tokens are drawn, if not all. */
const drawn = ({ of, ids }) => (ids.length < of ? ` The first ${count(ids.length)} of ${count(of)} are drawn.` : "");

/** Who stays and who falls. */
const outcome = ({ of, kept }) =>
  `${count(kept)} ${kept === 1 ? "stays" : "stay"}, ${count(of - kept)} ${of - kept === 1 ? "falls" : "fall"}.`;

/** What the charts have in common, for their data: how many there are, stay and are drawn, and the last that stays. */
const dataOf = ({ of, kept, ids }) => ({ of, kept, drawn: ids.length, last: ids[Math.min(kept, ids.length) - 1] });

function showTopP(page, cut) {
  const { top_p: p } = page.state;
  const { on, of, ids, sums } = cut;
  const { last } = dataOf(cut);
  const sum = sums[ids.indexOf(last)];
  const limit = { level: p, label: on ? `p = ${p}` : "" };
  const vertical = { scale: scaleLinear([0, 1], [0, 1]), ticks: [0, 0.25, 0.5, 0.75, 1] };
  drawCut($("sums"), { ...cut, values: sums }, "running sum, most probable first", vertical, limit);
  written(
    "sums-text",
    on
      ? `Top-p sees ${count(of)} ${of === 1 ? "token" : "tokens"}. At the last that stays, ` +
          `${page.tokens.quote(last)}, the running sum is ${short(sum)}. ${outcome(cut)}${drawn(cut)}`
      : `Top-p is off at 1: all ${count(of)} stay. Those drawn share ${percent(sums.at(-1))}.${drawn(cut)}`,
  );
  Object.assign($("sums").dataset, { ...dataOf(cut), sum, p });
}

/** A logarithmic scale of whole decades, which stay for a while, with room for the level and the shares. */
function decades(shares, level) {
  const [most, least] = [shares[0], Math.max(shares.at(-1), shares[0] / 1e3)];
  const low = Math.max(Math.min(least, level || least), 1e-300) * 0.9; // so that the lowest has a bar
  const [first, last] = [Math.floor(Math.log10(low)), Math.ceil(Math.log10(most))];
  const every = Math.ceil((last - first) / 5); // at most six ticks
  const decade = (power) => Number(`1e${power}`); // to the last digit, which 10 ** power need not be
  const ticks = [];
  for (let power = last; power >= first; power -= every) ticks.push(decade(power));
  return { scale: scaleLog([decade(first), decade(last)], [0, 1]), ticks };
}

function showMinP(page, cut) {
  const { min_p: p } = page.state;
  const { on, of, ids, shares } = cut;
  const most = shares[0];
  const level = p * most;
  const limit = { level, label: on ? `${p} × ${short(most, 3)} = ${short(level, 3)}` : "" };
  const name = "probability, on a logarithmic scale";
  drawCut($("shares"), { ...cut, values: shares }, name, decades(shares, level), limit);
  const favourite = `The most probable, ${page.tokens.quote(ids[0])}, has ${short(most)}`;
  written(
    "shares-text",
    on
      ? `Min-p sees ${count(of)} ${of === 1 ? "token" : "tokens"}. ${favourite}, so ${short(level)} is needed. ` +
          `${outcome(cut)}${drawn(cut)}`
      : `Min-p is off at 0: all ${count(of)} stay. ${favourite}.${drawn(cut)}`,
  );
  Object.assign($("shares").dataset, { ...dataOf(cut), most, level, p });
}

/** The order, what it leaves after each step, and what its engine does at the boundary. */
export function showOrder(page) {
  const { head, state } = page;
  const order = head.orders[state.order];
  written("steps", chain(order, state));
  const left = head.stages(state).filter(({ on }) => on);
  const counts = [left[0].before, ...left.map(({ after }) => after)].map((logits) => {
    let alive = 0;
    for (const z of logits) if (z > -Infinity) alive++;
    return count(alive);
  });
  written("left", `Tokens left: ${counts.join(" → ")}`);
  page.ifNew("order", [state.order], () => {
    const items = contracts(order).map((sentence) => {
      const item = document.createElement("li");
      item.textContent = sentence;
      return item;
    });
    $("contracts").replaceChildren(...items);
  });
}
