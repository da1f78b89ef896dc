// What goes wrong: the taxonomy of all runs, and one run's types, slices and IoU curve.
const outcomeName = (name) => ({ correct: "right", ungrounded: "ungrounded", grounded_absent: "grounded though absent", wrong_region: "wrong region", type: "wrong type", boundary: "boundary", missed: "missed", spurious: "spurious" })[name] || name;
const outcomeMark = (name) => ({ correct: "✓", missed: "○", spurious: "+" })[name] || "✗";

function drawErrors() {
  const target = fill("errors");
  target.append(h("p", { class: "lead" }, "Each gold entity and each prediction stands under exactly one heading. A number opens the tweets behind it."));
  for (const dataset of DATA.datasets) target.append(taxonomy(dataset));
  target.append(h("dl", { class: "terms" }, Object.entries(DATA.outcomes).map(([name, meaning]) => h("div", {}, h("dt", {}, outcomeMark(name), " ", outcomeName(name)), h("dd", {}, meaning)))));
  if (DATA.runs.length) drawOneRun(target);
}

function taxonomy(dataset) {
  const names = Object.keys(DATA.outcomes);
  const columns = [{ head: "Run", words: true }, ...names.map((name) => ({ head: outcomeName(name) })), { head: "gold" }, { head: "predicted" }];
  const rows = runsOf(dataset.name).map((run) => {
    const found = run.analysis;
    const cells = names.map((name) => h("button", {
      type: "button", class: "cell", onclick: () => browse({ dataset: dataset.name, a: runKey(run), kind: name }), "aria-label": `${outcomeName(name)}: ${found.outcomes[name]}; show them in the gallery`,
    }, barCell(found.outcomes[name], Math.max(found.gold, found.predicted), count(found.outcomes[name]))));
    return [runName(run), ...cells, count(found.gold), count(found.predicted)];
  });
  return table(`${dataset.name}: gold entities and predictions by what became of them`, columns, rows);
}

function drawOneRun(target) {
  const holder = h("div", { class: "onerun" });
  const options = DATA.runs.map((run, i) => [String(i), `${run.dataset}: ${runName(run)}`]);
  const tuned = Math.max(0, DATA.runs.findIndex((run) => run.kind === "tuned"));
  const show = (i) => holder.replaceChildren(...analysisOf(DATA.runs[Number(i)]));
  target.append(h("h3", {}, "One run more closely"), h("form", { class: "filters", onsubmit: (event) => event.preventDefault() }, picker("Run", options, String(tuned), show)), holder);
  show(tuned);
}

function analysisOf(run) {
  const found = run.analysis;
  const curve = ["precision", "recall", "f1"].map((name) => ({ name: name === "f1" ? "F1" : name, points: found.iou_curve.map((point) => [point.iou, 100 * point[name]]) }));
  return [
    h("div", { class: "columns" }, confusion(found.confusion), slices(found.slices)),
    h("div", { class: "columns" }, byGroup("By type", found.by_type), byGroup("By number of gold entities in the tweet", found.by_number_of_entities, true)),
    h("div", { class: "charts" }, riskCoverage(run), lineChart({ title: "GMNER against the IoU from which a region is right", label: "GMNER by IoU threshold", xName: "IoU threshold", yName: "per cent", xDomain: [0, 1], yDomain: [0, 100], series: curve })),
  ];
}

// How many of a run's surest predictions are wrong; nothing for a run that states no confidence.
function riskCoverage(run) {
  if (!run.risk_coverage) return null;
  const found = run.scores.calibration;
  const area = found ? ` (area ${number(found.aurc, 3)}; best possible ${number(found.aurc_best, 3)}, uninformed ${number(found.aurc_random, 3)})` : "";
  return lineChart({ title: `Wrong predictions among the surest${area}`, label: "Risk against coverage", xName: "share of predictions kept, surest first (per cent)", yName: "of them wrong (per cent)", xDomain: [0, 100], yDomain: [0, 100], series: [{ name: "risk", points: run.risk_coverage }] });
}

function confusion(counts) {
  const rows = Object.keys(counts);
  const heads = [...new Set(rows.flatMap((row) => Object.keys(counts[row])))].sort((a, b) => (a === "-") - (b === "-") || a.localeCompare(b));
  // A type may be called as what every object has (constructor, __proto__): only own entries count.
  const at = (row, head) => (Object.hasOwn(counts[row], head) ? counts[row][head] : 0);
  const named = (name, none) => (name === "-" ? none : name);
  const body = rows.sort((a, b) => (a === "-") - (b === "-") || a.localeCompare(b)).map((row) => {
    const whole = heads.reduce((sum, head) => sum + at(row, head), 0);
    return [named(row, "no gold entity"), ...heads.map((head) => (at(row, head) ? barCell(at(row, head), whole, count(at(row, head)), { "data-same": row === head ? "yes" : null }) : h("span", { class: "muted" }, "0")))];
  });
  return table("Types: gold down, predicted across, of equal mentions", [{ head: "Gold", words: true }, ...heads.map((head) => ({ head: named(head, "missed") }))], body, { label: "Confusion of types" });
}

function slices(found) {
  const columns = [{ head: "Gold entities that are", words: true }, { head: "number" }, { head: "GMNER recall" }, { head: "MNER recall" }];
  const rows = Object.entries(found).map(([name, one]) => [name, count(one.gold), barCell(one.gmner_recall, 1, share(one.gmner_recall)), barCell(one.mner_recall, 1, share(one.mner_recall))]);
  return table("Recall by kind", columns, rows);
}

function byGroup(caption, groups, tweets = false) {
  const columns = [{ head: tweets ? "Entities" : "Type", words: true }, { head: tweets ? "tweets" : "gold" }, { head: "GMNER F1" }, { head: "MNER F1" }];
  const rows = Object.entries(groups).map(([name, one]) => [name, count(tweets ? one.tweets : one.gmner.gold), barCell(one.gmner.f1, 1, share(one.gmner.f1)), barCell(one.mner.f1, 1, share(one.mner.f1))]);
  return table(caption, columns, rows);
}
