// Line charts as SVG. Series differ in colour, dashes and markers, so that print and any eye tell them apart.
const CHART = { width: 460, height: 260, left: 46, right: 12, top: 12, bottom: 40 };
const MARKERS = [
  (x, y) => s("circle", { cx: x, cy: y, r: 3.6 }),
  (x, y) => s("rect", { x: x - 3.3, y: y - 3.3, width: 6.6, height: 6.6 }),
  (x, y) => s("path", { d: `M${x} ${y - 4.4}L${x + 4.2} ${y + 3.4}H${x - 4.2}Z` }),
  (x, y) => s("path", { d: `M${x} ${y - 4.6}L${x + 4.6} ${y}L${x} ${y + 4.6}L${x - 4.6} ${y}Z` }),
];

function ticks(low, high, wanted = 5) {
  if (high <= low) return [low];
  const raw = (high - low) / wanted;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 2.5, 5, 10].map((factor) => factor * power).find((value) => value >= raw);
  const found = [];
  for (let i = Math.ceil(low / step - 1e-9); i * step <= high + step * 1e-9; i += 1) found.push(i * step);
  return found;
}

function tickText(value) {
  if (value === 0) return "0";
  const size = Math.abs(value);
  if (size < 0.001 || size >= 1e6) return value.toExponential(0);
  return String(Number(value.toPrecision(3)));
}

function extent(values, given) {
  if (given) return given;
  const low = values.reduce((a, b) => Math.min(a, b), Infinity), high = values.reduce((a, b) => Math.max(a, b), -Infinity);
  if (!Number.isFinite(low)) return [0, 1];
  if (low === high) return [low - Math.abs(low || 1) / 2, high + Math.abs(high || 1) / 2];
  const slack = (high - low) * 0.05;
  return [low >= 0 && low - slack < 0 ? 0 : low - slack, high + slack];
}

function axes(x, y, chart) {
  const { left, top, right, bottom, width, height } = CHART;
  const nodes = [];
  for (const value of chart.xTicks || ticks(...x.domain)) {
    nodes.push(s("line", { class: "tick", x1: x(value), x2: x(value), y1: height - bottom, y2: height - bottom + 4 }));
    nodes.push(s("text", { x: x(value), y: height - bottom + 16, "text-anchor": "middle" }, tickText(value)));
  }
  for (const value of ticks(...y.domain, 4)) {
    nodes.push(s("line", { class: "grid", x1: left, x2: width - right, y1: y(value), y2: y(value) }));
    nodes.push(s("text", { x: left - 7, y: y(value) + 4, "text-anchor": "end" }, tickText(value)));
  }
  nodes.push(s("line", { class: "axis", x1: left, x2: width - right, y1: height - bottom, y2: height - bottom }));
  nodes.push(s("text", { class: "axis-name", x: (left + width - right) / 2, y: height - 6, "text-anchor": "middle" }, chart.xName));
  nodes.push(s("text", { class: "axis-name", x: -(top + height - bottom) / 2, y: 11, transform: "rotate(-90)", "text-anchor": "middle" }, chart.yName));
  return nodes;
}

function scale(domain, range) {
  const at = (value) => Math.round((range[0] + ((value - domain[0]) / (domain[1] - domain[0])) * (range[1] - range[0])) * 10) / 10;
  return Object.assign(at, { domain });
}

function seriesNodes(series, index, x, y) {
  const kind = `series k${index % 4}`;
  const path = series.points.map(([a, b], i) => `${i ? "L" : "M"}${x(a)} ${y(b)}`).join("");
  const nodes = [s("path", { class: `${kind} line`, d: path })];
  for (const [a, b, deviation] of series.points) {
    if (deviation) nodes.push(s("path", { class: kind, d: `M${x(a)} ${y(b - deviation)}V${y(b + deviation)}` }));
  }
  if (series.points.length <= 24) {
    nodes.push(s("g", { class: `${kind} marks` }, series.points.map(([a, b]) => MARKERS[index % 4](x(a), y(b)))));
  }
  return nodes;
}

// chart: {title, xName, yName, series: [{name, points: [[x, y, deviation]]}], xTicks, xDomain, yDomain}
function lineChart(chart) {
  const points = chart.series.flatMap((series) => series.points);
  if (!points.length) return h("figure", { class: "chart" }, h("figcaption", {}, chart.title), h("p", { class: "muted" }, "No values."));
  const { left, top, right, bottom, width, height } = CHART;
  const x = scale(extent(points.map((point) => point[0]), chart.xDomain), [left + 6, width - right - 6]);
  const heights = points.flatMap(([, b, deviation]) => (deviation ? [b - deviation, b + deviation] : [b]));
  const y = scale(extent(heights, chart.yDomain), [height - bottom, top]);
  const said = chart.series.map((series) => `${series.name}: ${tickText(series.points[0]?.[1] ?? 0)} to ${tickText(series.points.at(-1)?.[1] ?? 0)}`);
  const drawing = s("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": `${chart.label || "Chart"}. ${chart.yName} against ${chart.xName}. ${said.join("; ")}.` },
    axes(x, y, chart), chart.series.map((series, i) => seriesNodes(series, i, x, y)));
  return h("figure", { class: "chart" }, h("figcaption", {}, chart.title), drawing, legend(chart.series));
}

function legend(series) {
  if (series.length < 2) return null;
  return h("ul", { class: "legend" }, series.map((one, i) => h("li", {},
    s("svg", { viewBox: "0 0 34 12", "aria-hidden": "true" }, s("path", { class: `series k${i % 4} line`, d: "M1 6H33" }), s("g", { class: `series k${i % 4} marks` }, MARKERS[i % 4](17, 6))),
    one.name)));
}

// A value between 0 and 100 with its interval, as a dot on a rule.
function whisker(value, interval) {
  const at = (x) => 4 + 0.92 * x;
  return s("svg", { class: "whisker", viewBox: "0 0 100 14", "aria-hidden": "true" },
    s("line", { class: "rule", x1: 4, x2: 96, y1: 7, y2: 7 }),
    interval ? s("line", { class: "span", x1: at(interval[0]), x2: at(interval[1]), y1: 7, y2: 7 }) : null,
    s("circle", { cx: at(value), cy: 7, r: 2.6 }));
}

// A part of a whole as a bar behind its number.
function barCell(value, whole, text, attributes = {}) {
  const width = whole ? Math.round((1000 * value) / whole) / 10 : 0;
  return h("span", { class: "barcell", ...attributes },
    s("svg", { viewBox: "0 0 100 10", preserveAspectRatio: "none", "aria-hidden": "true" }, s("rect", { x: 0, y: 0, width, height: 10 })), h("span", {}, text));
}
