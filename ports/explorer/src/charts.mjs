/** The charts: strips of colour, the running sum, the histogram, the spread. Scales, axes, bins and lines are d3's. */

import { bisectLeft, extent, max } from "d3-array";
import { axisBottom, axisLeft } from "d3-axis";
import { scaleLinear } from "d3-scale";
import { select } from "d3-selection";
import { area, line } from "d3-shape";
import { count, fixed } from "./words.mjs";

export const LEFT = 48; // room for the numbers of a vertical axis
export const RIGHT = 14;
const OUTLIERS = 3; // labelled

const widths = new Map();

/** The width of an element, measured once: reading it again would have the browser lay the page out again. */
export function widthOf(element) {
  if (!widths.has(element)) widths.set(element, element.getBoundingClientRect().width);
  return widths.get(element);
}

/** After the window has changed its width. */
export const forgetWidths = () => widths.clear();

/** Write those attributes and that text that are not there already: whatever is written is laid out again. */
function put(element, attributes, text = null) {
  for (const [name, value] of Object.entries(attributes))
    if (element.getAttribute(name) !== String(value)) element.setAttribute(name, value);
  if (text !== null && element.textContent !== text) element.textContent = text;
  return element;
}

/** A part of a chart, made once. */
export function part(svg, name, tag, attributes = {}, text = null) {
  const element = svg.querySelector(`.${name.split(" ")[0]}`) ?? svg.appendChild(document.createElementNS(svg.namespaceURI, tag));
  return put(element, { class: name, ...attributes }, text);
}

/** An <svg> element of this height at the width that its figure has. */
export function sized(svg, height) {
  const width = Math.max(widthOf(svg.parentElement), 200);
  put(svg, { width, height });
  return width;
}

/** An axis, drawn again only if its scale has changed. */
export function drawAxis(svg, name, x, y, axis) {
  const group = part(svg, name, "g", { transform: `translate(${x},${y})` });
  const key = [...axis.scale().domain(), ...axis.scale().range()].join();
  if (group.dataset.key === key) return;
  group.dataset.key = key;
  select(group).call(axis);
}

/** The dimensions of largest size, the largest first. */
export function outliers(values) {
  return Array.from(values.keys())
    .sort((a, b) => Math.abs(values[b]) - Math.abs(values[a]))
    .slice(0, OUTLIERS);
}

/** The colours of a strip, as red, green and blue: the style sheet's, which differ in the dark. */
let colours = null;
export const forgetColours = () => (colours = null);
function colourOf(value) {
  colours ??= ["--accent", "--negative"].map((name) => {
    const hex = getComputedStyle(document.documentElement).getPropertyValue(name).trim(); // #rrggbb
    return [1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16));
  });
  return colours[value < 0 ? 1 : 0];
}

/** What draws on an empty <canvas> of this size, in the units of the page. */
function penOf(element, width, height) {
  const ratio = globalThis.devicePixelRatio || 1;
  const pixels = [Math.round(width * ratio), Math.round(height * ratio)];
  const pen = element.getContext("2d");
  if (element.width === pixels[0] && element.height === pixels[1]) pen.clearRect(0, 0, width, height);
  else {
    [element.width, element.height] = pixels; // which empties it
    [element.style.width, element.style.height] = [`${width}px`, `${height}px`];
    pen.scale(ratio, ratio);
  }
  return pen;
}

const scratch = document.createElement("canvas");

/** A picture of one pixel a number, one row for each of `strips`: its opacity is its share of the row's largest. */
function pixelsOf(strips) {
  const d = strips[0].values.length;
  const image = new ImageData(d, strips.length);
  strips.forEach(({ values }, row) => {
    const largest = max(values, Math.abs) || 1;
    for (let i = 0, at = 4 * d * row; i < d; i++, at += 4) {
      [image.data[at], image.data[at + 1], image.data[at + 2]] = colourOf(values[i]);
      image.data[at + 3] = Math.round((255 * Math.abs(values[i])) / largest);
    }
  });
  [scratch.width, scratch.height] = [d, strips.length];
  scratch.getContext("2d", { willReadFrequently: true }).putImageData(image, 0, 0);
  return scratch;
}

const [TOP, TALL, GAP] = [18, 24, 20]; // of strips

/**
 * One row of coloured cells for each of `strips`, all over the same dimensions, on the canvas behind the <svg> element,
 * as a stretched picture: hundreds of shapes would not be drawn within a frame.
 *
 * @param {SVGElement} svg
 * @param {{name: string, values: ArrayLike<number>}[]} strips
 * @param {number} left where the first dimension begins
 * @param {number} below room under the axis
 */
export function drawStrips(svg, strips, left = 1, below = 0) {
  const d = strips[0].values.length;
  const bottom = TOP + strips.length * (TALL + GAP) - GAP;
  const height = bottom + GAP + 6 + below;
  const width = sized(svg, height);
  const x = scaleLinear([0, d], [left, width - RIGHT]);
  const pen = penOf(svg.previousElementSibling, width, height);
  const picture = pixelsOf(strips);
  pen.imageSmoothingEnabled = d > x(d) - left; // numbers that share a pixel are blended, so that no outlier is lost
  pen.imageSmoothingQuality = "high";
  strips.forEach(({ name }, row) => {
    const y = TOP + row * (TALL + GAP);
    pen.drawImage(picture, 0, row, d, 1, left, y, x(d) - left, TALL);
    const group = part(svg, `strip${row}`, "g");
    part(group, "frame", "path", { d: `M${left},${y}H${x(d)}V${y + TALL}H${left}Z` });
    part(group, "name", "text", { x: left, y: y - 5 }, name);
  });
  const axis = axisBottom(x)
    .ticks(Math.min(d, width / 80))
    .tickSizeOuter(0);
  drawAxis(svg, "axis", 0, bottom, axis);
  return x;
}

/** The marks under the context's strip: its outliers, with their values where there is room. */
export function drawOutliers(svg, values) {
  const x = drawStrips(svg, [{ name: "context vector, one cell a dimension", values }], 1, 32);
  const right = x.range()[1];
  const labels = [];
  for (const i of outliers(values).sort((a, b) => a - b)) {
    const at = Math.max(x(i + 0.5), labels.length ? labels.at(-1).at + 84 : 42);
    labels.push({ i, at: Math.min(at, right - 42 - 84 * (OUTLIERS - 1 - labels.length)) });
  }
  part(svg, "marks", "path", { d: labels.map(({ i, at }) => `M${x(i + 0.5)},64V70L${at},76V80`).join("") });
  select(part(svg, "labels", "g"))
    .selectAll("text")
    .data(labels)
    .join("text")
    .attr("x", ({ at }) => at)
    .attr("y", 93)
    .attr("text-anchor", "middle")
    .text(({ i }) => `[${i}] ${fixed(values[i], 2)}`);
}

/** The running sum of a dot product over the dimensions. */
export function drawRunningSum(svg, sums) {
  const height = 186;
  const width = sized(svg, height);
  const [low, high] = extent([0, ...sums]);
  const x = scaleLinear([0, sums.length], [LEFT, width - RIGHT]);
  const y = scaleLinear([low, high], [height - 26, 34]).nice(4);
  const points = [0, ...sums].map((sum, i) => [x(i), y(sum)]);
  part(svg, "name", "text", { x: LEFT, y: 12 }, "the running sum of the products");
  part(svg, "zero", "line", { x1: LEFT, x2: width - RIGHT, y1: y(0), y2: y(0) });
  part(svg, "fill", "path", { d: area().digits(1).y0(y(0))(points) });
  part(svg, "line", "path", { d: line().digits(1)(points) });
  const [cx, cy] = points.at(-1);
  part(svg, "end", "circle", { cx, cy, r: 4 });
  const beside = sums.at(-1) < 0 ? cy + 18 : cy - 8; // away from where the line comes from
  part(svg, "total", "text", { x: cx - 10, y: beside, "text-anchor": "end" }, fixed(sums.at(-1), 4));
  drawAxis(svg, "axis", 0, height - 26, axisBottom(x).ticks(width / 80));
  drawAxis(svg, "axis-y", LEFT, 0, axisLeft(y).ticks(4));
}

/** All logits of a prompt in order, and where the bins of their histogram begin and end. */
export function binsOf(logits) {
  const sorted = logits.slice().sort();
  const [low, high] = [sorted[0], sorted.at(-1)];
  const x = scaleLinear(low < high ? [low, high] : [low - 1, low + 1], [0, 1]).nice();
  const edges = [...new Set([x.domain()[0], ...x.ticks(64), x.domain()[1]])];
  const starts = edges.map((edge) => bisectLeft(sorted, edge));
  starts[edges.length - 1] = sorted.length; // the last bin has its upper end too
  const bins = edges.slice(1).map((x1, i) => ({ x0: edges[i], x1, start: starts[i], end: starts[i + 1] }));
  return { domain: x.domain(), sorted, bins };
}

/**
 * How many of the V logits lie where, the survivors in the accent colour and as ticks below.
 *
 * @param {SVGElement} svg
 * @param {ReturnType<typeof binsOf>} histogram
 * @param {number} lowest the lowest logit that survives; equal ones may be cut, the ticks have them all
 * @param {number} survivors
 */
export function drawHistogram(svg, { domain, sorted, bins }, lowest, survivors) {
  const height = 226;
  const floor = height - 40;
  const width = sized(svg, height);
  const x = scaleLinear(domain, [LEFT, width - RIGHT]);
  const y = scaleLinear([0, max(bins, (b) => b.end - b.start)], [floor, 30]).nice(4); // room above the highest bar: it is not cut off
  const first = bisectLeft(sorted, lowest);
  const counts = bins.map((b) => ({ ...b, n: b.end - b.start, kept: Math.max(b.end - Math.max(b.start, first), 0) }));
  const bar = (b, from, to) => {
    const wide = Math.max(x(b.x1) - x(b.x0) - 1, 0.5);
    const [bottom, top] = [y(from).toFixed(2), y(to).toFixed(2)];
    return from < to ? `M${x(b.x0).toFixed(2)},${bottom}V${top}h${wide.toFixed(2)}V${bottom}Z` : "";
  };
  part(svg, "cut", "path", { d: counts.map((b) => bar(b, b.kept, b.n)).join("") });
  part(svg, "kept", "path", { d: counts.map((b) => bar(b, 0, b.kept)).join("") });
  let ticks = ""; // one a pixel is enough
  for (let i = first; i < sorted.length; ) {
    const at = Math.round(x(sorted[i]));
    ticks += `M${at},${floor + 3}v7`;
    i = bisectLeft(sorted, x.invert(at + 0.5), i + 1);
  }
  part(svg, "ticks", "path", { d: ticks });
  const edge = x(lowest);
  part(svg, "edge", "line", { x1: edge, x2: edge, y1: 18, y2: floor });
  part(svg, "name", "text", { x: LEFT, y: 12 }, "number of tokens, by logit");
  const right = edge > width / 2;
  const words = `${count(survivors)} ${survivors === 1 ? "survives" : "survive"} →`;
  part(svg, "total", "text", { x: edge + (right ? -6 : 6), y: 26, "text-anchor": right ? "end" : "start" }, words);
  drawAxis(svg, "axis", 0, floor + 13, axisBottom(x).ticks(width / 80));
  drawAxis(svg, "axis-y", LEFT, 0, axisLeft(y).ticks(4));
}

/**
 * The candidates' scores before and after the division by T, on one axis: a line for each, from the one to the other.
 *
 * @param {SVGElement} svg
 * @param {number[]} before the best first
 * @param {number[]} after
 * @param {boolean[]} kept which of them survive
 * @param {string[]} names
 */
export function drawSpread(svg, before, after, kept, names) {
  const [above, below] = [34, 104];
  const width = sized(svg, below + 62);
  const x = scaleLinear(extent([...before, ...after]), [LEFT + 6, width - RIGHT]).nice();
  for (const [name, at] of [
    ["logit", above],
    ["÷ T", below],
  ]) {
    const row = part(svg, name === "logit" ? "before" : "after", "g");
    part(row, "name", "text", { x: 0, y: at + 4 }, name);
    part(row, "zero", "line", { x1: LEFT, x2: width - RIGHT, y1: at, y2: at });
  }
  const one = (i, draw) => draw(x(before[i]), x(after[i]));
  const path = (alive, draw) => kept.map((is, i) => (is === alive ? one(i, draw) : "")).join("");
  const lines = (a, b) => `M${a.toFixed(1)},${above}L${b.toFixed(1)},${below}`;
  const dots = (a, b) => `M${a.toFixed(1)},${above}h0M${b.toFixed(1)},${below}h0`;
  for (const [name, alive] of [
    ["cut", false],
    ["kept", true],
  ]) {
    part(svg, `${name}-lines`, "path", { d: path(alive, lines) });
    part(svg, `${name}-dots`, "path", { d: path(alive, dots) });
  }
  const last = before.length - 1;
  for (const [row, values, y] of [
    ["before", before, above - 12],
    ["after", after, below + 21],
  ]) {
    const [best, worst] = [x(values[0]), x(values[last])];
    const text = (i) => `${names[i]} ${fixed(values[i], 2)}`;
    const [at, anchor] = best > width / 2 ? [best + 5, "end"] : [best - 5, "start"];
    part(svg, `${row}-best total`, "text", { x: at, y, "text-anchor": anchor }, text(0));
    const room = best - worst > 170;
    part(svg, `${row}-worst`, "text", { x: worst - 5, y }, room ? text(last) : "");
  }
  drawAxis(svg, "axis", 0, below + 36, axisBottom(x).ticks(width / 80));
}
