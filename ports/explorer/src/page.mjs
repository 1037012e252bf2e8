/**
 * The page's state and its changes. `change` computes first and shows only what the port accepted: a refusal leaves the
 * view as it was and says why. Sections in sight are drawn at once, within the frame of the change; the others just
 * after it.
 */

import * as charts from "./charts.mjs";
import { Draws } from "./head.mjs";
import { settingKey } from "./orders.mjs";
import { SECTIONS, ofPrompts } from "./sections.mjs";
import { MOST_DRAWS, Problem, READ, START, fromFragment, stepsOfK, toFragment } from "./state.mjs";
import { BarTable } from "./tables.mjs";
import { Tokens } from "./tokens.mjs";
import { $, count, percent, written } from "./words.mjs";

const [FIRST, SLICE] = [1, 8]; // milliseconds of many draws: in the frame of the click, and in each one after it
const REST = 4; // milliseconds of drawing what is out of sight, between two chances of the browser to react
const BOXES = ["prompt", "temperature", "k", "top_p", "min_p", "order", "seed"]; // a change of one restarts the draws
const SLIDERS = ["temperature", "top_p", "min_p"]; // with the values of their boxes

export class Page {
  #keys = {};
  #seen = { drawsKey: null, fragment: null };

  constructor(head, pytorch) {
    Object.assign(this, { head, pytorch, state: { ...START }, tokens: new Tokens(head.tokens) });
    this.ofPrompts = ofPrompts(head);
    this.width = document.body.clientWidth;
    this.steps = stepsOfK(head.V);
    this.sections = SECTIONS.map(([id, show]) => ({ element: $(id), show, inSight: true, stale: false }));
    const token = { label: "token", kind: "token" };
    const number = (label) => ({ label, kind: "number" });
    const minor = (label) => ({ label, kind: "minor" });
    this.bars = new BarTable(
      $("bars"),
      [token, number("id"), number("logit"), minor("logit ÷ T"), number("probability"), minor("PyTorch")],
      "probability, as a bar",
    );
    this.race = new BarTable($("race"), [token, number("p"), number("E"), number("p ÷ E")], "p ÷ E, as a bar");
    this.counts = new BarTable($("counts"), [token, number("drawn"), number("expected")], "drawn, as a bar");
    this.#fill();
    this.#listen();
  }

  // What the sections ask for.

  probs() {
    return this.head.probs(this.state);
  }

  summary() {
    return this.head.summary(this.state);
  }

  /** PyTorch's answers at these settings, if they came with the page. */
  answer() {
    const now = { ...this.state, k: Math.min(this.state.k, this.head.V) };
    const names = ["temperature", "k", "top_p", "min_p", "order"];
    return this.pytorch.settings.find((setting) => names.every((name) => setting[name] === now[name]));
  }

  /** Do it only if what it depends on has changed. */
  ifNew(name, parts, act) {
    const key = parts.join();
    if (this.#keys[name] === key) return;
    act();
    this.#keys[name] = key;
  }

  // Changes.

  /** The view of the URL's fragment. */
  restore() {
    const { state, problems } = fromFragment(location.hash, this.head);
    this.#clearProblems();
    if (!this.change(state)) {
      const refusals = BOXES.map((name) => [name, $(`${name}-problem`).textContent]);
      this.change(START);
      for (const [name, text] of refusals) if (text) this.#tell(name, text);
    }
    for (const problem of problems) this.#refuse(problem);
  }

  /**
   * Compute the changed state and show it. `typing` is the box whose text the user is still writing.
   *
   * @returns {boolean} false if the port refused; the view then is as it was
   */
  change(patch, typing = null) {
    const state = { ...this.state, ...patch };
    if (BOXES.some((name) => name in patch) && !("draws" in patch)) state.draws = 1;
    try {
      this.#compute(state);
    } catch (error) {
      const box = error.code === "bad_seed" ? "seed" : error.code && error.box;
      if (!box) throw error;
      this.#refuse(new Problem(typing === "order" ? typing : box, error.message));
      return false;
    }
    this.#clearProblems(Object.keys(patch));
    this.state = state;
    this.#showControls(typing);
    this.redraw();
    this.#later();
    return true;
  }

  #compute(state) {
    const { head } = this;
    const { seed, draws } = state;
    const probs = head.probs(state);
    const key = `${settingKey(state)},${seed}`;
    if (key !== this.#seen.drawsKey || draws < this.draws.count) {
      const next = new Draws(head, probs, seed);
      next.next(); // refuses a bad seed
      this.draws = next;
      this.#seen.drawsKey = key;
    }
    this.#drawFor(draws, FIRST);
    this.ids = head.candidates(state.prompt, state.temperature);
  }

  /** Draw until there are `draws`, or the time is used up; whatever is missing, the next pictures bring. */
  #drawFor(draws, milliseconds) {
    const end = performance.now() + milliseconds;
    while (this.draws.count < draws && performance.now() < end) this.draws.next();
  }

  redraw() {
    for (const section of this.sections) {
      section.stale = true;
      if (section.inSight) this.#draw(section);
    }
    this.#drawTheRest();
  }

  #draw(section) {
    section.stale = false;
    section.show(this);
  }

  /** The sections out of sight, after the frame. */
  #drawTheRest() {
    const stale = this.sections.filter((section) => section.stale);
    $("explorer").dataset.pending = stale.length + (this.drawing ? 1 : 0);
    if (stale.length === 0 || this.resting) return;
    this.resting = true;
    setTimeout(() => {
      this.resting = false;
      const end = performance.now() + REST;
      for (const section of this.sections) if (section.stale && performance.now() < end) this.#draw(section);
      this.#drawTheRest();
    });
  }

  /** What need not be done within the frame: the address, a sentence for screen readers, many draws. */
  #later() {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => {
      this.#writeFragment();
      const { draws, tokens } = this;
      const [best] = this.ids;
      written(
        "live",
        `Most probable: ${tokens.quote(best)}, ${percent(this.probs()[best])}. ` +
          `Last drawn: ${tokens.quote(draws.token)}. ` +
          `${count(draws.count)} ${draws.count === 1 ? "draw" : "draws"}.`,
      );
    }, 250);
    if (this.draws.count < this.state.draws && !this.drawing) {
      this.drawing = true;
      $("explorer").dataset.pending = 1;
      requestAnimationFrame(() => this.#goOnDrawing());
    }
  }

  #goOnDrawing() {
    this.#drawFor(this.state.draws, SLICE);
    this.drawing = this.draws.count < this.state.draws;
    const section = this.sections.find(({ element }) => element.id === "stage-draw");
    section.stale = true;
    if (section.inSight || !this.drawing) this.#draw(section);
    if (this.drawing) requestAnimationFrame(() => this.#goOnDrawing());
    else this.#later();
    this.#drawTheRest();
  }

  #writeFragment() {
    this.#seen.fragment = toFragment(this.state);
    if (location.hash !== this.#seen.fragment) history.replaceState(null, "", this.#seen.fragment);
  }

  // Boxes, sliders, buttons.

  #fill() {
    const options = this.head.prompts.map(({ text }, i) => {
      const line = text.replace(/\s+/g, " ").trim() || JSON.stringify(text);
      return new Option(line.length > 60 ? `… ${line.slice(-58)}` : line, i);
    });
    $("prompt").replaceChildren(...options);
    $("order").replaceChildren(...Object.keys(this.head.orders).map((name) => new Option(name, name)));
    $("k-slider").max = this.steps.length - 1;
    written("model", `Model: ${this.head.title}; computed in float32 by the JavaScript port.`);
    written("pytorch-note", this.pytorch.note);
    const settings = this.pytorch.settings.map(({ temperature, k, top_p, min_p, order }) => {
      const button = document.createElement("button");
      button.type = "button";
      const filters = [top_p !== START.top_p && `top-p ${top_p}`, min_p !== START.min_p && `min-p ${min_p}`];
      const values = [`T = ${temperature}`, `k = ${k >= this.head.V ? "V" : k}`, ...filters.filter(Boolean)];
      button.textContent = (order === START.order ? "" : `${order}: `) + values.join(", ");
      button.addEventListener("click", () => this.change({ temperature, k, top_p, min_p, order }));
      return button;
    });
    $("settings").replaceChildren(...settings);
    $("settings-label").hidden = settings.length === 0;
  }

  #listen() {
    $("prompt").addEventListener("focus", () => this.#prepare(), { once: true });
    for (const name of BOXES) $(name).addEventListener("input", ({ target }) => this.#type(name, target.value));
    for (const name of SLIDERS)
      $(`${name}-slider`).addEventListener("input", ({ target }) => this.change({ [name]: Number(target.value) }));
    $("k-slider").addEventListener("input", ({ target }) => this.change({ k: this.steps[target.value] }));
    $("draw").addEventListener("click", () => this.#drawMore(1));
    $("draw-1000").addEventListener("click", () => this.#drawMore(1000));
    $("restart").addEventListener("click", () => this.change({ draws: 1 }));
    $("copy").addEventListener("click", () => this.#copy($("numpy").textContent, "the code"));
    $("copy-link").addEventListener("click", () => {
      this.#writeFragment();
      this.#copy(location.href, "the link");
    });
    addEventListener("hashchange", () => location.hash !== this.#seen.fragment && this.restore());
    new ResizeObserver(() => {
      if (this.width === document.body.clientWidth) return;
      this.width = document.body.clientWidth;
      charts.forgetWidths();
      this.redraw();
    }).observe(document.body);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
      charts.forgetColours();
      this.#keys = {};
      this.redraw();
    });
    const sight = new IntersectionObserver((entries) => {
      for (const { target, isIntersecting } of entries) {
        const section = this.sections.find(({ element }) => element === target);
        section.inSight = isIntersecting;
        if (isIntersecting && section.stale) this.#draw(section);
      }
    });
    for (const { element } of this.sections) sight.observe(element);
  }

  /** While somebody looks through the list of prompts: what hangs on the prompt alone, one of them a task. */
  #prepare(prompt = 0) {
    if (prompt === this.head.prompts.length) return;
    for (const make of Object.values(this.ofPrompts)) make(prompt);
    setTimeout(() => this.#prepare(prompt + 1));
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
    if (draws <= MOST_DRAWS) this.change({ draws });
    else this.#tell("seed", `${count(MOST_DRAWS)} draws are the limit: start again.`);
  }

  #showControls(typing) {
    const { k } = this.state;
    const { V } = this.head;
    for (const name of BOXES) if (name !== typing) $(name).value = String(this.state[name]);
    const off = new Set(this.head.steps(this.state).flatMap(({ box, on }) => (on ? [] : [box])));
    for (const name of SLIDERS) {
      const value = this.state[name];
      $(`${name}-slider`).value = value;
      const words = off.has(name) ? `${value}, which is off` : String(value);
      $(`${name}-slider`).setAttribute("aria-valuetext", words);
    }
    const step = this.steps.findIndex((value) => value >= k);
    $("k-slider").value = step < 0 ? this.steps.length - 1 : step;
    $("k-slider").setAttribute("aria-valuetext", `${count(Math.min(k, V))} of ${count(V)}`);
    if (k > V)
      written("k-problem", `k is ${count(k)}, more than V = ${count(V)}, so every token survives [TOPK-4].`);
  }

  #refuse({ field, message }) {
    this.#tell(field, `${message}. The view stays as it was.`);
    $(field)?.setAttribute("aria-invalid", "true");
  }

  #tell(field, text) {
    written($(`${field}-problem`) ? `${field}-problem` : "notice", text);
  }

  #clearProblems(fields = BOXES) {
    for (const field of fields.filter((name) => BOXES.includes(name))) {
      written(`${field}-problem`, "");
      $(field).removeAttribute("aria-invalid");
    }
  }

  async #copy(text, what) {
    try {
      await navigator.clipboard.writeText(text);
      written("copied", `Copied ${what}.`);
    } catch {
      getSelection().selectAllChildren($("numpy"));
      written("copied", `This browser does not let the page copy: please copy ${what} by hand.`);
    }
  }
}
