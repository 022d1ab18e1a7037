"use strict";
// Texts of datasets and models reach the page as text nodes alone, never as HTML.
const data = JSON.parse(document.getElementById("data").textContent);
const at_once = 30; // cards that are added together, as the reader comes near the end

const $ = (id) => document.getElementById(id);
const brief = (text) => (text.length > 60 ? text.slice(0, 60) + "…" : text);

/** A column of a sample, wide enough for so many pictures beside each other. */
function column(number, ...children) {
  const section = make("section", { className: "column" }, ...children);
  section.style.flex = `${number} 1 ${11 * number - 1}rem`;
  section.style.maxWidth = `${27 * number - 1}rem`;
  return section;
}

/** An element with properties, attributes (those with a dash, and `for`), and children. */
function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name.includes("-")) element.setAttribute(name, value);
    else element[name] = value;
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

/** A text of a dataset or a model, in its own direction of writing. */
const say = (tag, text, className = "") =>
  make(tag, { className: `text ${className}`, dir: "auto", textContent: text });

// ---- state

const has_scores = data.samples.some((s) => s.answers.some((row) => row.some((a) => a && "score" in a)));
const answered = data.plain ? ["plain", ...data.runs.map((run) => run.label)] : [null, ...data.runs.map((run) => run.label)];
const pairs = []; // [baseline, compared], numbers of columns of answers
for (let n = 1; n < answered.length; n++) {
  if (data.plain) pairs.push([0, n]);
  else if (n > 1) pairs.push([1, n]);
}
const compares = has_scores && pairs.length > 0;
const state = { search: "", group: "", filter: "all", sort: compares ? "changed" : "order", asked: 0, pair: -1, hidden: new Set() };
let listed = []; // the samples that are shown, in order
let added = 0; // how many of them have a card
let current = -1; // the one that keys start from

/** The score gained against the baseline; of several comparisons the largest change. */
function difference(sample) {
  const answers = sample.answers[state.asked];
  if (!compares || !answers) return null;
  let most = null;
  for (const [base, other] of state.pair < 0 ? pairs : [pairs[state.pair]]) {
    const [one, two] = [answers[base], answers[other]];
    if (!one || !two || !("score" in one) || !("score" in two)) continue;
    const gained = two.score - one.score;
    if (most === null || Math.abs(gained) > Math.abs(most)) most = gained;
  }
  return most !== null && Math.abs(most) < 1e-9 ? 0 : most;
}

const has_error = (sample) =>
  sample.runs.some((run) => run && run.error) || sample.answers.some((row) => row.some((a) => a && a.error));

/** All that is searched of a sample, in lower case. */
function words(sample) {
  sample.words ??= [
    sample.key, sample.question, sample.query, ...sample.expected, ...sample.groups,
    ...sample.runs.map((run) => run && (run.error || run.auxiliary)),
    ...sample.answers.flat().map((answer) => answer && (answer.text || answer.error)),
  ].filter(Boolean).join("\n").toLowerCase();
  return sample.words;
}

const filters = {
  all: ["All", () => true],
  won: ["Won", (s) => difference(s) > 0],
  lost: ["Lost", (s) => difference(s) < 0],
  same: ["Same score", (s) => difference(s) === 0],
  errors: ["Failed or not answered", has_error],
};
const by_number = (value) => (a, b) => {
  const [one, two] = [value(a), value(b)];
  if (one === null || two === null) return (one === null) - (two === null);
  return two - one;
};
const sorts = {
  changed: ["Won and lost first", by_number((s) => { const d = difference(s); return d === null ? null : Math.abs(d); })],
  gain: ["Score difference, gains first", by_number(difference)],
  loss: ["Score difference, losses first", by_number((s) => { const d = difference(s); return d === null ? null : -d; })],
  order: ["As in the dataset", () => 0],
};

// ---- cards

function picture(drawn, what, sample, is_large) {
  const alt = `${what} of ${brief(sample.key)}`;
  if (typeof drawn === "string") return make("p", { className: "gone" }, make("strong", { textContent: `${what}: ` }), say("span", drawn));
  const [src, width, height] = drawn;
  const image = make("img", { loading: "lazy", decoding: "async", width, height, alt, src });
  if (is_large) return make("div", { className: "picture" }, image);
  const button = make("button", { type: "button", className: "picture", "aria-label": `Enlarge ${alt}` }, image);
  button.addEventListener("click", () => enlarge(listed.indexOf(sample)));
  return button;
}

const figure = (drawn, what, title, sample, is_large) =>
  make("figure", {}, picture(drawn, what, sample, is_large), make("figcaption", { textContent: title }));

/** Where text is long, the card shows its beginning and the enlarged sample all of it. */
const clamp = (is_large) => (is_large ? "" : "clamp");

function answer(found, is_large) {
  if (!found) return null;
  if (found.error !== undefined) return make("p", { className: "error" }, "No answer: ", say("span", found.error));
  const has_score = found.score !== undefined;
  const kind = !has_score ? "" : found.score >= 1 ? "good" : found.score <= 0 ? "bad" : "";
  const score = has_score ? make("span", { className: `badge ${kind}`, textContent: `score ${+found.score.toFixed(2)}` }) : null;
  return make("div", { className: "says" },
    make("span", { className: "label", textContent: "Answer" }), score,
    say("div", found.text || "(empty)", clamp(is_large)),
    found.remark ? say("p", found.remark, "remark") : null);
}

function original_column(sample, found, is_large) {
  if (state.hidden.has("original")) return null;
  const title = data.plain ? "Original (plain)" : "Original";
  return column(1, make("h3", { textContent: title }),
    figure(sample.original, "Original", "Original", sample, is_large), answer(found, is_large));
}

function run_column(sample, number, found, is_large) {
  if (state.hidden.has(number)) return null;
  const run = sample.runs[number];
  const label = data.runs[number].label;
  const head = make("h3", { textContent: label });
  if (run === null) return column(1, head, make("p", { className: "gone", textContent: "Not in this run" }));
  if (run.error) return column(1, head, make("p", { className: "error" }, "Failed: ", say("span", run.error)), answer(found, is_large));
  const shown = run.pictures.map(([title, drawn]) => figure(drawn, `${title} picture (${label})`, title, sample, is_large));
  if (!state.hidden.has("heat")) shown.unshift(figure(run.heat, `Heat map (${label})`, "Heat map", sample, is_large));
  return column(shown.length, head,
    make("div", { className: "pictures" }, ...shown),
    run.auxiliary === null ? null : make("div", { className: "says" },
      make("span", { className: "label", textContent: "Auxiliary's answer" }), say("div", run.auxiliary || "(empty)", clamp(is_large))),
    ...run.remarks.map((remark) => say("p", remark, "remark")), answer(found, is_large));
}

function verdict(sample) {
  const gained = difference(sample);
  if (gained === null) return null;
  const points = Math.abs(gained).toFixed(2).replace(/\.?0+$/, "");
  const [text, kind] = gained > 0 ? [`Won +${points}`, "good"] : gained < 0 ? [`Lost −${points}`, "bad"] : ["Same score", ""];
  return make("span", { className: `badge ${kind}`, textContent: text });
}

function card(sample, is_large) {
  const found = sample.answers[state.asked] ?? [];
  const meta = [say("span", sample.key, `key ${clamp(is_large)}`)];
  if (sample.groups.length) meta.push(say("span", sample.groups.join(", ")));
  if (sample.query) meta.push(make("span", {}, "Auxiliary was asked: ", say("span", sample.query)));
  if (sample.expected.length) meta.push(make("span", {}, "Expected: ", say("span", sample.expected.join(" / "))));
  const article = make("article", { className: "card", tabIndex: -1 },
    make("div", { className: "head" }, say("h2", sample.question ?? "(the run failed before it noted the question)", clamp(is_large)), verdict(sample)),
    make("div", { className: "meta" }, ...meta),
    make("div", { className: "columns" }, original_column(sample, found[0], is_large),
      ...data.runs.map((_, number) => run_column(sample, number, found[number + 1], is_large))));
  if (is_large && sample.more.length) {
    const more = sample.more.flatMap(([name, value]) => [say("dt", name), say("dd", value)]);
    article.append(make("dl", { className: "more" }, ...more));
  }
  return article;
}

// ---- the list

const main = $("samples");
const end = make("div", { "aria-hidden": "true" });
const near = new IntersectionObserver((entries) => { if (entries[0].isIntersecting) add(at_once); }, { rootMargin: "2000px" });
near.observe(end);

function add(number) {
  const cards = listed.slice(added, added + number).map((sample) => card(sample, false));
  added += cards.length;
  end.before(...cards);
  end.hidden = added >= listed.length;
  near.unobserve(end); // an end that is as near as before would not be told again
  near.observe(end);
}

function list() {
  const search = state.search.trim().toLowerCase();
  listed = data.samples.filter((sample) =>
    filters[state.filter][1](sample)
    && (state.group === "" || sample.groups.includes(state.group))
    && (search === "" || words(sample).includes(search)));
  listed.sort(sorts[state.sort][1]); // stable: ties stay in the dataset's order
  added = 0;
  current = -1;
  end.hidden = false;
  main.replaceChildren(end);
  add(at_once);
  if (!listed.length) end.before(make("p", { className: "none", textContent: "No sample matches." }));
  $("count").textContent = `${listed.length} of ${data.samples.length} samples`;
}

function go(number) {
  if (number < 0 || number >= listed.length) return;
  current = number;
  if (number >= added) add(number - added + at_once);
  if ($("large").open) return fill(number);
  const there = main.children[number];
  there.focus({ preventScroll: true });
  there.scrollIntoView({ block: "start" });
}

// ---- one sample, enlarged

let enlarged = -1; // its place in the list

function fill(number) {
  current = enlarged = number;
  $("enlarged").replaceChildren(card(listed[number], true));
  $("large").scrollTop = 0;
  $("previous").disabled = number === 0;
  $("next").disabled = number === listed.length - 1;
}

function enlarge(number) {
  fill(number);
  $("large").showModal();
}

$("previous").addEventListener("click", () => go(current - 1));
$("next").addEventListener("click", () => go(current + 1));
$("close").addEventListener("click", () => $("large").close());
$("large").addEventListener("close", () => { $("enlarged").replaceChildren(); go(enlarged); });
$("large").addEventListener("click", (event) => { if (event.target === $("large")) $("large").close(); });

document.addEventListener("focusin", (event) => {
  const there = event.target.closest?.("main .card");
  if (there) current = [...main.children].indexOf(there);
});
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target.matches("select, input[type=search]")) {
    if (event.key === "Escape") event.target.blur();
    return;
  }
  const steps = { j: 1, ArrowRight: 1, k: -1, ArrowLeft: -1 };
  if (event.key in steps) go(current + steps[event.key]);
  else if (event.key === "Enter" && event.target.matches("main .card")) enlarge(current);
  else if (event.key === "/" && !$("large").open) $("search").focus();
  else return;
  event.preventDefault();
});

// ---- tools

function choices(select, options, value, change) {
  select.replaceChildren(...options.map(([key, text]) => make("option", { value: key, textContent: text })));
  select.value = value;
  select.addEventListener("change", () => { change(select.value); list(); });
}

function checkbox(key, text) {
  const box = make("input", { type: "checkbox", checked: true });
  box.addEventListener("change", () => { state.hidden[box.checked ? "delete" : "add"](key); list(); });
  return make("label", {}, box, text);
}

const groups = [...new Set(data.samples.flatMap((sample) => sample.groups))].sort();
if (groups.length) {
  $("group-label").hidden = false;
  choices($("group"), [["", "All"], ...groups.map((name) => [name, brief(name)])], "", (value) => { state.group = value; });
}
const names = (table, wanted) => Object.keys(table).filter(wanted).map((key) => [key, table[key][0]]);
choices($("filter"), names(filters, (key) => compares || key === "all" || key === "errors"), state.filter, (value) => { state.filter = value; });
choices($("sort"), names(sorts, (key) => compares || key === "order"), state.sort, (value) => { state.sort = value; });
$("sort-label").hidden = !compares;
if (data.asked.length) {
  $("asked-label").hidden = false;
  choices($("asked"), data.asked.map((title, number) => [number, title]), 0, (value) => { state.asked = Number(value); });
}
if (compares) {
  $("pair-label").hidden = false;
  const options = pairs.map(([base, other], number) => [number, `${answered[other]} against ${answered[base]}`]);
  if (options.length > 1) options.unshift([-1, `any against ${answered[pairs[0][0]]}`]);
  state.pair = options[0][0];
  choices($("pair"), options, state.pair, (value) => { state.pair = Number(value); });
}
$("columns").append(checkbox("original", "Original"), checkbox("heat", "Heat maps"),
  ...data.runs.map((run, number) => checkbox(number, run.label)));
let typing = 0;
$("search").addEventListener("input", () => {
  clearTimeout(typing);
  typing = setTimeout(() => { state.search = $("search").value; list(); }, 120);
});
$("tools").addEventListener("submit", (event) => event.preventDefault());

const settings = [...new Set(data.runs.flatMap((run) => run.settings.map(([name]) => name)))];
const row = (name, values) => make("tr", {}, make("th", { scope: "row", textContent: name }), ...values.map((value) => say("td", value ?? "")));
$("runs").append(make("div", { className: "scroll", tabIndex: 0, role: "region", "aria-label": "Settings of the runs" },
  make("table", {},
    row("run", data.runs.map((run) => run.label)),
    row("folder", data.runs.map((run) => run.folder)),
    ...settings.map((name) => row(name, data.runs.map((run) => (run.settings.find(([key]) => key === name) ?? [])[1])))),
));
if (data.notes.length) {
  $("notes").hidden = false;
  $("notes").append(...data.notes.map((note) => say("p", note)));
}

// ---- light and dark; where the browser keeps nothing, for as long as the page is open

const themes = ["auto", "light", "dark"];
function dress(theme) {
  document.documentElement.dataset.theme = theme;
  $("theme").textContent = `Theme: ${theme}`;
  try { localStorage.setItem("apiprompt-theme", theme); } catch { /* not kept */ }
}
let theme = "auto";
try { theme = localStorage.getItem("apiprompt-theme") ?? "auto"; } catch { /* not kept */ }
dress(themes.includes(theme) ? theme : "auto");
$("theme").addEventListener("click", () =>
  dress(themes[(themes.indexOf(document.documentElement.dataset.theme) + 1) % themes.length]));

new ResizeObserver(([entry]) => {
  const is_sticky = getComputedStyle(entry.target).position === "sticky";
  document.documentElement.style.setProperty("--bar", `${is_sticky ? entry.target.offsetHeight : 0}px`);
}).observe($("tools"));
list();
