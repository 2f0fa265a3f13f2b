"use strict";
// Draws snapshots as they come. Everything is set as text: nothing that a topic, a category or an
// error says becomes markup. What did not change is not touched, so that a reader is not disturbed.

const $ = id => document.getElementById(id);
const SILENT_MS = 15000;  // the server sends something every five seconds
const OLD_MS = 10000;  // and a snapshot every second

// ---- texts

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const short = new Intl.NumberFormat("en", { maximumSignificantDigits: 3 });
const percents = new Intl.NumberFormat("en", { style: "percent", maximumFractionDigits: 1 });
const fewPercents = new Intl.NumberFormat("en", { style: "percent", maximumSignificantDigits: 1 });
const NONE = "–";

const known = value => value !== null && value !== undefined;
const count = value => known(value) ? whole.format(value) : NONE;
const figure = value => !known(value) ? NONE : Math.abs(value) >= 1000 ? whole.format(value) : short.format(value);
const percent = value => !known(value) ? NONE : (value < 0.001 ? fewPercents : percents).format(value);
const clock = at => known(at) && at !== "" ? new Date(at).toLocaleTimeString("en-GB") : NONE;

function seconds(value) {
  if (!known(value)) return NONE;
  if (value === 0) return "0 s";
  if (value < 1) return `${short.format(value * 1000)} ms`;
  if (value < 120) return `${short.format(value)} s`;
  return value < 7200 ? `${whole.format(value / 60)} min` : `${short.format(value / 3600)} h`;
}

function since(at) {
  const date = new Date(at);
  const today = date.toDateString() === new Date().toDateString();
  return today ? clock(at) : `${date.toLocaleDateString("en-GB")} ${clock(at)}`;
}

// ---- elements

function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

function make(tag, attributes = {}, ...inside) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...inside);
  return element;
}

/** Give `parent` as many children as there are values: each made once, then shown. */
function each(parent, values, create, show) {
  while (parent.children.length > values.length) parent.lastElementChild.remove();
  values.forEach((value, n) => show(parent.children[n] ?? parent.appendChild(create(value, n)), value));
}

/** A table: columns are [title, isNumber]; the first cell of a row heads it. */
function table(element, columns, rows, nothing) {
  const shape = columns.map(column => column[0]).join("\n");
  if (element.dataset.shape !== shape) {
    element.dataset.shape = shape;
    element.querySelectorAll("thead, tbody").forEach(part => part.remove());
    const heads = columns.map(([title, number]) => make("th", { scope: "col", class: number ? "number" : "" }, title));
    element.append(make("thead", {}, make("tr", {}, ...heads)), make("tbody"));
  }
  const body = element.tBodies[0];
  if (!rows.length) {
    if (!body.querySelector("[colspan]")) {
      body.replaceChildren(make("tr", {}, make("td", { colspan: columns.length }, nothing)));
    }
    return;
  }
  if (body.querySelector("[colspan]")) body.replaceChildren();
  each(body, rows, () => make("tr", {}, ...columns.map(([, number], n) => n === 0
    ? make("th", { scope: "row", class: number ? "number" : "" })
    : make("td", { class: number ? "number" : "" }))),
  (row, cells) => cells.forEach((text, n) => say(row.cells[n], text)));
}

/** Bars beside each other, in a table that says the same in figures; shares are from 0 to 1. */
function bars(element, title, heads, rows) {
  if (!element.tHead) {
    element.append(make("caption"), make("thead", {}, make("tr", {}, make("th", { scope: "col" }),
      make("th", { scope: "col", class: "number" }), make("th", { scope: "col", class: "number" }),
      make("td", { "aria-hidden": "true" }))), make("tbody"));
  }
  say(element.caption, title);
  heads.forEach((head, n) => say(element.tHead.rows[0].cells[n], head));
  const most = Math.max(1e-9, ...rows.flatMap(row => [row[1] ?? 0, row[2] ?? 0]));
  each(element.tBodies[0], rows, () => make("tr", {}, make("th", { scope: "row" }), make("td", { class: "number" }),
    make("td", { class: "number" }), make("td", { class: "bar", "aria-hidden": "true" }, make("i"), make("i", { class: "two" }))),
  (row, [name, one, two]) => {
    [name, percent(one), percent(two)].forEach((text, n) => say(row.cells[n], text));
    [one, two].forEach((share, n) => {
      row.cells[3].children[n].style.width = `${100 * (share ?? 0) / most}%`;
    });
  });
}

// ---- charts

// Canvas knows no light-dark(): a hidden element computes it.
const probe = make("span", { hidden: "" });

function ink(name) {
  probe.style.color = `var(${name})`;
  return getComputedStyle(probe).color;
}

class Chart {
  constructor(title, names, format) {
    this.names = names;
    this.format = format;
    this.said = make("p", { class: "said" });
    this.place = make("div", { class: "plot", role: "img" });
    this.title = title;
    const keys = names.map((name, n) => make("span", { class: n ? "key two" : "key" }, name));
    $("charts").append(make("figure", {}, make("figcaption", {}, title), ...keys, this.place, this.said));
    const axis = { stroke: () => ink("--quiet"), grid: { stroke: () => ink("--grid"), width: 1 }, ticks: { show: false },
      font: "12px system-ui, sans-serif" };
    this.plot = new uPlot({
      width: this.place.clientWidth || 300, height: 180, legend: { show: false },
      cursor: { show: false }, scales: { y: { range: (_, low, high) => [0, Math.max(high || 0, 1e-3) * 1.1] } },
      axes: [{ ...axis, size: 28, space: 45, incrs: [60, 120, 300, 600, 1200, 3600], values: (_, at) => at.map(t => clock(t * 1000).slice(0, 5)) },
        { ...axis, size: 62, space: 36, values: (_, values) => values.map(format) }],
      series: [{}, ...names.map((_, n) => ({
        stroke: () => ink(n ? "--two" : "--one"), width: 2, dash: n ? [6, 4] : undefined, points: { show: false },
      }))],
    }, [[], ...names.map(() => [])], this.place);
    new ResizeObserver(() => this.plot.setSize({ width: this.place.clientWidth, height: 180 })).observe(this.place);
  }

  show(times, ...columns) {
    this.plot.setData([times, ...columns]);
    const parts = this.names.map((name, n) => {
      const values = columns[n].filter(known);
      if (!values.length) return `${name}: not known yet`;
      const [low, high] = values.reduce(([a, b], v) => [Math.min(a, v), Math.max(b, v)], [Infinity, -Infinity]);
      return `${name}: now ${this.format(columns[n].at(-1))}, between ${this.format(low)} and ${this.format(high)}`;
    });
    say(this.said, `${parts.join("; ")}.`);
    this.place.setAttribute("aria-label", `Chart: ${this.title}. ${this.said.textContent}`);
  }
}

let charts = null;

function drawCharts(history) {
  charts ??= {
    rates: new Chart("Events and predictions, a second", ["Events", "Predictions"], figure),
    lag: new Chart("Lag, in events", ["Waiting"], count),
    latency: new Chart("Latency, from event to prediction", ["p50", "p99"], seconds),
  };
  charts.rates.show(history.t, history.events_per_s, history.predictions_per_s);
  charts.lag.show(history.t, history.lag_events);
  charts.latency.show(history.t, history.p50_s, history.p99_s);
}

// ---- the parts of a snapshot

function drawNow(seen) {
  const known_lags = seen.partitions.map(each => each.lag_s).filter(known);
  const lags = seen.partitions.map(each => each.lag_events).filter(known);
  const figures = [
    ["Events a second", figure(seen.rates.events_per_s)],
    ["Predictions a second", figure(seen.rates.predictions_per_s)],
    ["Lag, in events", lags.length ? count(lags.reduce((sum, lag) => sum + lag, 0)) : NONE],
    ["Oldest waiting", known_lags.length ? seconds(Math.max(...known_lags)) : NONE],
    ["Latency, p50", seconds(seen.latency.p50_s)],
    ["Latency, p99", seconds(seen.latency.p99_s)],
    ["Batch, p50 (largest)", known(seen.batches.p50) ? `${count(seen.batches.p50)} (${count(seen.batches.max)})` : NONE],
    ["Dead letters", count(seen.dead_letters.total)],
    ["Members", count(seen.group.members.length)],
    ["Rebalances", count(seen.group.rebalances)],
  ];
  each($("now"), figures, ([name]) => make("div", {}, make("dt", {}, name), make("dd")),
    (box, [, text]) => say(box.lastElementChild, text));
}

function drawGroup(seen) {
  const group = seen.group;
  say($("group"), `Group ${group.name}${group.state ? `, ${group.state}` : ""}.`);
  table($("partitions"), [["Partition"], ["Committed", true], ["End", true], ["Lag", true], ["Oldest waiting", true]],
    seen.partitions.map(each => [String(each.partition), count(each.committed), count(each.end), count(each.lag_events), seconds(each.lag_s)]),
    "None seen yet.");
  table($("members"), [["Client"], ["Host"], ["Partitions"]],
    group.members.map(each => [each.client, each.host, each.partitions.join(", ") || "none"]), "Nobody is in the group.");
}

function drawLetters(seen) {
  const letters = seen.dead_letters;
  say($("letters"), `${count(letters.total)} on ${seen.dead_letter_topic}; ${percent(letters.share)} of the last minute's events.`);
  table($("causes"), [["Cause"], ["Stage"], ["Count", true]],
    letters.by_cause.map(each => [each.code, each.stage, count(each.count)]), "None.");
  each($("last"), letters.last, () => make("li", {}, make("strong"), make("span"), make("div"), make("code")), (item, letter) => {
    const [code, place, message, payload] = item.children;
    say(code, letter.code);
    say(place, `${since(letter.at)} · ${letter.stage} · ${letter.topic}, partition ${letter.partition}, offset ${letter.offset}`);
    say(message, letter.message);
    say(payload, letter.payload ?? "");
  });
  const scrolls = $("last").scrollHeight > $("last").clientHeight;
  if (scrolls) $("last").setAttribute("tabindex", "0"); else $("last").removeAttribute("tabindex");
}

function drawVersions(seen) {
  table($("versions"), [["Version"], ["Predictions", true], ["Last one", true]],
    seen.versions.toReversed().map(each => [`${each.model}:${each.version}`, count(each.count), each.last_at ? since(each.last_at) : NONE]),
    "No predictions seen yet.");
}

function binNames(shown) {
  if (shown.categories.length) return [...shown.categories, "others"];
  const edges = shown.edges.map(figure);
  return shown.now.map((_, n) => n === 0 ? `up to ${edges[0] ?? "any"}` : n === edges.length ? `above ${edges[n - 1]}` : `${edges[n - 1]} to ${edges[n]}`);
}

function drawDistributions(seen) {
  say($("distribution-note"), seen.distributions.length
    ? `The last predictions, and those of the sample that ${seen.model} was bundled with. PSI above 0.2 is a shift.`
    : seen.model ? `Of ${seen.model}; no predictions, or no baseline yet.` : "Name a model (--model NAME@ALIAS) to compare with its baseline.");
  each($("distributions"), seen.distributions, () => make("table", { class: "bars" }), (element, shown) => {
    const total = shown.now.reduce((sum, n) => sum + n, 0);
    const names = binNames(shown);
    bars(element, `${shown.name}${known(shown.psi) ? `, PSI ${short.format(shown.psi)}` : ""}`, ["Value", "Now", "Baseline"],
      names.map((name, n) => [name, total ? shown.now[n] / total : null, shown.baseline[n]]));
  });
}

const WINDOWS = { "5m": "5 minutes", "1h": "hour", all: "all" };
const METRICS = { mae: "MAE", rmse: "RMSE", bias: "Bias", accuracy: "Accuracy", log_loss: "Log loss", brier: "Brier", ece: "ECE" };

function drawQuality(seen) {
  const outcomes = seen.outcomes;
  say($("outcomes"), outcomes
    ? `${count(outcomes.joined)} of ${count(outcomes.received)} outcomes on ${seen.outcomes_topic} joined; ${count(outcomes.early)} early, `
      + `${count(outcomes.duplicates)} duplicate, ${count(outcomes.unusable)} unusable, ${count(outcomes.expired)} given up; `
      + `${count(outcomes.waiting)} predictions wait for theirs.`
    : "Name the topic on which the truth arrives (--outcomes TOPIC) to see it.");
  const versions = [...Map.groupBy(seen.quality, each => `${each.model}:${each.version}`)].reverse();  // the newest first
  each($("qualities"), versions, () => make("table", {}, make("caption")), (element, [name, windows]) => {
    const metrics = Object.keys(METRICS).filter(metric => windows.some(each => metric in each.metrics));
    say(element.caption, name);
    table(element, [["Last"], ...windows.map(each => [WINDOWS[each.window] ?? each.window, true])], [
      ["Pairs", ...windows.map(each => count(each.n))],
      ...metrics.map(metric => [METRICS[metric], ...windows.map(each => figure(each.metrics[metric]))]),
      ["Coverage", ...windows.map(each => percent(each.coverage))],
      ["Delay, p50", ...windows.map(each => seconds(each.delay_p50_s))],
    ], "");
  });
  const calibrated = seen.quality.filter(each => each.window === "all" && each.calibration.length);
  each($("calibrations"), calibrated, () => make("table", { class: "bars" }), (element, shown) => {
    bars(element, `Calibration of ${shown.model}:${shown.version}, all time`, ["Probability (pairs)", "Predicted", "Observed"],
      shown.calibration.filter(bin => bin.n).map(bin => [`${figure(bin.low)} to ${figure(bin.high)} (${count(bin.n)})`, bin.predicted, bin.observed]));
  });
}

function drawDrift(seen) {
  say($("drift-note"), seen.drift.features.length ? "Sampled events against the bundle's baseline; PSI above 0.2 is a shift." : "");
  const word = psi => !known(psi) ? NONE : psi > 0.2 ? "shifted" : psi > 0.1 ? "a little" : "no";
  table($("features"), [["Feature"], ["Sample", true], ["PSI", true], ["KS", true], ["Shift"]],
    seen.drift.features.map(each => [each.name, count(each.n), figure(each.psi), figure(each.ks), word(each.psi)]), "Not compared: no model, or no sample yet.");
  table($("alarms"), [["When"], ["Version"], ["Error"], ["From", true], ["To", true]],
    seen.drift.alarms.map(each => [since(each.at), `${each.model}:${each.version}`, each.metric, figure(each.from), figure(each.to)]), "None.");
}

function headlineOf(seen) {
  const { state, text, detail, since: from } = seen.headline;
  return { state, text, detail: sentence(detail), from };
}

const sentence = text => text.charAt(0).toUpperCase() + text.slice(1) + (/[.!?]$/.test(text) ? "" : ".");

function draw(seen) {
  say($("subject"), `${seen.input} → ${seen.output}${seen.model ? ` by ${seen.model}` : ""}`);
  say($("at"), `As of ${clock(seen.at)}, watching since ${since(seen.started_at)}.`);
  for (const part of [drawNow, drawGroup, drawLetters, drawVersions, drawDistributions, drawQuality, drawDrift]) part(seen);
  drawCharts(seen.history);
}

// ---- the connection

let source = null;
let heardAt = Date.now();  // anything
let toldAt = null;  // a snapshot
let lostAt = null;
let paused = false;
let latest = null;

function connect() {
  source?.close();
  source = new EventSource("events");
  heardAt = Date.now();
  source.onmessage = event => {
    heard();
    toldAt = Date.now();
    latest = JSON.parse(event.data);
    if (!paused && !document.hidden) draw(latest);
    showState();
  };
  source.addEventListener("beat", heard);
  source.onopen = heard;
  source.onerror = lost;
}

function heard() {
  heardAt = Date.now();
  lostAt = null;
  showState();
}

function lost() {
  lostAt ??= Date.now();
  showState();
}

/** What is said first: that we know nothing, where that is so, else what the monitor says. */
function showState() {
  const before = latest ? `It was: ${latest.headline.text.toLowerCase()}. What is shown is of before. ` : "";
  let told;
  if (lostAt !== null) {
    told = { state: "lost", text: "Connection to the monitor lost", from: lostAt, detail: `${before}Trying again.` };
  } else if (!latest) {
    return;
  } else if (Date.now() - toldAt > OLD_MS) {
    told = { state: "lost", text: "Nothing new from the monitor", from: toldAt, detail: `${before}It answers, but does not come round.` };
  } else {
    told = headlineOf(latest);
  }
  $("headline").dataset.state = told.state;
  say($("state"), told.from ? `${told.text} since ${since(told.from)}` : told.text);
  say($("detail"), told.detail);
  document.title = `${told.text} · Streamscore monitor`;
  document.body.classList.toggle("stale", told.state === "lost");
}

// The browser tries again by itself, but not after an answer that is an error, nor where nothing comes.
setInterval(() => {
  const silent = Date.now() - heardAt > SILENT_MS;
  if (silent) lost();
  if (silent || source.readyState === EventSource.CLOSED) connect();
  else showState();
}, 2000);

$("pause").addEventListener("click", () => {
  paused = !paused;
  $("pause").setAttribute("aria-pressed", String(paused));
  if (!paused && latest) draw(latest);
});
const redraw = () => { if (latest && !paused) draw(latest); };
document.addEventListener("visibilitychange", () => { if (!document.hidden) redraw(); });
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { for (const chart of Object.values(charts ?? {})) chart.plot.redraw(); });
document.body.append(probe);
connect();
