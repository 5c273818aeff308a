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

// Filters: rows of one benchmark and one fraction, with the baselines, which have neither.
const filters = document.querySelector("[data-filters]");
if (filters) {
  const table = document.querySelector("[data-comparison]");
  const apply = () => {
    const fraction = filters.querySelector("input[name=fraction]:checked").value;
    const benchmark = filters.querySelector("[data-benchmark]")?.value;
    for (const row of table.tBodies[0].rows) {
      const other = row.dataset.benchmark !== "" && benchmark !== undefined && row.dataset.benchmark !== benchmark;
      const elsewhere = row.dataset.fraction !== "" && fraction !== "" && row.dataset.fraction !== fraction;
      row.hidden = other || elsewhere;
    }
    table.classList.toggle("one", fraction !== "");
    table.classList.toggle("all", filters.querySelector("[data-more]").checked);
  };
  filters.addEventListener("change", apply);
  filters.addEventListener("submit", (event) => event.preventDefault());
  apply();
}

// The sample browser: every text goes through textContent.
const data = document.getElementById("samples");
if (data) {
  const samples = JSON.parse(data.textContent);
  const browser = document.querySelector("[data-browser]");
  const choose = browser.querySelector("[data-document]");
  const view = browser.querySelector("[data-view]");
  const make = (name, parent, text = "") => {
    const element = document.createElement(name === "option" ? "option" : "div");
    if (name !== "option") element.className = name;
    element.textContent = text;
    parent.append(element);
    return element;
  };
  const draw = () => {
    const sample = samples.documents[choose.selectedIndex];
    const shown = sample.views[view.selectedIndex];
    const percent = (position) => `${(100 * Math.min(position, sample.canvas)) / sample.canvas}%`;
    browser.querySelector("[data-prompt]").textContent = sample.prompt;
    browser.querySelector("[data-answer]").textContent = sample.answer;
    const canvas = browser.querySelector("[data-canvas]");
    canvas.replaceChildren();
    make("name", canvas, `answer: ${sample.length} of ${sample.canvas} tokens`);
    const bar = make("bar", canvas);
    make("answer", bar).style.width = percent(sample.length);
    for (const position of shown.revealed) make("revealed", bar).style.left = percent(position + 0.5);
    for (const { run, bound } of shown.bounds) {
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
    }
  };
  const open = () => {
    const sample = samples.documents[choose.selectedIndex];
    const fraction = view.value;
    view.replaceChildren();
    for (const { fraction } of sample.views) make("option", view, `${Math.round(100 * fraction)}%`);
    view.value = fraction;
    if (view.selectedIndex < 0) view.selectedIndex = 0;
    draw();
  };
  for (const { family, prompt } of samples.documents) make("option", choose, `${family ? family + ": " : ""}${prompt.slice(0, 60)}`);
  choose.addEventListener("change", open);
  view.addEventListener("change", draw);
  for (const button of browser.querySelectorAll("[data-step]")) {
    button.addEventListener("click", () => {
      const count = samples.documents.length;
      choose.selectedIndex = (choose.selectedIndex + Number(button.dataset.step) + count) % count;
      open();
    });
  }
  browser.hidden = false;
  open();
}

document.documentElement.dataset.ready = "true";
