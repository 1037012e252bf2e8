/** What each section of the page shows of the page's state, in the order of the data. */

import { max } from "d3-array";
import { scaleLinear, scaleLog } from "d3-scale";
import * as charts from "./charts.mjs";
import { showFilters, showOrder } from "./cuts.mjs";
import { every } from "./head.mjs";
import { showNumpy } from "./numpy.mjs";
import { settingKey } from "./orders.mjs";
import * as verdict from "./verdict.mjs";
import { $, count, fixed, percent, short, times, written } from "./words.mjs";

/** @typedef {import("./page.mjs").Page} Page */

/** What sections need that hangs on the prompt alone, made once for each. */
export function ofPrompts(head) {
  const bins = every((prompt) => charts.binsOf(head.logits(prompt)));
  if (!head.pytorchLogits) return { bins };
  const { bias, finish } = head;
  const error = every((prompt) => {
    const finished = { products: head.products(prompt), bias, finish };
    return verdict.logitErrors(head.contextOf(prompt), head.embedding, finished);
  });
  const logits = every((prompt) =>
    verdict.logits(head.logits(prompt), head.pytorchLogits(prompt), head.exactLogits(prompt), error(prompt)),
  );
  return { bins, error, logits };
}

function showPrompt(page) {
  const ids = page.head.prompts[page.state.prompt].token_ids;
  page.ifNew("prompt", [page.state.prompt], () => {
    const items = ids.slice(-12).map((id) => {
      const item = document.createElement("li");
      item.textContent = page.tokens.show(id);
      item.title = `id ${id}`;
      return item;
    });
    if (ids.length > items.length) {
      items.unshift(document.createElement("li"));
      items[0].textContent = "…";
      items[0].className = "more";
    }
    $("tokens").replaceChildren(...items);
  });
}

/** The largest of some numbers, in words. */
const listed = (values) =>
  charts
    .outliers(values)
    .map((i) => `${fixed(values[i], 2)} in dimension ${i}`)
    .join(", ");

function showContext(page) {
  page.ifNew("context", [page.state.prompt, page.width], () => {
    const context = page.head.contextOf(page.state.prompt);
    charts.drawOutliers($("context"), context);
    const rms = Math.hypot(...context) / Math.sqrt(context.length);
    written(
      "context-text",
      `${count(context.length)} numbers; their root mean square is ${rms.toFixed(2)}. The largest: ${listed(context)}.`,
    );
  });
}

function showProduct(page) {
  const { head, ids } = page;
  const { prompt } = page.state;
  const token = page.state.token ?? ids[0];
  const shown = ids.includes(token) ? [...ids] : [...ids, token]; // last, so that no button moves
  page.ifNew("product", [prompt, token, page.width, ...shown], () => {
    showCandidates(page, shown, token);
    const [h, w] = [head.contextOf(prompt), head.embeddingOf(token)];
    const products = Float64Array.from(h, (x, i) => x * w[i]);
    let sum = 0;
    const sums = products.map((x) => (sum += x));
    const strips = [
      { name: "context vector", values: h },
      { name: `embedding row ${token}`, values: w },
      { name: "their products", values: products },
    ];
    charts.drawStrips($("factors"), strips, charts.LEFT);
    charts.drawRunningSum($("running"), sums);
    const logit = head.logits(prompt)[token];
    const after = head.finish ? `${fixed(head.products(prompt)[token], 4)}; ${finishOf(head, token)}, that is ` : "";
    written(
      "product-text",
      `The products for ${page.tokens.quote(token)} add up to ${after}its logit, ${fixed(logit, 4)}. ` +
        `The largest: ${listed(products)}.`,
    );
    Object.assign($("stage-product").dataset, { token, logit: String(logit), runningSum: String(sum) });
  });
}

/** What makes a logit of a sum of products, in words. */
function finishOf({ bias, finish }, token) {
  const steps = [
    bias && `plus a bias of ${fixed(bias[token], 4)}`,
    finish.multiplier !== 1 && `multiplied by ${finish.multiplier}`,
    finish.divisor !== 1 && `divided by ${finish.divisor}`,
    finish.cap < Infinity && `capped at ±${finish.cap}`,
  ];
  return steps.filter(Boolean).join(", ");
}

/** A button for each candidate; pointing at it, focus and a click choose it. */
function showCandidates(page, ids, token) {
  const place = $("candidates");
  while (place.children.length > ids.length) place.lastChild.remove();
  while (place.children.length < ids.length) {
    const button = document.createElement("button");
    button.type = "button";
    const choose = () => page.state.token !== Number(button.value) && page.change({ token: Number(button.value) });
    for (const event of ["click", "pointerenter", "focus"]) button.addEventListener(event, choose);
    place.append(button);
  }
  ids.forEach((id, i) => {
    const [button, text] = [place.children[i], page.tokens.show(id)];
    button.value = id;
    if (button.textContent !== text) button.textContent = text;
    button.setAttribute("aria-pressed", String(id === token));
  });
}

function showLogits(page) {
  const { head } = page;
  const { prompt } = page.state;
  const { lowest, survivors } = page.summary();
  page.ifNew("logits", [prompt, lowest, survivors, page.width], () => {
    const bins = page.ofPrompts.bins(prompt);
    charts.drawHistogram($("histogram"), bins, lowest, survivors);
    written(
      "histogram-text",
      `${count(head.V)} logits, from ${fixed(bins.sorted[0], 2)} to ${fixed(bins.sorted.at(-1), 2)}; ` +
        `${count(survivors)} ${survivors === 1 ? "survives" : "survive"}, from ${fixed(lowest, 4)} up.`,
    );
    Object.assign($("stage-logits").dataset, { survivors, lowest: String(lowest) });
  });
}

function showCut(page) {
  const { survivors, tail } = page.summary();
  page.ifNew("spread", [settingKey(page.state), page.width], () => showSpread(page));
  written("survive", count(survivors));
  written("cut", count(page.head.V - survivors));
  written("tail", percent(tail));
}

/** What temperature does to the candidates: their distances are what the probabilities come from. */
function showSpread(page) {
  const { head } = page;
  const { prompt, temperature } = page.state;
  const ids = Array.from(page.ids);
  const survives = head.kept(page.state);
  const kept = ids.map((id) => survives[id] > -Infinity);
  const [before, after] = [head.logits(prompt), head.scaled(prompt, temperature)].map((z) => ids.map((id) => z[id]));
  const names = ids.map((id) => page.tokens.quote(id));
  charts.drawSpread($("spread"), before, after, kept, names);
  const last = kept.lastIndexOf(true);
  const [near, far] = [before, after].map((z) => z[0] - z[last]);
  written(
    "spread-text",
    last
      ? `From ${names[0]} to ${names[last]}: ${fixed(near, 2)} before the division, ${fixed(far, 2)} after it, so ` +
          `${names[0]} is ${times(Math.exp(far))} times as likely as ${names[last]}.`
      : `${names[0]} alone survives.`,
  );
  Object.assign($("stage-cut").dataset, { before: near, after: far });
}

function showProbabilities(page) {
  const { prompt, temperature, k } = page.state;
  page.ifNew("probabilities", [settingKey(page.state), page.width], () => showBars(page));
  const { tail, entropy, effective } = page.summary();
  written("entropy", entropy.toFixed(3));
  written("effective", effective.toFixed(2));
  Object.assign($("stage-probabilities").dataset, { tail, entropy, effective, temperature, k, prompt });
}

function showBars(page) {
  const { head, ids } = page;
  const { prompt, temperature } = page.state;
  const [logits, scaled] = [head.logits(prompt), head.scaled(prompt, temperature)];
  const [kept, probs] = [head.kept(page.state), page.probs()];
  const pytorch = page.answer()?.rowOf(prompt);
  const top = Math.ceil(4 * Math.max(probs[ids[0]], 1e-9)) / 4; // quarters: the bars keep their scale for a while
  const rows = Array.from(ids, (id) => {
    const cut = kept[id] === -Infinity;
    const theirs = pytorch && (cut && pytorch[id] === 0 ? "cut" : pytorch[id].toFixed(6));
    return {
      cells: [
        page.tokens.show(id),
        String(id),
        fixed(logits[id], 4),
        fixed(scaled[id], 4),
        cut ? "cut" : probs[id].toFixed(6),
        theirs ?? "–",
      ],
      value: probs[id],
      state: cut ? "is-cut" : "",
      data: { id, logit: String(logits[id]), probability: String(probs[id]) },
    };
  });
  page.bars.update(rows, scaleLinear([0, top], [0, 1]), (axis) => axis.ticks(3, "~%"));
  const others = page.summary().survivors - ids.filter((id) => kept[id] > -Infinity).length;
  const mass = ids.reduce((rest, id) => rest - probs[id], 1);
  written(
    "rest",
    others
      ? `${count(others)} other ${others === 1 ? "survivor has" : "survivors share"} ${percent(Math.max(mass, 0))}.`
      : "No other token survives.",
  );
}

function showDraw(page) {
  const { draws } = page;
  const { probs, noise, token } = draws;
  const arrivals = Array.from(draws.arrivals(page.summary().possible));
  const speed = (id) => Math.fround(probs[id] / Math.abs(noise[id]));
  const finite = arrivals.map(speed).filter((x) => x > 0 && x < Infinity);
  const [low, high] = finite.length ? [Math.min(...finite), Math.max(...finite)] : [1, 1];
  const rows = arrivals.map((id, place) => ({
    cells: [page.tokens.show(id), short(probs[id]), short(noise[id]), short(speed(id))],
    value: Math.min(Math.max(speed(id), low), high),
    state: place === 0 ? "is-winner" : "",
    data: { id, noise: String(noise[id]), race: String(speed(id)) },
  }));
  const scale = scaleLog([low / 2, low < high ? high : 2 * high], [0, 1]).nice(); // whole decades, which stay for a while
  page.race.update(rows, scale, (axis) => axis.ticks(3, "~g"));
  const { seed } = page.state;
  const which = draws.count === 1 ? `Seed ${seed} draws` : `Draw ${count(draws.count)} of seed ${seed}:`;
  written("drawn", `${which} ${page.tokens.quote(token)}`);
  Object.assign($("stage-draw").dataset, { seed, draws: draws.count, drawn: token, first: draws.first });
  showCounts(page);
}

function showCounts(page) {
  const { probs, count: n, counts } = page.draws;
  const alive = Array.from(page.ids).filter((id) => probs[id] > 0);
  const digits = n < 10 ? 3 : n < 100 ? 2 : 1;
  const top = Math.max(
    max(alive, (id) => Math.max(counts[id], n * probs[id])),
    1,
  );
  const rows = alive.map((id) => ({
    cells: [page.tokens.show(id), count(counts[id]), (n * probs[id]).toFixed(digits)],
    value: counts[id],
    tick: n * probs[id],
    state: "",
    data: { id, count: counts[id], expected: String(n * probs[id]) },
  }));
  page.counts.update(rows, scaleLinear([0, top], [0, 1]).nice(), (axis) => axis.ticks(3, "~s"));
  const [drawn, mass] = alive.reduce(([c, p], id) => [c - counts[id], p - probs[id]], [n, 1]);
  written(
    "counts-rest",
    `${count(n)} ${n === 1 ? "draw" : "draws"}. All other tokens together: ${count(drawn)} drawn, ` +
      `${(n * Math.max(mass, 0)).toFixed(digits)} expected. The line in each row marks the expected count.`,
  );
}

/** A verdict and what is to be said of it. */
function say(id, result, detail) {
  const place = $(`verdict-${id}`);
  const word = result?.word ?? "";
  if (place.dataset.word !== word) place.className = place.dataset.word = word;
  const text = result ? `${word}${result.rule ? ` from ${result.rule}` : ""}` : "–";
  written(place.id, detail ? `${text} ${detail}` : text);
}

function showPyTorch(page) {
  const { head, pytorch } = page;
  const { prompt, seed } = page.state;
  const answer = page.answer();
  for (const [i, setting] of pytorch.settings.entries())
    $("settings").children[i].setAttribute("aria-pressed", String(setting === answer));
  if (!head.pytorchLogits) return ["logits", "probs", "draw"].forEach((id) => say(id, null, ""));
  const exact = head.exactLogits(prompt);
  const ratio = (result) => `(largest error: ${short(result.ratio, 2)} of the bound)`;
  const error = page.ofPrompts.error(prompt);
  const logits = page.ofPrompts.logits(prompt);
  say("logits", logits, ratio(logits));
  if (!answer) {
    say("probs", null, "not included for these settings; choose some below");
    return say("draw", null, "");
  }
  const [ours, theirs] = [page.probs(), answer.rowOf(prompt)];
  page.ifNew("judge", [settingKey(page.state)], () => {
    const steps = head.steps(page.state).flatMap(({ on, step }) => (on ? [step] : []));
    page.judged = new verdict.HeadJudge(exact, error, steps).compare(ours, theirs);
  });
  say("probs", page.judged, ratio(page.judged));
  const [first, drawn] = [page.draws.first, answer.drawOf(prompt, seed)];
  if (drawn === null) return say("draw", null, answer.seeds ? `included for seeds 0 to ${answer.seeds - 1}` : "");
  const bound = (v) => page.judged.bound?.[v] ?? 0;
  // Where rounding decides who survives, it decides for the draw, too.
  const other = page.judged.word === "TIE_BREAK" && theirs[drawn] > 0 && !(ours[drawn] > 0 && theirs[first] > 0);
  const judged = other ? { word: "TIE_BREAK" } : verdict.draw(first, drawn, ours, head.firstNoise(seed), bound);
  return say("draw", judged, `(torch.multinomial draws ${page.tokens.quote(drawn)})`);
}

/** The element of each section and what fills it. */
export const SECTIONS = [
  ["stage-prompt", showPrompt],
  ["stage-context", showContext],
  ["stage-product", showProduct],
  ["stage-logits", showLogits],
  ["stage-cut", showCut],
  ["stage-filters", showFilters],
  ["stage-order", showOrder],
  ["stage-probabilities", showProbabilities],
  ["stage-draw", showDraw],
  ["stage-numpy", showNumpy],
  ["pytorch-says", showPyTorch],
];
