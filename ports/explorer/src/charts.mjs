/** The charts: strips of colour, the running sum, the histogram. Scales, axes, bins and lines are d3's. */

import { bisectLeft, extent, max } from "d3-array";
import { axisBottom, axisLeft } from "d3-axis";
import { scaleLinear } from "d3-scale";
import { select } from "d3-selection";
import { area, line } from "d3-shape";
import { count, fixed } from "./words.mjs";

export const LEFT = 48; // room for the numbers of a vertical axis
const RIGHT = 14;
const OUTLIERS = 3; // labelled

const widths = new Map();

/** The width of an element, measured once: reading it anew would have the browser lay the page out again. */
export function widthOf(element) {
  if (!widths.has(element)) widths.set(element, element.getBoundingClientRect().width);
  return widths.get(element);
}

/** After the window has changed its width. */
export const forgetWidths = () => widths.clear();

/** A part of a chart that is made once. */
const part = (svg, name, tag = "g") => {
  const found = svg.select(`.${name}`);
  return found.empty() ? svg.append(tag).attr("class", name) : found;
};

/** The drawing area of an <svg> element at the width that its figure has. */
function canvas(element, height) {
  const width = Math.max(widthOf(element.parentElement), 200);
  return { width, svg: select(element).attr("width", width).attr("height", height) };
}

/** An axis, drawn anew only if its scale has changed. */
function drawAxis(svg, name, x, y, axis) {
  const group = part(svg, name);
  const key = [x, y, ...axis.scale().domain(), ...axis.scale().range()].join();
  if (group.attr("data-key") !== key) group.attr("data-key", key).attr("transform", `translate(${x},${y})`).call(axis);
}

/** The dimensions of largest size, the largest first. */
export function outliers(values) {
  return Array.from(values.keys())
    .sort((a, b) => Math.abs(values[b]) - Math.abs(values[a]))
    .slice(0, OUTLIERS);
}

/** The colours of a strip: the style sheet's, which differ in the dark. */
let colours = null;
export const forgetColours = () => (colours = null);
function colour(value) {
  colours ??= ["--accent", "--negative"].map((name) =>
    getComputedStyle(document.documentElement).getPropertyValue(name),
  );
  return colours[value < 0 ? 1 : 0];
}

/**
 * One row of coloured cells for each of `strips`, all over the same dimensions, on the canvas behind the <svg> element:
 * hundreds of shapes would not be laid out within a frame. The opacity of a cell is its share of the row's largest.
 *
 * @param {SVGElement} element
 * @param {{name: string, values: ArrayLike<number>}[]} strips
 * @param {number} left where the first dimension begins
 */
export function drawStrips(element, strips, left = 1) {
  const [top, tall, gap] = [18, 24, 20];
  const d = strips[0].values.length;
  const height = top + strips.length * (tall + gap) + 6;
  const { width, svg } = canvas(element, height);
  const x = scaleLinear([0, d], [left, width - RIGHT]);
  const cells = element.previousElementSibling;
  const ratio = globalThis.devicePixelRatio || 1;
  [cells.width, cells.height] = [Math.round(width * ratio), Math.round(height * ratio)];
  [cells.style.width, cells.style.height] = [`${width}px`, `${height}px`];
  const pen = cells.getContext("2d");
  pen.scale(ratio, ratio);
  strips.forEach(({ name, values }, row) => {
    const y = top + row * (tall + gap);
    const largest = max(values, Math.abs) || 1;
    for (let i = 0; i < d; i++) {
      pen.fillStyle = colour(values[i]);
      pen.globalAlpha = Math.abs(values[i]) / largest;
      pen.fillRect(x(i), y, x(i + 1) - x(i), tall);
    }
    const group = part(svg, `strip${row}`);
    part(group, "frame", "path").attr("d", `M${left},${y}H${x(d)}V${y + tall}H${left}Z`);
    part(group, "name", "text")
      .attr("x", left)
      .attr("y", y - 5)
      .text(name);
  });
  const axis = axisBottom(x)
    .ticks(Math.min(d, width / 80))
    .tickSizeOuter(0);
  drawAxis(svg, "axis", 0, top + strips.length * (tall + gap) - gap, axis);
  return x;
}

/** The marks under the context's strip: its outliers, with their values where there is room. */
export function drawOutliers(element, values) {
  const x = drawStrips(element, [{ name: "context vector, one cell a dimension", values }]);
  const { width, svg } = canvas(element, 100);
  const labels = [];
  for (const i of outliers(values).sort((a, b) => a - b)) {
    const at = Math.max(x(i + 0.5), labels.length ? labels.at(-1).at + 84 : 42);
    labels.push({ i, at: Math.min(at, width - RIGHT - 42 - 84 * (OUTLIERS - 1 - labels.length)) });
  }
  part(svg, "marks", "path").attr("d", labels.map(({ i, at }) => `M${x(i + 0.5)},64V70L${at},76V80`).join(""));
  part(svg, "labels")
    .selectAll("text")
    .data(labels)
    .join("text")
    .attr("x", ({ at }) => at)
    .attr("y", 93)
    .attr("text-anchor", "middle")
    .text(({ i }) => `[${i}] ${fixed(values[i], 2)}`);
}

/** The running sum of a dot product over the dimensions. */
export function drawRunningSum(element, sums) {
  const height = 170;
  const { width, svg } = canvas(element, height);
  const [low, high] = extent([0, ...sums]);
  const x = scaleLinear([0, sums.length], [LEFT, width - RIGHT]);
  const y = scaleLinear([low, high], [height - 26, 18]).nice();
  const points = [0, ...sums].map((sum, i) => [x(i), y(sum)]);
  part(svg, "zero", "line")
    .attr("x1", LEFT)
    .attr("x2", width - RIGHT)
    .attr("y1", y(0))
    .attr("y2", y(0));
  part(svg, "fill", "path").attr("d", area().y0(y(0))(points));
  part(svg, "line", "path").attr("d", line()(points));
  const [ex, ey] = points.at(-1);
  part(svg, "end", "circle").attr("cx", ex).attr("cy", ey).attr("r", 4);
  part(svg, "total", "text")
    .attr("x", ex - 10)
    .attr("y", sums.at(-1) < 0 ? ey + 18 : ey - 8) // away from where the line comes from
    .attr("text-anchor", "end")
    .text(fixed(sums.at(-1), 4));
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
 * @param {SVGElement} element
 * @param {ReturnType<typeof binsOf>} histogram
 * @param {number} lowest the lowest logit that survives; equal ones may be cut, the ticks have them all
 * @param {number} survivors
 */
export function drawHistogram(element, { domain, sorted, bins }, lowest, survivors) {
  const height = 210;
  const floor = height - 40;
  const { width, svg } = canvas(element, height);
  const x = scaleLinear(domain, [LEFT, width - RIGHT]);
  const y = scaleLinear([0, max(bins, (b) => b.end - b.start)], [floor, 14]).nice();
  const first = bisectLeft(sorted, lowest);
  const counts = bins.map((b) => ({ ...b, n: b.end - b.start, kept: Math.max(b.end - Math.max(b.start, first), 0) }));
  const bar = (b, from, to) => {
    const wide = Math.max(x(b.x1) - x(b.x0) - 1, 0.5);
    return from < to ? `M${x(b.x0).toFixed(2)},${y(from)}V${y(to)}h${wide.toFixed(2)}V${y(from)}Z` : "";
  };
  part(svg, "cut", "path").attr("d", counts.map((b) => bar(b, b.kept, b.n)).join(""));
  part(svg, "kept", "path").attr("d", counts.map((b) => bar(b, 0, b.kept)).join(""));
  const ticks = new Set(); // one a pixel is enough
  for (let i = first; i < sorted.length; i++) ticks.add(Math.round(x(sorted[i])));
  part(svg, "ticks", "path").attr("d", Array.from(ticks, (at) => `M${at},${floor + 3}v7`).join(""));
  part(svg, "edge", "line").attr("x1", x(lowest)).attr("x2", x(lowest)).attr("y1", 14).attr("y2", floor);
  const right = x(lowest) > width / 2;
  part(svg, "total", "text")
    .attr("x", x(lowest) + (right ? -6 : 6))
    .attr("y", 22)
    .attr("text-anchor", right ? "end" : "start")
    .text(`${count(survivors)} survive ${right ? "→" : "from here on →"}`);
  drawAxis(svg, "axis", 0, floor + 13, axisBottom(x).ticks(width / 80));
  drawAxis(svg, "axis-y", LEFT, 0, axisLeft(y).ticks(4));
}
