/**
 * The page: what is chosen, what that gives, and who shows it. Every change goes through `change`, which computes
 * first and draws only if the port accepted it: a refusal leaves the view as it was and says why.
 */

import { max } from "d3-array";
import { scaleLinear, scaleLog } from "d3-scale";
import * as charts from "./charts.mjs";
import { embeddedBundle, pytorchAnswers, toy } from "./embedded.mjs";
import { Draws, Head } from "./head.mjs";
import { MOST_DRAWS, Problem, READ, START, fromFragment, stepsOfK, toFragment } from "./state.mjs";
import { BarTable } from "./tables.mjs";
import { Tokens } from "./tokens.mjs";
import * as verdict from "./verdict.mjs";

const SLICE = 4; // milliseconds of draws between two pictures
const FIELD = { bad_temperature: "temperature", overflow: "temperature", bad_k: "k", bad_seed: "seed" };
const REDRAWS = ["prompt", "temperature", "k", "seed"]; // what starts the draws anew

const $ = (id) => document.getElementById(id);
const thousands = new Intl.NumberFormat("en-US");
const count = (n) => thousands.format(n);
const percent = (p) => `${(100 * p).toFixed(p < 0.001 ? 3 : 1)}%`;
const fixed = charts.fixed;
const written = (id, text) => $(id).textContent !== text && ($(id).textContent = text);

function short(x) {
  if (x === 0) return "0";
  return x >= 1e5 || x < 1e-4 ? x.toExponential(3).replace("-", "−").replace("+", "") : x.toPrecision(4);
}

class Page {
  constructor(head, pytorch) {
    Object.assign(this, { head, pytorch, width: document.body.clientWidth, tokens: new Tokens(head.tokens), state: { ...START } });
    this.steps = stepsOfK(head.V);
    this.perPrompt = {}; // what is made once a prompt: bins, errors of the logits
    const token = { label: "token", kind: "token" };
    const [id, number] = [{ label: "id", kind: "number" }, (label) => ({ label, kind: "number" })];
    const minor = (label) => ({ label, kind: "minor" });
    this.bars = new BarTable(
      $("bars"),
      [token, id, number("logit"), minor("logit ÷ T"), number("probability"), minor("PyTorch")],
      "probability, as a bar",
    );
    this.race = new BarTable($("race"), [token, number("p"), number("E"), number("p ÷ E")], "p ÷ E, as a bar");
    this.counts = new BarTable($("counts"), [token, number("drawn"), number("expected")], "drawn, as a bar");
    this.#fill();
    this.#listen();
  }

  // ---- what is there once -------------------------------------------------------------------------------------------

  #fill() {
    const options = this.head.prompts.map(({ text }, i) => {
      const line = text.replace(/\s+/g, " ").trim() || JSON.stringify(text);
      return new Option(line.length > 60 ? `… ${line.slice(-58)}` : line, i);
    });
    $("prompt").replaceChildren(...options);
    $("k-slider").max = this.steps.length - 1;
    written("model", `Model: ${this.head.title}. Computed in float32 by the JavaScript port.`);
    const settings = this.pytorch.settings.map(({ temperature, k }) => {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = `T = ${temperature}, k = ${k >= this.head.V ? "V" : k}`;
      button.addEventListener("click", () => this.change({ temperature, k }));
      return button;
    });
    $("settings").replaceChildren(...settings);
    $("settings-label").hidden = settings.length === 0;
  }

  #listen() {
    const typed = (name) => $(name).addEventListener("input", () => this.#type(name, $(name).value));
    ["prompt", "temperature", "k", "seed"].forEach(typed);
    for (const name of ["temperature", "k", "seed"])
      $(name).addEventListener("change", () => {
        if (!$(`${name}-problem`).dataset.refused) this.#showControls(); // "5e1" becomes 50, "" stays to be seen
      });
    $("temperature-slider").addEventListener("input", ({ target }) => this.change({ temperature: Number(target.value) }));
    $("k-slider").addEventListener("input", ({ target }) => this.change({ k: this.steps[target.value] }));
    $("draw").addEventListener("click", () => this.#drawMore(1));
    $("draw-1000").addEventListener("click", () => this.#drawMore(1000));
    $("restart").addEventListener("click", () => this.change({ draws: 1 }));
    $("copy").addEventListener("click", () => this.#copy($("numpy").textContent, "the code"));
    $("copy-link").addEventListener("click", () => {
      this.#writeFragment();
      this.#copy(location.href, "the link");
    });
    addEventListener("hashchange", () => location.hash !== this.fragment && this.restore());
    let width = 0;
    new ResizeObserver(() => {
      if (width === (width = document.body.clientWidth)) return;
      this.width = width;
      charts.forgetWidths();
      this.redraw();
    }).observe(document.body);
  }

  // ---- changes ------------------------------------------------------------------------------------------------------

  /** The view of the URL's fragment. */
  restore() {
    const { state, problems } = fromFragment(location.hash, this.head);
    this.#clearProblems();
    if (!this.change(state)) this.change(START); // refused in words; what was refused stays to be seen
    for (const problem of problems) this.#refuse(problem);
  }

  #type(name, text) {
    try {
      this.change({ [name]: READ[name](text, this.head) }, name);
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      this.#refuse(error);
    }
  }

  #drawMore(n) {
    const draws = this.state.draws + n;
    if (draws > MOST_DRAWS)
      this.#refuse(new Problem("seed", `${count(MOST_DRAWS)} draws are the most that are counted: start again`));
    else this.change({ draws });
  }

  /**
   * Compute the changed state and show it. `typing` is the box whose text the user is still writing.
   *
   * @returns {boolean} false if the port refused; the view then is as it was
   */
  change(patch, typing = null) {
    const started = performance.now();
    const state = { ...this.state, ...patch };
    if (REDRAWS.some((name) => name in patch) && !("draws" in patch)) state.draws = 1;
    try {
      this.#compute(state);
    } catch (error) {
      if (!Object.hasOwn(FIELD, error.code)) throw error;
      this.#refuse(new Problem(FIELD[error.code], error.message));
      return false;
    }
    this.#clearProblems(Object.keys(patch));
    this.state = state;
    this.#showControls(typing);
    this.redraw();
    $("explorer").dataset.redrawMs = (performance.now() - started).toFixed(2);
    this.#later();
    return true;
  }

  #compute({ prompt, temperature, k, seed, draws }) {
    const { head } = this;
    const probs = head.probs(prompt, temperature, k);
    const key = [prompt, temperature, k, seed].join();
    if (key !== this.drawsKey || draws < this.draws.count) {
      const next = new Draws(head, probs, seed);
      next.next(); // refuses a bad seed
      [this.draws, this.drawsKey] = [next, key];
    }
    this.#drawFor(draws);
  }

  /** Draw until there are `draws`, or the slice of time is used up; whatever is missing, the next pictures bring. */
  #drawFor(draws) {
    const end = performance.now() + SLICE;
    while (this.draws.count < draws && performance.now() < end) this.draws.next();
  }

  /** What need not be done within the frame: the address, and a sentence for screen readers. */
  #later() {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => {
      this.#writeFragment();
      const { head, draws, state } = this;
      const [best] = head.candidates(state.prompt, state.temperature);
      const p = head.probs(state.prompt, state.temperature, state.k)[best];
      written(
        "live",
        `Most probable: ${this.tokens.show(best)}, ${percent(p)}. Last drawn: ${this.tokens.show(draws.token)}. ` +
          `${count(draws.count)} ${draws.count === 1 ? "draw" : "draws"}.`,
      );
    }, 250);
    if (this.draws.count < this.state.draws && !this.drawing) {
      this.drawing = true;
      requestAnimationFrame(() => this.#goOnDrawing());
    }
  }

  #goOnDrawing() {
    this.#drawFor(this.state.draws);
    this.drawing = this.draws.count < this.state.draws;
    this.#showDraw();
    if (this.drawing) requestAnimationFrame(() => this.#goOnDrawing());
    else this.#later();
  }

  #writeFragment() {
    this.fragment = toFragment(this.state);
    if (location.hash !== this.fragment) history.replaceState(null, "", this.fragment);
  }

  #refuse(problem) {
    const place = $(`${problem.field}-problem`) ?? $("notice");
    place.textContent = `${problem.message}. The view stays as it was.`;
    place.dataset.refused = "yes";
    $(problem.field)?.setAttribute("aria-invalid", "true");
  }

  #clearProblems(fields = ["prompt", "temperature", "k", "seed"]) {
    for (const field of fields) {
      const place = $(`${field}-problem`);
      if (!place) continue;
      written(place.id, "");
      delete place.dataset.refused;
      $(field).removeAttribute("aria-invalid");
    }
  }

  async #copy(text, what) {
    try {
      await navigator.clipboard.writeText(text);
      written("copied", `Copied ${what}.`);
    } catch {
      getSelection().selectAllChildren($("numpy"));
      written("copied", `This browser does not let a page copy: take ${what} by hand.`);
    }
  }

  // ---- the picture --------------------------------------------------------------------------------------------------

  #showControls(typing = null) {
    const { prompt, temperature, k, seed } = this.state;
    const { V } = this.head;
    for (const [name, value] of Object.entries({ prompt, temperature, k, seed }))
      if (name !== typing) $(name).value = String(value);
    $("temperature-slider").value = temperature;
    $("temperature-slider").setAttribute("aria-valuetext", String(temperature));
    const step = this.steps.findIndex((value) => value >= k);
    $("k-slider").value = step < 0 ? this.steps.length - 1 : step;
    $("k-slider").setAttribute("aria-valuetext", `${count(Math.min(k, V))} of ${count(V)}`);
    if (k > V) written("k-problem", `k is ${count(k)}, above V = ${count(V)}: it means V, every token survives [TOPK-4].`);
  }

  redraw() {
    const { prompt, temperature, k } = this.state;
    const { head } = this;
    if (this.perPrompt.prompt !== prompt) {
      const logits = head.logits(prompt);
      this.perPrompt = { prompt, bins: charts.binsOf(logits) };
      this.#showPrompt(prompt);
    }
    this.ids = head.candidates(prompt, temperature);
    const summary = head.summary(prompt, temperature, k);
    this.#showContext(prompt);
    this.#showProduct(prompt);
    this.#showLogits(prompt, summary);
    const probs = head.probs(prompt, temperature, k);
    const answer = this.pytorch.settings.find((s) => s.temperature === temperature && s.k === Math.min(k, head.V));
    this.#showProbabilities(probs, summary, answer?.rowOf(prompt));
    this.#showDraw();
    this.#showVerdicts(probs, answer);
    this.#showNumpy();
  }

  #showPrompt(prompt) {
    const ids = this.head.prompts[prompt].token_ids;
    const items = ids.slice(-12).map((id) => {
      const item = document.createElement("li");
      item.textContent = this.tokens.show(id);
      item.title = `id ${id}`;
      return item;
    });
    if (ids.length > 12) items.unshift(Object.assign(document.createElement("li"), { textContent: "…", className: "more" }));
    $("tokens").replaceChildren(...items);
  }

  #showContext(prompt) {
    const key = [prompt, this.width].join();
    if (key === this.contextKey) return;
    this.contextKey = key;
    const context = this.head.contextOf(prompt);
    charts.drawOutliers($("context"), context);
    const named = charts.outliers(context).map((i) => `dimension ${i} is ${fixed(context[i], 2)}`);
    const rms = Math.hypot(...context) / Math.sqrt(context.length);
    written(
      "context-text",
      `${count(context.length)} numbers; their root mean square is ${rms.toFixed(2)}. The largest: ${named.join(", ")}.`,
    );
  }

  #showProduct(prompt) {
    const token = this.state.token ?? this.ids[0];
    const shown = this.ids.includes(token) ? [...this.ids] : [token, ...this.ids];
    const key = [prompt, token, this.width, ...shown].join();
    if (key === this.productKey) return;
    this.productKey = key;
    this.#showCandidates(shown, token);
    const { head } = this;
    const [h, w] = [head.contextOf(prompt), head.embeddingOf(token)];
    const products = Float64Array.from(h, (x, i) => x * w[i]);
    let sum = 0;
    const sums = products.map((x) => (sum += x));
    charts.drawStrips($("factors"), [
      { name: "context vector", values: h },
      { name: `embedding row ${token}`, values: w },
      { name: "their products", values: products },
    ], charts.LEFT);
    charts.drawRunningSum($("running"), sums);
    const logit = head.logits(prompt)[token];
    const top = charts.outliers(products).map((i) => `dimension ${i} gives ${fixed(products[i], 2)}`);
    written(
      "product-text",
      `The products of ${this.tokens.show(token)} add up to its logit ${fixed(logit, 4)}. The largest: ${top.join(", ")}.`,
    );
    Object.assign($("stage-product").dataset, { token, logit: String(logit), runningSum: String(sum) });
  }

  #showCandidates(ids, token) {
    const place = $("candidates");
    while (place.children.length > ids.length) place.lastChild.remove();
    while (place.children.length < ids.length) {
      const button = document.createElement("button");
      button.type = "button";
      const choose = () => this.state.token !== Number(button.value) && this.change({ token: Number(button.value) });
      for (const event of ["click", "pointerenter", "focus"]) button.addEventListener(event, choose);
      place.append(button);
    }
    ids.forEach((id, i) => {
      const button = place.children[i];
      button.value = id;
      if (button.textContent !== this.tokens.show(id)) button.textContent = this.tokens.show(id);
      button.setAttribute("aria-pressed", String(id === token));
    });
  }

  #showLogits(prompt, { lowest }) {
    const { head } = this;
    const survivors = Math.min(this.state.k, head.V);
    const key = [prompt, lowest, survivors, this.width].join();
    if (key === this.histogramKey) return;
    this.histogramKey = key;
    charts.drawHistogram($("histogram"), this.perPrompt.bins, lowest, survivors);
    const { domain } = this.perPrompt.bins;
    written(
      "histogram-text",
      `${count(head.V)} logits between ${domain.map((x) => fixed(x, 0)).join(" and ")}; ${count(survivors)} survive, ` +
        `from ${fixed(lowest, 4)} up.`,
    );
    Object.assign($("stage-logits").dataset, { survivors, lowest: String(lowest) });
  }

  #showProbabilities(probs, { tail, entropy, effective }, pytorch) {
    const { head, ids } = this;
    const { prompt, temperature, k } = this.state;
    const [logits, scaled, kept] = [head.logits(prompt), head.scaled(prompt, temperature), head.kept(prompt, temperature, k)];
    const survivors = Math.min(k, head.V);
    written("survive", count(survivors));
    written("cut", count(head.V - survivors));
    written("tail", percent(tail));
    const top = Math.ceil(4 * Math.max(probs[ids[0]], 1e-9)) / 4; // quarters: the bars keep their scale for a while
    const rows = Array.from(ids, (id) => {
      const cut = kept[id] === -Infinity;
      return {
        cells: [
          this.tokens.show(id),
          String(id),
          fixed(logits[id], 4),
          fixed(scaled[id], 4),
          cut ? "cut" : probs[id].toFixed(6),
          pytorch ? (cut && pytorch[id] === 0 ? "cut" : pytorch[id].toFixed(6)) : "–",
        ],
        value: probs[id],
        state: cut ? "is-cut" : "",
        data: { id, logit: String(logits[id]), probability: String(probs[id]) },
      };
    });
    this.bars.update(rows, scaleLinear([0, top], [0, 1]), (axis) => axis.ticks(3, "~%"));
    const others = Math.max(survivors - ids.length, 0);
    const mass = ids.reduce((rest, id) => rest - probs[id], 1);
    written("rest", others ? `${count(others)} other survivors share ${percent(Math.max(mass, 0))}.` : "No others survive.");
    written("entropy", entropy.toFixed(3));
    written("effective", effective.toFixed(2));
    Object.assign($("stage-probabilities").dataset, { tail, entropy, effective, temperature, k, prompt });
  }

  #showDraw() {
    const { head, draws, ids } = this;
    const { prompt, temperature, k, seed } = this.state;
    const { possible } = head.summary(prompt, temperature, k);
    const { probs, noise, token } = draws;
    const arrivals = Array.from(draws.arrivals(possible));
    const speed = (id) => Math.fround(probs[id] / Math.abs(noise[id]));
    const finite = arrivals.map(speed).filter((x) => x > 0 && x < Infinity);
    const [low, high] = [Math.min(...finite, 1e30), Math.max(...finite, 1e-30)];
    const rows = arrivals.map((id, place) => ({
      cells: [this.tokens.show(id), short(probs[id]), short(noise[id]), short(speed(id))],
      value: Math.min(Math.max(speed(id), low), high),
      state: place === 0 ? "is-winner" : "",
      data: { id, noise: String(noise[id]), race: String(speed(id)) },
    }));
    const scale = scaleLog(low < high ? [low / 2, high] : [high / 2, high * 2], [0, 1]);
    this.race.update(rows, scale, (axis) => axis.ticks(3, "~g"));
    const which = draws.count === 1 ? `Seed ${seed} draws` : `Draw ${count(draws.count)} of seed ${seed}:`;
    written("drawn", `${which} ${this.tokens.show(token)}`);
    Object.assign($("stage-draw").dataset, { seed, draws: draws.count, drawn: token, first: draws.first });
    this.#showCounts(probs, draws, ids);
  }

  #showCounts(probs, { count: n, counts }, ids) {
    const alive = Array.from(ids).filter((id) => probs[id] > 0);
    const top = Math.max(max(alive, (id) => Math.max(counts[id], n * probs[id])), 1);
    const rows = alive.map((id) => ({
      cells: [this.tokens.show(id), count(counts[id]), (n * probs[id]).toFixed(1)],
      value: counts[id],
      tick: n * probs[id],
      data: { id, count: counts[id], expected: String(n * probs[id]) },
    }));
    this.counts.update(rows, scaleLinear([0, top], [0, 1]).nice(), (axis) => axis.ticks(3, "~s"));
    const rest = alive.reduce(([c, p], id) => [c - counts[id], p - probs[id]], [n, 1]);
    written(
      "counts-rest",
      `${count(n)} ${n === 1 ? "draw" : "draws"}. All other candidates: ${count(rest[0])} drawn, ` +
        `${(n * Math.max(rest[1], 0)).toFixed(1)} expected. The line in each bar is what to expect.`,
    );
  }

  #showVerdicts(probs, answer) {
    const { head, draws, pytorch } = this;
    const { prompt, temperature, k, seed } = this.state;
    const say = (id, result, detail) => {
      const place = $(`verdict-${id}`);
      place.className = result?.word ?? "";
      place.dataset.word = result?.word ?? "";
      const text = result ? `${result.word}${result.rule ? ` from ${result.rule}` : ""}` : "–";
      written(place.id, detail ? `${text} ${detail}` : text);
    };
    const ratio = ({ ratio }) => `(error ${ratio.toPrecision(2)} × bound)`;
    for (const [i, setting] of pytorch.settings.entries())
      $("settings").children[i].setAttribute("aria-pressed", String(setting === answer));
    if (!head.pytorchLogits) return ["logits", "probs", "draw"].forEach((id) => say(id, null, ""));
    const exact = head.exactLogits(prompt);
    const { perPrompt } = this;
    perPrompt.error ??= verdict.logitErrors(head.contextOf(prompt), head.embedding);
    perPrompt.verdict ??= verdict.logits(head.logits(prompt), head.pytorchLogits(prompt), exact, perPrompt.error);
    say("logits", perPrompt.verdict, ratio(perPrompt.verdict));
    if (!answer) {
      say("probs", null, "not exported for this T and k: choose one below");
      return say("draw", null, "");
    }
    const theirs = answer.rowOf(prompt);
    const key = [prompt, temperature, answer.k].join();
    if (this.judged?.key !== key) {
      const judge = new verdict.HeadJudge(exact, perPrompt.error, temperature, k);
      this.judged = { key, result: judge.compare(probs, theirs) };
    }
    const { result } = this.judged;
    say("probs", result, ratio(result));
    const drawn = answer.drawOf(prompt, seed);
    if (drawn === null) return say("draw", null, answer.seeds ? `exported for seeds 0 to ${answer.seeds - 1}` : "");
    const noise = head.firstNoise(seed);
    const judgedDraw = verdict.draw(draws.first, drawn, probs, noise, (v) => result.bound?.[v] ?? 0);
    say("draw", judgedDraw, `torch.multinomial draws ${this.tokens.show(drawn)}`);
    return undefined;
  }

  #showNumpy() {
    const { prompt, temperature, k, seed, draws } = this.state;
    const [imports, source, factors] = this.head.numpy(prompt);
    const lines = [
      imports,
      source,
      `probs = reference.lm_head(${factors}, temperature=${temperature}, k=${k})`,
      `drawn = reference.multinomial([probs] * ${draws}, rng=reference.TorchGenerator(${seed}))[:, 0]`,
    ];
    written("numpy", lines.join("\n"));
  }
}

/** What the page carries; where that cannot be used, the toy or no answers, and why. */
async function load() {
  let head;
  try {
    head = new Head(await embeddedBundle());
  } catch (error) {
    const pytorch = { settings: [], note: "PyTorch's answers belong to the bundle, which cannot be used." };
    const problem = `The bundle in this page cannot be used: ${error.message}. In its place: a toy of four tokens.`;
    return { head: new Head(toy()), pytorch, problem };
  }
  try {
    return { head, pytorch: pytorchAnswers(head), problem: "" };
  } catch (error) {
    return { head, pytorch: { settings: [], note: `PyTorch's answers in this page are damaged: ${error.message}.` }, problem: "" };
  }
}

async function start() {
  const { head, pytorch, problem } = await load();
  const page = new Page(head, pytorch);
  written("pytorch-note", pytorch.note);
  written("notice", problem);
  $("notice").classList.toggle("problem", problem !== "");
  page.restore();
  $("explorer").dataset.ready = "yes";
}

start();
