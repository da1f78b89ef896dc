// The gallery: filters, and cards that are made as they come into sight.
const BATCH = 24;
const view = { dataset: "", a: "", b: "", kind: "any", type: "", order: "", text: "", found: [], drawn: 0 };
let watcher = null;

const datasetOf = (name) => DATA.datasets.find((dataset) => dataset.name === name);
const runOf = (dataset, key) => DATA.runs.find((run) => run.dataset === dataset && runKey(run) === key);
const firstRun = (name) => runKey(runsOf(name).find((run) => run.kind === "tuned") || runsOf(name)[0]);

const PAIRED = [["differ", "the two runs differ"], ["a-better", "only the first is right"], ["b-better", "only the second is right"]];

function kinds() {
  const single = [["any", "any"], ["right", "all right"], ["wrong", "any error"], ...Object.keys(DATA.outcomes).filter((name) => name !== "correct").map((name) => [name, outcomeName(name)]), ["correct", "something right"], ["odd", "odd answer (not as asked)"], ["empty", "no gold entity"]];
  return view.b ? [...single, ...PAIRED] : single;
}

const allRight = (answer) => answer.v.every(isRight);
const sameAnswer = (one, other) => JSON.stringify(one.v) === JSON.stringify(other.v) && JSON.stringify(one.e) === JSON.stringify(other.e);

function ofType(tweet, answer, verdict) {
  return !view.type || tweet.gold[verdict.g]?.t === view.type || answer.e[verdict.p]?.t === view.type;
}

function fitsKind(tweet, answer, other) {
  const some = (test) => answer.v.some((verdict) => ofType(tweet, answer, verdict) && test(verdict));
  switch (view.kind) {
    case "any": return !view.type || some(() => true);
    case "right": return allRight(answer) && (!view.type || some(() => true));
    case "wrong": return some((verdict) => !isRight(verdict));
    case "odd": return answer.x.length > 0 && (!view.type || some(() => true));
    case "empty": return !tweet.gold.length && (!view.type || some(() => true));
    case "differ": return other && !sameAnswer(answer, other) && (!view.type || some(() => true));
    case "a-better": return other && allRight(answer) && !allRight(other) && (!view.type || some(() => true));
    case "b-better": return other && !allRight(answer) && allRight(other) && (!view.type || some(() => true));
    default: return some((verdict) => verdict.o === view.kind);
  }
}

function fitsText(tweet, answers) {
  if (!view.text) return true;
  const parts = [tweet.id, tweet.tokens.join(" "), ...answers.flatMap((answer) => [answer.r || "", ...answer.e.map((entity) => entity.m)])];
  return parts.some((part) => part.toLowerCase().includes(view.text));
}

function search() {
  const dataset = datasetOf(view.dataset), a = runOf(view.dataset, view.a), b = view.b ? runOf(view.dataset, view.b) : null;
  const found = [];
  dataset.tweets.forEach((tweet, i) => {
    const answer = a.answers[i], other = b?.answers[i];
    if (fitsKind(tweet, answer, other) && fitsText(tweet, other ? [answer, other] : [answer])) found.push(i);
  });
  return view.order ? sorted(found, a) : found;
}

const surest = (answer) => answer.e.reduce((least, entity) => (entity.c === undefined ? least : Math.min(least, entity.c)), Infinity);
const statesConfidence = (run) => run?.answers.some((answer) => answer.e.some((entity) => entity.c !== undefined));

// By the least sure prediction of each tweet; tweets without a confidence stay last.
function sorted(found, run) {
  const of = new Map(found.map((i) => [i, surest(run.answers[i])]));
  const sign = view.order === "sure" ? -1 : 1;
  return [...found].sort((x, y) => (Number.isFinite(of.get(y)) - Number.isFinite(of.get(x))) || sign * (of.get(x) - of.get(y)) || x - y);
}

function drawGallery() {
  const target = fill("gallery");
  if (!DATA.runs.length) {
    target.append(h("p", { class: "muted" }, "No run to show."));
    return;
  }
  Object.assign(view, { dataset: DATA.runs[0].dataset, a: firstRun(DATA.runs[0].dataset) });
  target.append(h("form", { class: "filters", role: "search", "aria-label": "Tweets", id: "filters", onsubmit: (event) => event.preventDefault() }), key(),
    h("p", { class: "count", id: "count", role: "status" }), h("div", { class: "cards", id: "cards" }),
    h("button", { type: "button", class: "more", id: "more", onclick: drawMore }, "Show more"));
  watcher = new IntersectionObserver((entries) => entries.some((entry) => entry.isIntersecting) && drawMore(), { rootMargin: "600px" });
  watcher.observe(byId("more"));
  drawFilters();
  refresh();
}

function key() {
  const line = (kind) => s("svg", { viewBox: "0 0 34 16", "aria-hidden": "true" }, s("rect", { class: `box casing ${kind}`, x: 2, y: 2, width: 30, height: 12 }), s("rect", { class: `box ${kind}`, x: 2, y: 2, width: 30, height: 12 }));
  return h("ul", { class: "legend key" }, h("li", {}, line("gold"), "gold region (G)"), h("li", {}, line("said"), "predicted region (P)"), h("li", {}, h("mark", { class: "t0" }, "gold mention", h("span", { class: "label" }, "type"))), h("li", {}, h("bdi", { class: "said" }, "predicted mention")));
}

function change(values) {
  Object.assign(view, values);
  if (values.dataset) Object.assign(view, { a: firstRun(values.dataset), b: "", type: "", ...values });
  if (view.b === view.a) view.b = "";
  if (!kinds().some(([name]) => name === view.kind)) view.kind = "any";
  if (!("text" in values)) drawFilters();
  refresh();
}

function drawFilters() {
  const form = byId("filters");
  const focused = form.contains(document.activeElement) ? document.activeElement.closest(".field")?.dataset.name : null;
  const named = (name, node) => fillElement(node, { "data-name": name }, []);
  const dataset = datasetOf(view.dataset), runs = runsOf(view.dataset).map((run) => [runKey(run), runName(run)]);
  form.replaceChildren(
    DATA.datasets.length > 1 ? named("dataset", picker("Dataset", DATA.datasets.filter((one) => runsOf(one.name).length).map((one) => [one.name, one.name]), view.dataset, (value) => change({ dataset: value }))) : "",
    named("a", picker("Run", runs, view.a, (value) => change({ a: value }))),
    named("b", picker("Compare with", [["", "no other run"], ...runs.filter(([value]) => value !== view.a)], view.b, (value) => change({ b: value }))),
    named("kind", picker("Kind", kinds(), view.kind, (value) => change({ kind: value }))),
    named("type", picker("Type", [["", "all types"], ...dataset.types.map((type) => [type, type])], view.type, (value) => change({ type: value }))),
    statesConfidence(runOf(view.dataset, view.a)) ? named("order", picker("Order", [["", "as in the data"], ["unsure", "least sure first"], ["sure", "surest first"]], view.order, (value) => change({ order: value }))) : "",
    named("text", h("div", { class: "field grow" }, h("label", { for: "search" }, "Text"), h("input", { type: "search", id: "search", value: view.text, placeholder: "words of the tweet, the reasoning, or an id", oninput: later((event) => change({ text: event.target.value.trim().toLowerCase() })) }))),
    h("button", { type: "button", class: "quiet", onclick: () => change({ kind: "any", type: "", b: "", ...clearText() }) }, "Clear"));
  if (focused) form.querySelector(`[data-name="${focused}"] :is(select, input)`)?.focus();
}

function clearText() {
  view.text = "";
  return {};
}

function later(act) {
  let timer = 0;
  return (event) => {
    clearTimeout(timer);
    timer = setTimeout(() => act(event), 150);
  };
}

function refresh() {
  Object.assign(view, { found: search(), drawn: 0 });
  const dataset = datasetOf(view.dataset);
  const cut = dataset.tweets.length < dataset.all ? ` (the first of ${count(dataset.all)})` : "";
  byId("count").textContent = `${plural(view.found.length, "tweet")} of ${count(dataset.tweets.length)}${cut}`;
  byId("cards").replaceChildren();
  drawMore();
}

function drawMore() {
  const next = view.found.slice(view.drawn, view.drawn + BATCH);
  view.drawn += next.length;
  byId("cards").append(...next.map(card));
  const left = view.found.length - view.drawn;
  byId("more").hidden = left <= 0;
  byId("more").textContent = `Show more (${count(left)} left)`;
  if (left > 0 && next.length) {
    watcher.unobserve(byId("more"));
    watcher.observe(byId("more"));
  }
}

function card(i) {
  const dataset = datasetOf(view.dataset), tweet = dataset.tweets[i];
  const shownRuns = [view.a, view.b].filter(Boolean).map((name) => runOf(view.dataset, name));
  const answers = shownRuns.map((run) => run.answers[i]);
  return h("article", { class: "card", "aria-label": `Tweet ${tweet.id}` },
    h("a", { class: "open", href: linkTo(tweet), "aria-label": `Open tweet ${tweet.id}` }, image(tweet, answers[0], shownRuns[0].title)),
    h("div", { class: "body" }, tweetText(dataset, tweet, answers[0]),
      shownRuns.map((run, n) => [shownRuns.length > 1 ? h("p", { class: "of" }, runName(run)) : null, verdictList(tweet, answers[n])]),
      h("p", { class: "id" }, h("a", { href: linkTo(tweet) }, quoted(tweet.id)))));
}

// Called from the tables: show some tweets.
function browse(values) {
  view.text = "";
  change({ type: "", b: "", ...values });
  byId("gallery").scrollIntoView();
  byId("gallery").querySelector("select")?.focus({ preventScroll: true });
}
