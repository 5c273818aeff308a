"use strict";

// Sorting: a click on a heading's button; cells without a value stay last in both directions.
for (const table of document.querySelectorAll("table[data-sortable]")) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    head.querySelector("button").addEventListener("click", () => {
      const down = head.getAttribute("aria-sort") === "ascending";
      for (const other of heads) other.setAttribute("aria-sort", "none");
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      const key = (row) => row.cells[column].dataset.key ?? row.cells[column].textContent;
      const rows = [...table.tBodies[0].rows].sort((a, b) => {
        const [x, y] = [key(a), key(b)];
        if (x === "" || y === "") return (x === "") - (y === "");
        const order = isNaN(x) || isNaN(y) ? x.localeCompare(y) : x - y;
        return down ? -order : order;
      });
      table.tBodies[0].append(...rows);
    });
  });
}

// Filters: one bar for all tables and the samples. A table that holds nothing of the chosen task shows all it has.
const filters = document.querySelector("[data-filters]");
const boxes = [...filters.querySelectorAll("input[name=run]")];
const chosen = () => ({
  task: filters.querySelector("[data-task-filter]")?.value ?? "",
  fraction: filters.querySelector("input[name=fraction]:checked")?.value ?? "",
  runs: boxes.length ? new Set(boxes.filter((box) => box.checked).map((box) => box.value)) : null,
});
const watchers = [];
const apply = () => {
  const { task, fraction, runs } = chosen();
  for (const table of document.querySelectorAll("table[data-filtered]")) {
    const rows = [...table.tBodies[0].rows];
    const holds = rows.some((row) => row.dataset.task === task);
    const many = new Set(rows.map((row) => row.dataset.fraction)).size > 1;
    for (const row of rows) {
      const { run, task: own, fraction: at } = row.dataset;
      row.hidden =
        (task !== "" && holds && own !== "" && own !== task) ||
        (fraction !== "" && many && at !== "" && at !== fraction) ||
        (runs !== null && !runs.has(run));
    }
    table.closest(".scroll").nextElementSibling.hidden = rows.some((row) => !row.hidden);
  }
  const count = filters.querySelector("[data-chosen]");
  if (count) count.textContent = `(${runs.size} of ${boxes.length})`;
  for (const watcher of watchers) watcher();
};
filters.addEventListener("change", apply);
filters.addEventListener("submit", (event) => event.preventDefault());
for (const [name, state] of [["all", true], ["none", false]]) {
  filters.querySelector(`[data-${name}]`)?.addEventListener("click", () => {
    for (const box of boxes) box.checked = state;
    apply();
  });
}
document.querySelector("[data-more]").addEventListener("change", (event) => {
  document.querySelector("table[data-filtered]").classList.toggle("all", event.target.checked);
});

// The sample browser: every text goes through textContent.
const data = document.getElementById("samples");
if (data) {
  const samples = JSON.parse(data.textContent);
  const browser = document.querySelector("[data-browser]");
  const part = (name) => browser.querySelector(`[data-${name}]`);
  const [choose, view, family, find, cut] = ["document", "view", "family", "find", "cut"].map(part);
  let shown = [];
  const make = (name, parent, text = "") => {
    const element = document.createElement(name === "option" ? "option" : "div");
    if (name !== "option") element.className = name;
    element.textContent = text;
    parent.append(element);
    return element;
  };
  const draw = () => {
    const canvas = part("canvas");
    canvas.replaceChildren();
    const sample = shown[choose.selectedIndex];
    part("prompt").textContent = sample?.prompt ?? "";
    part("answer").textContent = sample?.answer ?? "";
    if (!sample) return;
    const { runs } = chosen();
    const { revealed, bounds } = sample.views[view.selectedIndex];
    const percent = (position) => `${(100 * Math.min(position, sample.canvas)) / sample.canvas}%`;
    make("name", canvas, `answer: ${sample.length} of ${sample.canvas} tokens`);
    const bar = make("bar", canvas);
    make("answer", bar).style.width = percent(sample.length);
    for (const position of revealed) make("revealed", bar).style.left = percent(position + 0.5);
    make("name", canvas);
    const scale = make("scale", canvas);
    for (const part of [0, 0.25, 0.5, 0.75, 1]) {
      make("value", scale, `${Math.round(part * sample.canvas)}`).style.left = `${100 * part}%`;
    }
    bounds.forEach((bound, run) => {
      if (bound === null || (runs !== null && !runs.has(samples.runs[run]))) return;
      const line = make("bound", bar);
      line.style.left = percent(bound);
      line.style.background = samples.colours[run];
      line.title = `${samples.runs[run]}: ${bound}`;
      const covers = bound >= sample.length;
      make("name", canvas, samples.runs[run]);
      const track = make("track", canvas);
      make("end", track).style.left = percent(sample.length);
      const reach = make("reach", track);
      reach.style.width = percent(bound);
      reach.style.background = samples.colours[run];
      const mark = make("mark", track, covers ? "●" : "✕");
      mark.style.left = percent(bound);
      mark.style.color = samples.colours[run];
      const value = make("value", track, covers ? `${bound}` : `${bound}, cut off`);
      value.style.left = percent(bound);
      value.classList.toggle("left", bound > sample.canvas * 0.75);
    });
  };
  const percentage = (fraction) => `${Math.round(100 * fraction)}%`;
  const open = () => {
    const fraction = view.value;
    view.replaceChildren();
    for (const { fraction } of shown[choose.selectedIndex]?.views ?? []) make("option", view, percentage(fraction));
    view.value = fraction;
    if (view.selectedIndex < 0) view.selectedIndex = 0;
    draw();
  };
  const list = () => {
    const { task, runs } = chosen();
    const words = find.value.toLowerCase();
    const known = samples.documents.some((sample) => sample.benchmark === task);
    const cuts = ({ views, length }) =>
      views.some(({ fraction, bounds }) =>
        (view.value === "" || view.value === percentage(fraction)) &&
        bounds.some((bound, run) => bound !== null && bound < length && (runs === null || runs.has(samples.runs[run]))));
    shown = samples.documents.filter((sample) =>
      (task === "" || !known || sample.benchmark === task) &&
      (family.selectedIndex < 1 || sample.family === family.value) &&
      (!cut.checked || cuts(sample)) &&
      (words === "" || `${sample.prompt}\n${sample.answer}`.toLowerCase().includes(words)));
    const before = choose.value;
    choose.replaceChildren();
    for (const sample of shown) {
      const label = `${sample.family ? sample.family + ": " : ""}${sample.prompt.slice(0, 60)}`;
      make("option", choose, label).value = `${sample.benchmark} ${sample.document}`;
    }
    choose.value = before;
    if (choose.selectedIndex < 0) choose.selectedIndex = 0;
    part("count").textContent = `${shown.length} document${shown.length === 1 ? "" : "s"}`;
    open();
  };
  make("option", family, "all");
  for (const name of [...new Set(samples.documents.map((sample) => sample.family))].sort()) if (name) make("option", family, name);
  family.parentElement.hidden = family.length < 3;
  for (const [element, event] of [[family, "change"], [cut, "change"], [find, "input"]]) element.addEventListener(event, list);
  choose.addEventListener("change", open);
  view.addEventListener("change", list);
  for (const button of browser.querySelectorAll("[data-step]")) {
    button.addEventListener("click", () => {
      if (!shown.length) return;
      choose.selectedIndex = (choose.selectedIndex + Number(button.dataset.step) + shown.length) % shown.length;
      open();
    });
  }
  watchers.push(list);
  browser.hidden = false;
}

apply();
document.documentElement.dataset.ready = "true";
