// Everything about whole runs: scores, tables, figure 3, data, training, cost.
const METRICS = [["gmner_f1", "GMNER"], ["mner_f1", "MNER"], ["eeg_f1", "EEG"]];

const runKey = (run) => `${run.run}/${run.seed}`;
const runsOf = (name) => DATA.runs.filter((run) => run.dataset === name);
const severalSeeds = (name) => new Set(runsOf(name).map((run) => run.seed)).size > 1;
const runName = (run) => (severalSeeds(run.dataset) ? `${run.title}, seed ${run.seed}` : run.title);

function scoreCell(run, name) {
  const value = run.scores.percent[name], interval = run.scores.intervals?.[name];
  const text = interval ? `${interval.low.toFixed(1)} to ${interval.high.toFixed(1)}` : "";
  return h("span", { class: "score" }, h("b", {}, value.toFixed(2)), whisker(value, interval && [interval.low, interval.high]), h("small", {}, text));
}

function drawOverview() {
  byId("title").textContent = DATA.datasets.map((dataset) => dataset.name).join(", ") || "No dataset is finished yet";
  const tweets = DATA.datasets.reduce((sum, dataset) => sum + dataset.all, 0);
  const lead = `${plural(DATA.runs.length, "run")} on ${plural(DATA.datasets.length, "dataset")} with ${plural(tweets, "test tweet")}. Every number here was measured by this workflow, except those that a table marks as reported elsewhere.`;
  fill("overview").append(...DATA.datasets.map(headline), missing() || "", h("p", { class: "lead" }, lead), ...DATA.datasets.map(overviewOf));
}

// What one came for: the three scores of a dataset's first trained run, over its seeds.
function headline(dataset) {
  const first = runsOf(dataset.name).find((run) => run.kind === "tuned") || runsOf(dataset.name)[0];
  if (!first) return h("p", { class: "muted" }, `No run on ${dataset.name} is finished yet.`);
  const seeds = runsOf(dataset.name).filter((run) => run.run === first.run);
  const tile = ([name, title]) => {
    const values = seeds.map((run) => run.scores.percent[name]), mean = values.reduce((a, b) => a + b, 0) / values.length;
    const spread = Math.sqrt(values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / (values.length - 1));
    const interval = seeds[0].scores.intervals?.[name];
    const small = values.length > 1 ? `± ${spread.toFixed(2)} over ${values.length} seeds` : interval ? `${interval.low.toFixed(1)} to ${interval.high.toFixed(1)}` : "";
    return h("li", {}, h("span", { class: "what" }, `${title} F1`), h("b", {}, mean.toFixed(2)), h("small", {}, small));
  };
  const note = seeds.length > 1 ? "" : "; one seed, interval over tweets";
  return h("div", { class: "headline" }, h("p", {}, h("b", {}, first.title), ` on ${dataset.name}${note}`), h("ul", { class: "tiles" }, METRICS.map(tile)));
}

function missing() {
  if (!DATA.missing?.length) return null;
  return h("details", { class: "notice" }, h("summary", {}, `${plural(DATA.missing.length, "result")} not finished yet: this page shows the others`), h("ul", {}, DATA.missing.map((one) => h("li", {}, one))));
}

function overviewOf(dataset) {
  const columns = [{ head: "Run", words: true }, ...METRICS.map(([, name]) => ({ head: `${name} F1`, words: true })), { head: "Acc@0.5" }, { head: "Mean IoU" }, { head: "Odd answers" }, { head: "Tweets", words: true }];
  const rows = runsOf(dataset.name).map((run) => [
    h("span", { class: "run" }, runName(run), h("small", {}, `${run.run} · ${run.backbone}${run.teacher ? ` · ${run.teacher}` : ""}`)),
    ...METRICS.map(([name]) => scoreCell(run, name)),
    number(run.scores.percent.acc_50), number(run.scores.percent.mean_iou),
    run.scores.parsing ? `${count(run.scores.parsing.with_problems)} of ${count(run.scores.parsing.answers)}` : "–",
    h("button", { type: "button", class: "quiet", onclick: () => browse({ dataset: dataset.name, a: runKey(run), kind: "any" }), "aria-label": `Browse the tweets of ${runName(run)} on ${dataset.name}` }, "Browse"),
  ]);
  const signatures = [...new Set(runsOf(dataset.name).map((run) => run.scores.signature))];
  return h("div", { class: "block" }, table(`${dataset.name}: ${plural(dataset.all, "test tweet")}`, columns, rows),
    h("p", { class: "note" }, "Per cent. The rule runs from 0 to 100; the line on it is the 95 % bootstrap interval over the tweets. Counted by ", signatures.map((text, i) => [i ? ", " : "", h("code", {}, text)]), "."));
}

function drawTables() {
  const target = fill("tables");
  if (!DATA.tables.length) target.append(h("p", { class: "muted" }, "No table is finished yet, or the configuration asks for none."));
  for (const page of DATA.tables) {
    const blocks = page.blocks.map((block) => table(block.caption, block.heads.map((head, i) => ({ head, words: !block.numbers[i] })), block.rows));
    target.append(h("div", { class: "block" }, h("h3", {}, page.title), blocks, h("ul", { class: "note" }, page.notes.map((note) => h("li", {}, note)))));
  }
}

function drawStrength() {
  const target = fill("strength");
  if (!DATA.figure3) {
    target.append(h("p", { class: "muted" }, "Figure 3 is not finished yet, or the configuration does not ask for it."));
    return;
  }
  const names = [["acc_50", "Acc@0.5"], ["gmner_f1", "GMNER F1"], ["mean_iou", "Mean IoU"]];
  const charts = DATA.figure3.map((panel) => h("div", { class: "block" },
    lineChart({
      title: `Figure 3: ${panel.dataset}, backbone ${panel.backbone}`, label: `Figure 3 for ${panel.dataset}`, xName: panel.points.some((point) => point.label.includes("γ")) ? "perturbation strength β; γ where it differs" : "perturbation strength β = γ", yName: "per cent",
      xTicks: panel.points.map((point) => point.strength),
      series: names.map(([key, name]) => ({ name, points: panel.points.filter((point) => point[key] !== null).map((point) => [point.strength, point[key], point[`${key}_sd`]]) })),
    }),
    h("details", {}, h("summary", {}, "The numbers"), table(`Figure 3 on ${panel.dataset}, per cent`, [{ head: "Strength" }, { head: "Run", words: true }, ...names.map(([, head]) => ({ head }))],
      panel.points.map((point) => [point.label, point.method, ...names.map(([key]) => number(point[key]) + (point[`${key}_sd`] ? ` ± ${number(point[`${key}_sd`])}` : ""))]), { hideCaption: true }))));
  target.append(h("p", { class: "lead" }, "Boxes of the training answers are moved and resized again for each epoch; strength 0 leaves them as they are. Bars are deviations over seeds."), h("div", { class: "charts wide" }, charts));
}

function drawData() {
  if (!DATA.datasets.length) fill("data").append(h("p", { class: "muted" }, "No dataset is finished yet."));
  for (const dataset of DATA.datasets) {
    const report = dataset.report;
    const columns = (block, first) => block.heads.map((head, i) => ({ head: head || first, words: !i }));
    const problems = report.problems.map((problem) => h("li", {}, h("b", {}, count(problem.count)), " ", problem.meaning,
      h("ul", { class: "examples" }, problem.examples.map((example) => h("li", {}, quoted(example))))));
    fill("data").append(h("div", { class: "block" }, h("h3", {}, dataset.name),
      report.limit === null || report.limit === undefined ? null : h("p", {}, `Only the first ${report.limit} tweets of each split.`),
      h("div", { class: "columns" },
        table("What it holds", columns(report.holds, "Number of"), report.holds.rows, { label: `What ${dataset.name} holds` }),
        table("Entities by type", columns(report.types, "Type"), report.types.rows, { label: `Entities of ${dataset.name} by type` })),
      h("h4", {}, "Problems found while reading it"), problems.length ? h("ul", { class: "problems" }, problems) : h("p", { class: "muted" }, "None.")));
  }
}

const CURVES = { loss: "loss", token_accuracy: "share of tokens right", learning_rate: "learning rate", grad_norm: "gradient norm", dev_gmner_f1: "dev GMNER F1" };

function drawTraining() {
  const trained = DATA.runs.filter((run) => run.curves);
  const target = fill("training"), charts = h("div", { class: "charts" });
  if (!trained.length) {
    target.append(h("p", { class: "muted" }, "No run was trained."));
    return;
  }
  const has = (name) => trained.some((run) => run.curves[name].length);
  const show = (name) => charts.replaceChildren(...trained.filter((run) => run.curves[name].length).map((run) => lineChart({
    title: [h("b", {}, runName(run)), ` on ${run.dataset}`], label: `${CURVES[name]} of ${runName(run)} on ${run.dataset}`, xName: "optimizer step", yName: CURVES[name], series: [{ name: CURVES[name], points: run.curves[name] }],
  })));
  const names = Object.keys(CURVES).filter(has);
  target.append(h("form", { class: "filters", onsubmit: (event) => event.preventDefault() }, picker("Curve", names.map((name) => [name, CURVES[name]]), names[0], show)), charts);
  if (names.length) show(names[0]);
}

function drawCost() {
  const target = fill("cost");
  const longest = Math.max(...DATA.costs.map((cost) => cost.seconds || 0), 0);
  const sum = (name) => DATA.costs.reduce((total, cost) => total + (cost[name] || 0), 0);
  const rows = DATA.costs.map((cost) => [`${cost.stage.replace("_", " ")}`, cost.what, barCell(cost.seconds || 0, longest, duration(cost.seconds)), duration(cost.cpu), cost.memory === null ? "–" : `${count(Math.round(cost.memory))} MiB`]);
  if (rows.length) rows.push(["all", plural(DATA.costs.length, "job"), h("b", {}, duration(sum("seconds"))), h("b", {}, duration(sum("cpu"))), ""]);
  const stages = [{ head: "Stage", words: true }, { head: "Of what", words: true }, { head: "Time" }, { head: "Processor time" }, { head: "Peak memory" }];
  target.append(rows.length ? table("Time and memory of each job that Snakemake measured", stages, rows) : h("p", { class: "muted" }, "Snakemake measured no job of these runs here."));
  drawTeachers(target);
  drawMade(target);
}

function drawTeachers(target) {
  const answers = [...DATA.teachers.map((one) => ["rationales", one.dataset, one.teacher, one]), ...DATA.asked.map((one) => ["answers", one.dataset, one.run, one])];
  if (!answers.length) return;
  const columns = [{ head: "Teacher or model", words: true }, { head: "Of what", words: true }, { head: "Model", words: true }, { head: "Accepted" }, { head: "Refused" }, { head: "Tokens in" }, { head: "Tokens out" }, { head: "Cost" }];
  const rows = answers.map(([what, dataset, name, one]) => [name, `${what}, ${dataset}`, h("span", {}, one.model ?? "–", h("small", {}, one.prompt_version ?? "")), count(one.accepted ?? one.samples),
    count(one.refused), count(one.tokens_in), count(one.tokens_out), one.cost_usd === null || one.cost_usd === undefined ? "–" : `$ ${one.cost_usd.toFixed(4)}`]);
  target.append(table("What teachers and providers' models were asked", columns, rows));
}

function drawMade(target) {
  const trained = DATA.runs.filter((run) => run.made);
  if (!trained.length) return;
  const columns = [{ head: "Run", words: true }, { head: "Dataset", words: true }, { head: "Backbone", words: true }, { head: "Prompt", words: true }, { head: "Samples" }, { head: "Steps" }, { head: "Epochs" }, { head: "Rows an update" }, { head: "Learning rate" }, { head: "LoRA rank" }, { head: "Precision", words: true }];
  const rows = trained.map((run) => [runName(run), run.dataset, h("span", {}, run.made.backbone ?? "–", h("small", {}, (run.made.revision ?? "").slice(0, 10))), run.made.prompt ?? "–", count(run.made.samples), count(run.made.steps),
    run.made.selected_by === "best" ? `${run.made.epoch + 1} of ${run.made.epochs}` : count(run.made.epochs), count(run.made.rows_an_update), String(run.made.learning_rate ?? "–"), count(run.made.rank), run.made.precision ?? "–"]);
  target.append(table("From what each run was trained", columns, rows));
}
