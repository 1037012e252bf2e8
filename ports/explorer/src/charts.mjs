/** The charts: strips of colour, the running sum, the histogram. Scales, axes, bins and lines are d3's. */

import { bin, extent, max } from "d3-array";
import { axisBottom, axisLeft } from "d3-axis";
import { scaleLinear, scaleSqrt } from "d3-scale";
import { select } from "d3-selection";
import { area, line } from "d3-shape";

const LEFT = 48;
const RIGHT = 14;
const OUTLIERS = 3; // labelled

/** A part of a chart that is made once. */
const part = (svg, name, tag = "g") => {
  const found = svg.select(`.${name}`);
  return found.empty() ? svg.append(tag).attr("class", name) : found;
};

/** The drawing area of an <svg> element at the width that its figure has. */
function canvas(element, height) {
  const width = Math.max(element.parentElement.clientWidth, 200);
  return { width, svg: select(element).attr("width", width).attr("height", height) };
}

/** A minus sign is "−" in d3's axes and here. */
export const fixed = (x, digits) => x.toFixed(digits).replace("-", "−");

/** The dimensions of largest size, the largest first. */
export function outliers(values) {
  return Array.from(values.keys())
    .sort((a, b) => Math.abs(values[b]) - Math.abs(values[a]))
    .slice(0, OUTLIERS);
}

/**
 * One row of coloured cells for each of `strips`, all over the same dimensions, the outliers of the first one labelled.
 *
 * @param {SVGElement} element
 * @param {{name: string, values: ArrayLike<number>}[]} strips
 */
export function drawStrips(element, strips) {
  const [top, tall, gap] = [18, 24, 20];
  const d = strips[0].values.length;
  const { width, svg } = canvas(element, top + strips.length * (tall + gap) + 6);
  const x = scaleLinear([0, d], [1, width - RIGHT]);
  strips.forEach(({ name, values }, row) => {
    const y = top + row * (tall + gap);
    const strength = scaleSqrt([0, max(values, Math.abs) || 1], [0, 1]);
    const group = part(svg, `strip${row}`);
    group
      .selectAll("rect")
      .data(values)
      .join("rect")
      .attr("class", (value) => (value < 0 ? "negative" : "positive"))
      .attr("x", (_, i) => x(i))
      .attr("y", y)
      .attr("width", x(1) - x(0) + 0.3) // no seams
      .attr("height", tall)
      .attr("fill-opacity", (value) => strength(Math.abs(value)));
    part(group, "frame", "path").attr("d", `M1,${y}H${x(d)}V${y + tall}H1Z`);
    part(group, "name", "text").attr("x", 1).attr("y", y - 5).text(name);
  });
  const axis = axisBottom(x).ticks(Math.min(d, width / 80)).tickSizeOuter(0);
  part(svg, "axis").attr("transform", `translate(0,${top + strips.length * (tall + gap) - gap})`).call(axis);
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
  const y = scaleLinear([low, high], [height - 26, 10]).nice();
  const points = [0, ...sums].map((sum, i) => [x(i), y(sum)]);
  part(svg, "zero", "line").attr("x1", LEFT).attr("x2", width - RIGHT).attr("y1", y(0)).attr("y2", y(0));
  part(svg, "fill", "path").attr("d", area().y0(y(0))(points));
  part(svg, "line", "path").attr("d", line()(points));
  const [ex, ey] = points.at(-1);
  part(svg, "end", "circle").attr("cx", ex).attr("cy", ey).attr("r", 4);
  part(svg, "total", "text")
    .attr("x", ex - 8)
    .attr("y", ey + (ey < 40 ? 16 : -8))
    .attr("text-anchor", "end")
    .text(fixed(sums.at(-1), 4));
  part(svg, "axis").attr("transform", `translate(0,${height - 26})`).call(axisBottom(x).ticks(width / 80));
  part(svg, "axis-y").attr("transform", `translate(${LEFT},0)`).call(axisLeft(y).ticks(4));
}

/** Bins of all logits, made once a prompt. */
export function binsOf(logits) {
  const [low, high] = extent(logits);
  const x = scaleLinear(low < high ? [low, high] : [low - 1, low + 1], [0, 1]).nice();
  const ticks = x.ticks(64);
  const bins = bin().domain(x.domain()).thresholds(ticks)(logits);
  return { domain: x.domain(), bins: bins.map((b) => ({ x0: b.x0, x1: b.x1, values: Float64Array.from(b).sort() })) };
}

/**
 * How many of the V logits lie where, the survivors in the accent colour and as ticks below.
 *
 * @param {SVGElement} element
 * @param {{domain: number[], bins: {x0: number, x1: number, values: Float64Array}[]}} histogram of `binsOf`
 * @param {number} lowest the lowest logit that survives; equal ones may be cut, the ticks have them all
 * @param {number} survivors
 */
export function drawHistogram(element, { domain, bins }, lowest, survivors) {
  const height = 210;
  const floor = height - 40;
  const { width, svg } = canvas(element, height);
  const x = scaleLinear(domain, [LEFT, width - RIGHT]);
  const y = scaleLinear([0, max(bins, (b) => b.values.length)], [floor, 14]).nice();
  const counts = bins.map((b) => {
    const above = b.values.findIndex((value) => value >= lowest);
    return { ...b, n: b.values.length, kept: above < 0 ? 0 : b.values.length - above };
  });
  for (const [name, from, to] of [
    ["cut", (b) => b.kept, (b) => b.n],
    ["kept", () => 0, (b) => b.kept],
  ])
    part(svg, name)
      .selectAll("rect")
      .data(counts)
      .join("rect")
      .attr("x", (b) => x(b.x0))
      .attr("width", (b) => Math.max(x(b.x1) - x(b.x0) - 1, 0.5))
      .attr("y", (b) => y(to(b)))
      .attr("height", (b) => y(from(b)) - y(to(b)));
  const ticks = new Set(); // one a pixel is enough
  for (const b of bins) for (const value of b.values) if (value >= lowest) ticks.add(Math.round(x(value) * 2) / 2);
  part(svg, "ticks", "path").attr("d", Array.from(ticks, (at) => `M${at},${floor + 3}v7`).join(""));
  part(svg, "edge", "line").attr("x1", x(lowest)).attr("x2", x(lowest)).attr("y1", 14).attr("y2", floor);
  const right = x(lowest) > width / 2;
  part(svg, "total", "text")
    .attr("x", x(lowest) + (right ? -6 : 6))
    .attr("y", 22)
    .attr("text-anchor", right ? "end" : "start")
    .text(`${survivors.toLocaleString("en-US")} survive ${right ? "→" : "from here on →"}`);
  part(svg, "axis").attr("transform", `translate(0,${floor + 13})`).call(axisBottom(x).ticks(width / 80));
  part(svg, "axis-y").attr("transform", `translate(${LEFT},0)`).call(axisLeft(y).ticks(4));
}

