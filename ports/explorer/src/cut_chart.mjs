/** The chart of a cut: the tokens by probability, filled where they stay, an outline where they fall. */

import { axisBottom, axisLeft } from "d3-axis";
import { scaleLinear } from "d3-scale";
import { LEFT, RIGHT, drawAxis, part, sized } from "./charts.mjs";
import { count } from "./words.mjs";

const STEPS = 300; // of more tokens, several share one

/**
 * @param {SVGElement} svg
 * @param {{values: Float64Array, kept: number, of: number}} cut of `of` tokens, `kept` stay; the `values` of the first
 * @param {string} name
 * @param {{scale: import("d3-scale").ScaleContinuousNumeric, ticks: number[]}} vertical the range is set here
 * @param {{level: number, label: string}} limit what the values are compared with
 */
export function drawCut(svg, { values, kept, of }, name, { scale, ticks }, { level, label }) {
  const height = 212;
  const floor = height - 30;
  const width = sized(svg, height);
  const x = scaleLinear([0, values.length], [LEFT, width - RIGHT]);
  const y = scale.range([floor, 60]).clamp(true);
  const last = Math.min(kept, values.length);
  const together = Math.ceil(values.length / STEPS);
  const gap = x(1) - x(0) > 4 ? 1 : 0; // between the bars of those that stay
  const path = (from, to, bar) => {
    let d = "";
    for (let i = from; i < to; i += together) {
      const end = Math.min(i + together, to);
      d += bar(x(i).toFixed(1), y(values[end - 1]).toFixed(2), (x(end) - gap).toFixed(1), x(end).toFixed(1));
    }
    return d;
  };
  const falls = path(last, values.length, (_, top, __, right) => `V${top}H${right}`);
  part(svg, "name", "text", { x: LEFT, y: 12 }, name);
  part(svg, "falls", "path", { d: falls && `M${x(last).toFixed(1)},${floor}${falls}V${floor}` });
  part(svg, "stays", "path", { d: path(0, last, (left, top, right) => `M${left},${floor}V${top}H${right}V${floor}Z`) });
  const limit = level > 0 ? y(level) : floor; // a logarithm has no 0
  part(svg, "level", "line", { x1: LEFT, x2: width - RIGHT, y1: limit, y2: limit });
  const edge = x(last);
  part(svg, "edge", "line", { x1: edge, x2: edge, y1: 36, y2: kept < of ? floor : 36 });
  part(svg, "end", "circle", { cx: x(last - 0.5), cy: y(values[last - 1]), r: kept < of ? 4 : 0 });
  const stay = `${count(kept)} ${kept === 1 ? "stays" : "stay"}`;
  const fall = `${count(of - kept)} ${of - kept === 1 ? "falls" : "fall"}`;
  const right = edge > width / 2;
  const at = { x: edge + (right ? -6 : 6), y: 48, "text-anchor": right ? "end" : "start" };
  part(svg, "total", "text", at, kept < of ? `← ${stay}, ${fall} →` : "nothing falls");
  // A legend and no label at the line, where the bars may leave no room.
  part(svg, "legend-line level", "line", { x1: LEFT, x2: LEFT + (label ? 26 : 0), y1: 24, y2: 24 });
  part(svg, "legend-text total", "text", { x: LEFT + 32, y: 28 }, label);
  const ranks = axisBottom(x).ticks(Math.min(values.length, width / 120));
  drawAxis(svg, "axis", 0, floor, ranks.tickFormat(count));
  drawAxis(svg, "axis-y", LEFT, 0, axisLeft(y).ticks(ticks.length, "~%").tickValues(ticks));
}
