// Building the page: elements from names, attributes and children. A text is always a text node.
const SVG = "http://www.w3.org/2000/svg";

function fillElement(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes || {})) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name in { value: 1, checked: 1, selected: 1, open: 1, hidden: 1 }) node[name] = value;
    else if (value !== null && value !== undefined && value !== false) node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}

const h = (name, attributes, ...children) => fillElement(document.createElement(name), attributes, children);
const s = (name, attributes, ...children) => fillElement(document.createElementNS(SVG, name), attributes, children);
const byId = (id) => document.getElementById(id);
const fill = (id) => byId(id).querySelector(".fill");

// Characters that show nothing, or turn the order of what follows, are named instead of obeyed.
const HIDDEN = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u00ad\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]/;

function shown(text) {
  const nodes = [];
  let plain = "";
  for (const character of String(text)) {
    if (!HIDDEN.test(character)) {
      plain += character;
      continue;
    }
    if (plain) nodes.push(plain);
    plain = "";
    const name = `U+${character.codePointAt(0).toString(16).toUpperCase().padStart(4, "0")}`;
    nodes.push(h("span", { class: "control", title: "a character that is not visible" }, name));
  }
  return plain ? [...nodes, plain] : nodes;
}

// A text of others: kept apart from its surroundings, whatever direction it is written in.
const quoted = (text, attributes = {}) => h("bdi", { dir: "auto", ...attributes }, shown(text));

const number = (value, digits = 2) => (value === null || value === undefined ? "–" : value.toFixed(digits));
const count = (value) => (value === null || value === undefined ? "–" : value.toLocaleString("en-GB"));
const share = (value) => (value === null || value === undefined ? "–" : `${(100 * value).toFixed(1)} %`);
const plural = (value, one, many = `${one}s`) => `${count(value)} ${value === 1 ? one : many}`;

function duration(seconds) {
  if (seconds === null || seconds === undefined) return "–";
  if (seconds < 100) return `${seconds.toFixed(1)} s`;
  const minutes = Math.round(seconds / 60);
  if (seconds < 600) return `${Math.floor(Math.round(seconds) / 60)} min ${String(Math.round(seconds) % 60).padStart(2, "0")} s`;
  return minutes < 100 ? `${minutes} min` : `${Math.floor(minutes / 60)} h ${String(minutes % 60).padStart(2, "0")} min`;
}

// A table in a frame of its own that scrolls sideways where the screen is narrow. Columns: {head, words, abbr}.
function table(caption, columns, rows, options = {}) {
  const head = columns.map((column) => h("th", { scope: "col", class: column.words ? null : "n" }, column.head));
  const body = rows.map((cells) => {
    if (cells.length === 1) return h("tr", { class: "group" }, h("th", { colspan: columns.length, scope: "colgroup" }, cells[0]));
    return h("tr", {}, cells.map((cell, i) => (i ? h("td", { class: columns[i].words ? null : "n" }, cell) : h("th", { scope: "row" }, cell))));
  });
  const label = options.label || (typeof caption === "string" ? caption : "table");
  return h("div", { class: "scroll", role: "region", tabindex: "0", "aria-label": label },
    h("table", {}, h("caption", { class: options.hideCaption ? "unseen" : null }, h("span", {}, caption)), h("thead", {}, h("tr", {}, head)), h("tbody", {}, body)));
}

let labels = 0;
function picker(text, options, chosen, onchange) {
  labels += 1;
  const id = `picker-${labels}`;
  const choices = options.map(([value, name]) => h("option", { value, selected: value === chosen }, name));
  return h("div", { class: "field" }, h("label", { for: id }, text), h("select", { id, onchange: (event) => onchange(event.target.value) }, choices));
}
