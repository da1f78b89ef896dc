// One tweet: its image with boxes, its text with mentions, its verdicts.
let imageLines = null;
function imageOf(tweet) {
  imageLines ??= byId("report-images").textContent.split("\n");
  return imageLines[tweet.image] || "";
}

const isRight = (verdict) => verdict.o === "correct";
const tint = (dataset, type) => `t${Math.max(0, dataset.types.indexOf(type)) % 8}`;

// Above a gold box's upper left corner, below a predicted box's lower right one; inside where the image ends.
function tag(label, box, frame, size, kind) {
  const wide = size * (0.4 + 0.62 * label.length), high = size * 1.2;
  const left = kind === "gold" ? Math.min(box[0], frame[0] - wide) : Math.max(0, box[2] - wide);
  const top = kind === "gold" ? (box[1] >= high ? box[1] - high : box[1]) : (box[3] + high <= frame[1] ? box[3] : box[3] - high);
  return s("g", { class: `tag ${kind}` }, s("rect", { x: left, y: top, width: wide, height: high }),
    s("text", { x: left + wide / 2, y: top + high * 0.76, "text-anchor": "middle", "font-size": size }, label));
}

function boxNodes(box, label, kind, size, frame) {
  const [x1, y1, x2, y2] = box;
  const place = { x: x1, y: y1, width: Math.max(1, x2 - x1), height: Math.max(1, y2 - y1) };
  const lines = [s("rect", { class: `box casing ${kind}`, ...place }), s("rect", { class: `box ${kind}`, ...place })];
  return { lines, tag: tag(label, box, frame, size, kind) };
}

// Gold: solid yellow, named G1, G2 at the upper left. Predicted: dashed blue, named P1, P2 at the lower right.
function image(tweet, answer, name, large = false) {
  const [width, height] = tweet.size;
  const uri = imageOf(tweet);
  const size = Math.max(width, (height * 4) / 3) * (large ? 0.03 : 0.042);
  const gold = tweet.gold.flatMap((entity, i) => entity.b.map((box) => boxNodes(box, `G${i + 1}`, "gold", size, tweet.size)));
  const said = answer ? answer.e.flatMap((entity, i) => entity.b.map((box) => boxNodes(box, `P${i + 1}`, "said", size, tweet.size))) : [];
  const drawn = [...gold, ...said];
  const boxes = tweet.gold.reduce((sum, one) => sum + one.b.length, 0), guesses = answer ? answer.e.reduce((sum, one) => sum + one.b.length, 0) : 0;
  const alt = `Image of tweet ${tweet.id}${name ? `, answer of ${name}` : ""}: ${plural(boxes, "gold box", "gold boxes")}, ${plural(guesses, "predicted box", "predicted boxes")}`;
  return h("span", { class: "shot" },
    uri ? h("img", { src: uri, alt, decoding: "async" }) : h("span", { class: "noimage", role: "img", "aria-label": alt }, "no image"),
    s("svg", { viewBox: `0 0 ${width} ${height}`, "aria-hidden": "true" }, drawn.map((one) => one.lines), drawn.map((one) => one.tag)));
}

function placeOfToken(entities, i) {
  return entities.findIndex((entity) => entity.s !== undefined && entity.s <= i && i < entity.e);
}

// The text: gold mentions tinted and named by type, predicted ones underlined with dashes.
function tweetText(dataset, tweet, answer) {
  const line = h("p", { class: "tweet", dir: "auto" });
  const at = (i) => [placeOfToken(tweet.gold, i), answer ? placeOfToken(answer.e, i) : -1];
  for (let i = 0; i < tweet.tokens.length; ) {
    const [gold, said] = at(i);
    let end = i + 1;
    while (end < tweet.tokens.length && at(end).join() === `${gold},${said}`) end += 1;
    const text = tweet.tokens.slice(i, end).join(" ");
    if (i) line.append(" ");
    line.append(gold < 0 && said < 0 ? h("span", {}, shown(text)) : mentionNode(dataset, tweet, text, gold, said, end));
    i = end;
  }
  if (!tweet.tokens.length) line.append(h("span", { class: "muted" }, "(no text)"));
  return line;
}

function mentionNode(dataset, tweet, text, gold, said, end) {
  const inner = h("bdi", { class: said < 0 ? null : "said" }, shown(text));
  if (gold < 0) return inner;
  const entity = tweet.gold[gold];
  const last = end === entity.e;
  return h("mark", { class: tint(dataset, entity.t) }, inner, last ? h("span", { class: "label" }, entity.t) : null);
}

function verdictLine(tweet, answer, verdict) {
  const one = verdict.g === null ? answer.e[verdict.p] : tweet.gold[verdict.g];
  return h("li", { class: isRight(verdict) ? "ok" : "bad" }, h("span", { class: "mark", "aria-hidden": "true" }, outcomeMark(verdict.o)),
    h("span", {}, h("b", {}, outcomeName(verdict.o)), " ", quoted(one.m || "(nothing)")));
}

function verdictList(tweet, answer) {
  const lines = answer.v.map((verdict) => verdictLine(tweet, answer, verdict));
  if (!lines.length) lines.push(h("li", { class: "ok" }, h("span", { class: "mark", "aria-hidden": "true" }, "✓"), "nothing to find, nothing said"));
  if (answer.x.length) lines.push(h("li", { class: "bad" }, h("span", { class: "mark", "aria-hidden": "true" }, "!"), h("span", {}, h("b", {}, "odd answer"), " ", answer.x.map((problem) => problem[0]).join(", "))));
  return h("ul", { class: "verdicts" }, lines);
}

// Every gold entity and prediction of one answer, with its regions' agreement.
function verdictTable(tweet, answer, name) {
  const side = (entity, name) => (entity ? h("span", {}, h("b", {}, name), " ", quoted(entity.m || "(nothing)"), " ", h("small", {}, shown(entity.t), entity.b.length ? "" : ", no region")) : "–");
  const rows = answer.v.map((verdict) => [
    h("span", { class: isRight(verdict) ? "ok" : "bad" }, h("span", { class: "mark", "aria-hidden": "true" }, outcomeMark(verdict.o)), " ", outcomeName(verdict.o)),
    side(tweet.gold[verdict.g], `G${verdict.g + 1}`), side(answer.e[verdict.p], `P${verdict.p + 1}`), verdict.iou === undefined ? "–" : number(verdict.iou),
  ]);
  if (!rows.length) return h("p", { class: "muted" }, "No entity in the annotation, none in the answer.");
  return table("What was right and wrong", [{ head: "Verdict", words: true }, { head: "Gold", words: true }, { head: "Predicted", words: true }, { head: "IoU" }], rows, { label: `What was right and wrong: ${name}` });
}
