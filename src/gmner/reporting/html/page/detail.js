// One tweet in full, in a dialog that has an address of its own: #tweet=<data set>/<id>&run=…&beside=…
const detail = byId("detail");
let openTweet = -1;

function linkTo(tweet, a = view.a, b = view.b) {
  const parts = new URLSearchParams({ tweet: `${view.dataset}/${tweet.id}`, run: a });
  if (b) parts.set("beside", b);
  return `#${parts}`;
}

function readLink() {
  const parts = new URLSearchParams(location.hash.slice(1));
  const wanted = parts.get("tweet");
  if (wanted === null) return null;
  const name = wanted.slice(0, wanted.indexOf("/")), id = wanted.slice(wanted.indexOf("/") + 1);
  const dataset = datasetOf(name), place = dataset ? dataset.tweets.findIndex((tweet) => tweet.id === id) : -1;
  if (place < 0) return null;
  const known = (key) => (key && runOf(name, key) ? key : "");
  return { dataset: name, place, a: known(parts.get("run")) || firstRun(name), b: known(parts.get("beside")) };
}

function follow() {
  const link = DATA.runs.length ? readLink() : null;
  if (!link) {
    if (detail.open) detail.close();
    return;
  }
  if (link.dataset !== view.dataset || link.a !== view.a || link.b !== view.b) change({ dataset: link.dataset, a: link.a, b: link.b });
  showTweet(link.place);
}

function showTweet(place) {
  openTweet = place;
  const held = detail.open ? document.activeElement?.dataset?.hold : null;
  detail.replaceChildren(...detailNodes(place));
  if (!detail.open) detail.showModal();
  detail.scrollTop = 0;
  (held && detail.querySelector(`[data-hold="${held}"]:not([disabled])`) || detail.querySelector("h2")).focus();
}

function go(place) {
  const tweet = datasetOf(view.dataset).tweets[place];
  history.replaceState(null, "", linkTo(tweet));
  showTweet(place);
}

// The neighbour among the tweets that the filters leave, or among all where the open one is not among them.
function neighbour(step) {
  const at = view.found.indexOf(openTweet);
  if (at >= 0) return view.found[at + step];
  const next = openTweet + step;
  return next >= 0 && next < datasetOf(view.dataset).tweets.length ? next : undefined;
}

function stepButton(text, label, step) {
  const next = neighbour(step);
  return h("button", { type: "button", class: "quiet", "data-hold": label, disabled: next === undefined, onclick: () => go(next), "aria-label": `${label} tweet` }, text);
}

function detailNodes(place) {
  const dataset = datasetOf(view.dataset), tweet = dataset.tweets[place];
  const chosen = [view.a, view.b].filter(Boolean).map((name) => runOf(view.dataset, name));
  const names = runsOf(view.dataset).map((run) => [runKey(run), runName(run)]);
  const choose = (values) => {
    change(values);
    go(place);
  };
  return [
    h("div", { class: "bar" }, h("h2", { id: "detail-title", tabindex: "-1" }, quoted(tweet.id), h("small", {}, view.dataset)),
      h("span", { class: "buttons" }, stepButton("←", "Previous", -1), stepButton("→", "Next", 1), copyButton(), h("button", { type: "button", class: "quiet", onclick: () => detail.close() }, "Close"))),
    h("form", { class: "filters", onsubmit: (event) => event.preventDefault() }, picker("Run", names, view.a, (a) => choose({ a })),
      picker("Compare with", [["", "no other run"], ...names.filter(([value]) => value !== view.a)], view.b, (b) => choose({ b }))),
    h("div", { class: `answers of${chosen.length}` }, chosen.map((run) => answerColumn(dataset, tweet, run, run.answers[place]))),
  ];
}

function copyButton() {
  const copy = async (event) => {
    const button = event.target;
    try {
      await navigator.clipboard.writeText(location.href);
      button.textContent = "Copied";
    } catch {
      button.textContent = "Copy it from the address bar";
    }
  };
  return h("button", { type: "button", class: "quiet", onclick: copy }, "Copy link");
}

function answerColumn(dataset, tweet, run, answer) {
  const reasoning = answer.r ? h("blockquote", { class: "reasoning", dir: "auto" }, shown(answer.r)) : h("p", { class: "muted" }, run.cot ? "The answer has no reasoning." : "This run answers without reasoning.");
  const odd = answer.x.length ? [h("h4", {}, "What is odd about the answer"), h("ul", { class: "examples" }, answer.x.map(([code, text]) => h("li", {}, h("code", {}, code), " ", quoted(text))))] : null;
  return h("section", { class: "answer", "aria-label": `Answer of ${runName(run)}` }, h("h3", {}, runName(run)),
    h("div", { class: "pair" }, image(tweet, answer, runName(run), true), h("div", { class: "words" }, tweetText(dataset, tweet, answer), verdictTable(tweet, answer, runName(run)), h("h4", {}, "Reasoning"), reasoning, odd)));
}

detail.addEventListener("close", () => {
  if (readLink()) history.replaceState(null, "", "#gallery");
  const tweet = datasetOf(view.dataset)?.tweets[openTweet];
  const link = tweet && [...document.querySelectorAll("#cards .open")].find((node) => node.getAttribute("aria-label") === `Open tweet ${tweet.id}`);
  link?.focus({ preventScroll: true });
  openTweet = -1;
});
detail.addEventListener("click", (event) => event.target === detail && detail.close());
detail.addEventListener("keydown", (event) => {
  if (event.target.matches("select, input") || event.altKey || event.ctrlKey || event.metaKey) return;
  const next = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
  if (next && !event.target.closest(".scroll") && neighbour(next) !== undefined) go(neighbour(next));
});
