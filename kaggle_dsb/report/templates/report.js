const $ = (id) => document.getElementById(id);
const page = JSON.parse($("page-json").textContent);
const { rows, outcomes: OUTCOMES, letters: LETTERS } = page;
const colours = OUTCOMES.map((name) =>
  getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim());

// ---- theme -------------------------------------------------------------------------------
const THEMES = ["auto", "light", "dark"];
const setTheme = (name) => {
  if (name === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = name;
  $("theme").querySelector("span").textContent = name;
  $("theme").setAttribute("aria-label",
    `Colour theme: ${name === "auto" ? "system" : name}`);
};
const stored = () => {
  // A page from disk may be refused storage; the theme then lasts as long as the page.
  try { return localStorage.getItem("kaggle_dsb-theme"); } catch { return null; }
};
let theme = THEMES.includes(stored()) ? stored() : "auto";
setTheme(theme);
$("theme").addEventListener("click", () => {
  theme = THEMES[(THEMES.indexOf(theme) + 1) % THEMES.length];
  setTheme(theme);
  try { localStorage.setItem("kaggle_dsb-theme", theme); } catch { /* as above */ }
});

// ---- pixels of an image, unpacked when they are first needed --------------------------------
const payloads = new Map();
const payload = (number) => {
  if (!payloads.has(number)) {
    payloads.set(number, JSON.parse($(`payload-${number}`).textContent));
    if (payloads.size > 40) payloads.delete(payloads.keys().next().value);
  }
  return payloads.get(number);
};
const webp = (text) => `data:image/webp;base64,${text}`;

const unpackLabels = async (text, width, height) => {
  const packed = Uint8Array.from(atob(text), (sign) => sign.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate"));
  const bytes = new DataView(await new Response(stream).arrayBuffer());
  const labels = new Uint16Array(width * height);
  for (let i = 0; i < labels.length; i++) {
    const above = i < width ? 0 : labels[i - width];
    labels[i] = above + bytes.getUint16(2 * i, true);
  }
  return labels;
};

// ---- the images: which are shown, in which order, as a grid or as a table ----------------------
const form = $("filters");
const grid = $("grid");
const table = $("rows");
const cards = [...grid.children];
const lines = [...table.tBodies[0].rows];
let shown = rows.map((_, number) => number);

const keyOf = (row, key) => row.counts?.[key] ?? row[key] ?? null;
// Sorts by a key of the rows; a minus before it turns the order. What has no value comes last.
const comparison = (sort) => {
  const key = sort.replace(/^-/, "");
  const sign = sort.startsWith("-") ? -1 : 1;
  return (a, b) => {
    const [left, right] = [keyOf(rows[a], key), keyOf(rows[b], key)];
    if (left === right) return rows[a].id < rows[b].id ? -1 : 1;
    if (left === null || right === null) return left === null ? 1 : -1;
    return left < right ? -sign : sign;
  };
};
let sort = form.elements.sort.value;
const setSort = (wanted) => {
  sort = wanted;
  const choices = [...form.elements.sort.options].map((option) => option.value);
  form.elements.sort.value = choices.includes(wanted) ? wanted : "custom";
};

const matches = (row, wanted) => {
  const start = (wanted.get("id") ?? "").trim().toLowerCase();
  const fold = wanted.get("fold") ?? "";
  const outcome = wanted.get("outcome") ?? "";
  return wanted.getAll("type").includes(row.type) && (fold === "" || row.fold === +fold)
    && (outcome === "" || row.counts?.[outcome] > 0) && row.id.toLowerCase().startsWith(start);
};
const refresh = () => {
  const wanted = new FormData(form);
  shown = rows.map((_, number) => number).filter((number) => matches(rows[number], wanted))
    .sort(comparison(sort));
  for (const [elements, parent] of [[cards, grid], [lines, table.tBodies[0]]]) {
    elements.forEach((element) => { element.hidden = true; });
    shown.forEach((number) => { elements[number].hidden = false; parent.append(elements[number]); });
  }
  const isTable = wanted.get("view") === "table";
  if (isTable) fillTable();
  grid.hidden = isTable || !shown.length;
  table.hidden = !isTable || !shown.length;
  form.querySelector(".for-grid").hidden = isTable;
  $("nothing").hidden = shown.length > 0;
  grid.style.setProperty("--side", `${wanted.get("size") ?? 260}px`);
  $("count").textContent = `${shown.length} of ${rows.length} images`;
  for (const header of table.querySelectorAll("[data-key]")) {
    const order = { [header.dataset.key]: "ascending", [`-${header.dataset.key}`]: "descending" };
    if (order[sort]) header.setAttribute("aria-sort", order[sort]);
    else header.removeAttribute("aria-sort");
  }
};
// The table borrows the pictures of the grid, once it is asked for.
const fillTable = () => {
  lines.forEach((line, number) => {
    const picture = line.querySelector("img");
    if (!picture.src) picture.src = cards[number].querySelector(".side:last-child img").src;
  });
};

// ---- the address keeps what is shown, so that a link or a reload leads back to it --------------
const FIELDS = ["view", "size", "fold", "outcome", "id"];
const defaults = new FormData(form);
const defaultSort = sort;
const writeAddress = (image) => {
  const kept = new URLSearchParams();
  const wanted = new FormData(form);
  for (const name of FIELDS) {
    const value = wanted.get(name);
    if (value && value !== defaults.get(name)) kept.set(name, value);
  }
  const types = wanted.getAll("type");
  if (types.length < defaults.getAll("type").length) kept.set("type", types.join(","));
  if (sort !== defaultSort) kept.set("sort", sort);
  if (image) kept.set("image", image);
  const hash = kept.toString();
  history.replaceState(null, "", hash ? `#${hash}` : location.pathname + location.search);
};
const readAddress = () => {
  const kept = new URLSearchParams(location.hash.slice(1));
  form.reset();
  for (const name of FIELDS) {
    if (kept.has(name) && form.elements[name]) form.elements[name].value = kept.get(name);
  }
  if (kept.has("type")) {
    const types = kept.get("type").split(",");
    for (const box of form.querySelectorAll('[name="type"]')) box.checked = types.includes(box.value);
  }
  setSort(kept.get("sort") ?? defaultSort);
  refresh();
  const asked = rows.findIndex((row) => row.id === kept.get("image"));
  if (asked >= 0) open(asked);
};

form.addEventListener("input", (event) => {
  if (event.target.name === "sort") setSort(event.target.value);
  refresh();
  writeAddress();
});
form.addEventListener("submit", (event) => event.preventDefault());
$("show-all").addEventListener("click", () => {
  const { view } = Object.fromEntries(new FormData(form));
  form.reset();
  form.elements.view.value = view;
  setSort(defaultSort);
  refresh();
  writeAddress();
});
table.tHead.addEventListener("click", (event) => {
  const key = event.target.closest("[data-key]")?.dataset.key;
  if (!key) return;
  setSort(sort === key ? `-${key}` : key);
  refresh();
  writeAddress();
});
for (const parent of [grid, table.tBodies[0]]) {
  parent.addEventListener("click", (event) => {
    const element = event.target.closest("[data-row]");
    if (element) open(+element.dataset.row);
  });
}
