// ---- the viewer -----------------------------------------------------------------------------
const viewer = $("viewer");
const stage = $("stage");
const canvas = $("outlines");
const view = {
  number: -1, scale: 1, x: 0, y: 0, isFitted: true, run: "prediction", layers: {}, pixels: {},
};

// The runs that are shown, from left to right, and the width of each.
const panes = () => (view.run === "both" ? ["baseline", "prediction"] : [view.run]);
const paneWidth = () => stage.clientWidth / panes().length;
const pictures = () => [...stage.querySelectorAll(".layers")].map((layers) => layers.children);

const open = (number) => {
  if (!viewer.open) viewer.showModal();
  show(number);
  stage.focus();
};
const show = async (number) => {
  const row = rows[number];
  const data = payload(number);
  const before = rows[view.number] ?? row;
  Object.assign(view, { number, layers: {}, pixels: {} });
  describe(row, data);
  for (const [image, map] of pictures()) {
    image.width = map.width = row.width;
    image.height = map.height = row.height;
    image.src = webp(data.image);
  }
  writeAddress(row.id);
  showMap();
  keepView(before, row);
  const [layers, pixels] = await Promise.all([unpackLayers(data, row), unpackPixels(data, row)]);
  if (view.number !== number) return;
  Object.assign(view, { layers, pixels });
  draw();
  stage.dataset.drawn = row.id;
};
const describe = (row, data) => {
  $("viewer-title").textContent = row.id;
  const place = shown.indexOf(view.number);
  $("viewer-place").textContent = place < 0 ? "" : `${place + 1} of ${shown.length}`;
  $("viewer-facts").textContent = row.alt + (row.fold === null ? "" : `; fold ${row.fold}`)
    + (data.reduction > 1 ? `; drawn at 1/${data.reduction} of its size` : "");
  $("previous").disabled = place <= 0;
  $("next").disabled = place < 0 || place >= shown.length - 1;
  for (const element of viewer.querySelectorAll("[data-needs]")) {
    element.hidden = !data[element.dataset.needs];
  }
  for (const box of document.getElementsByName("outcome-box")) {
    box.parentElement.querySelector("b").textContent = row.counts ? row.counts[box.value] : "";
  }
  $("layer-image").alt = row.alt;
  $("tip").textContent = "";
  $("per-threshold").innerHTML = row.precision ? drawPrecision(row.precision) : "";
};

// ---- what the payload holds, unpacked -------------------------------------------------------
const unpackLayers = async (data, row) => {
  const layers = {};
  for (const name of ["truth", "prediction", "baseline"]) {
    if (!data[name]) continue;
    const { labels: text, iou, outcomes } = data[name];
    const labels = await unpackLabels(text, row.width, row.height);
    const inset = name === "truth" ? 0 : 0.2;
    const traced = traceOutlines(labels, row.width, row.height, outcomes, inset);
    layers[name] = { labels, iou, outcomes, ...traced };
  }
  return layers;
};
// Functions of column, row and channel; a large image comes reduced.
const unpackPixels = async (data, row) => {
  const pixels = {};
  for (const name of ["image", "body", "border"]) {
    if (!data[name]) continue;
    const picture = new Image();
    picture.src = webp(data[name]);
    await picture.decode();
    const { naturalWidth: width, naturalHeight: height } = picture;
    const copy = Object.assign(document.createElement("canvas"), { width, height });
    const pen = copy.getContext("2d", { willReadFrequently: true });
    pen.drawImage(picture, 0, 0);
    const { data: levels } = pen.getImageData(0, 0, width, height);
    const [down, across] = [height / row.height, width / row.width];
    pixels[name] = (x, y, channel = 0) => (
      levels[4 * (Math.floor(y * down) * width + Math.floor(x * across)) + channel]);
  }
  return pixels;
};

const drawPrecision = (precision) => {
  const bars = precision.map((value, number) => {
    const height = (48 * value).toFixed(1);
    return `<rect class="bar" x="${number * 26}" y="${(52 - height).toFixed(1)}" width="22"
      height="${height}"/><text class="tick" x="${number * 26 + 11}" y="66"
      text-anchor="middle">.${50 + 5 * number}</text>`;
  });
  const said = precision.map((value, n) => `${value.toFixed(2)} at 0.${50 + 5 * n}`).join(", ");
  return `<b>Precision by IoU threshold</b><svg viewBox="0 0 260 70" role="img"
    aria-label="Precision ${said}">${bars.join("")}</svg>`;
};

const showMap = () => {
  const chosen = viewer.querySelector('[name="map"]:checked').value;
  const text = chosen && payload(view.number)[chosen];
  for (const [, map] of pictures()) {
    map.hidden = !text;
    if (text) map.src = webp(text);
    map.style.opacity = $("opacity").value / 100;
  }
  $("opacity").disabled = !text;
};

const fit = () => {
  const row = rows[view.number];
  const [width, height] = [paneWidth(), stage.clientHeight];
  view.isFitted = true;
  view.scale = Math.max(0.05, 0.96 * Math.min(width / row.width, height / row.height));
  view.x = (width - row.width * view.scale) / 2;
  view.y = (height - row.height * view.scale) / 2;
  draw();
};
// The next image keeps the zoom, and shows the same part of it.
const keepView = (before, row) => {
  if (view.isFitted) { fit(); return; }
  const [x, y] = [paneWidth() / 2, stage.clientHeight / 2];
  view.x = x - (x - view.x) * row.width / before.width;
  view.y = y - (y - view.y) * row.height / before.height;
  draw();
};
const zoom = (factor, x = paneWidth() / 2, y = stage.clientHeight / 2) => {
  const scale = Math.min(64, Math.max(0.05, view.scale * factor));
  view.x = x - (x - view.x) * scale / view.scale;
  view.y = y - (y - view.y) * scale / view.scale;
  view.scale = scale;
  view.isFitted = false;
  draw();
};
const move = (x, y) => {
  view.x += x;
  view.y += y;
  view.isFitted = false;
  draw();
};

const draw = () => {
  const ratio = devicePixelRatio || 1;
  canvas.width = stage.clientWidth * ratio;
  canvas.height = stage.clientHeight * ratio;
  for (const layers of stage.querySelectorAll(".layers")) {
    layers.style.transform = `translate(${view.x}px, ${view.y}px) scale(${view.scale})`;
  }
  const pen = canvas.getContext("2d");
  panes().forEach((run, place) => {
    const left = place * paneWidth();
    pen.save();
    pen.beginPath();
    pen.rect(left * ratio, 0, paneWidth() * ratio, canvas.height);
    pen.clip();
    drawOutlines(pen, run, left, ratio);
    pen.restore();
  });
};
const drawOutlines = (pen, run, left, ratio) => {
  const chosen = new Set([...document.getElementsByName("outcome-box")]
    .filter((box) => box.checked).map((box) => OUTCOMES.indexOf(box.value)));
  const scale = view.scale * ratio;
  pen.setTransform(scale, 0, 0, scale, (left + view.x) * ratio, view.y * ratio);
  pen.lineJoin = "round";
  // The truth is dashed: over the line of a prediction that fits, the dashes vanish.
  const dashes = [7 / view.scale, 4 / view.scale];
  for (const { name, layer } of visibleLayers(run)) {
    // What happened to true nuclei is known of this run, not of the one it is compared with.
    const isTold = layer.outcomes && !(name === "truth" && run === "baseline");
    pen.setLineDash(name === "truth" ? dashes : []);
    layer.paths.forEach((path, outcome) => {
      if (isTold && !chosen.has(outcome)) return;
      pen.lineWidth = 4.4 / view.scale;
      pen.strokeStyle = "#000a";
      pen.stroke(path);
      pen.lineWidth = 2.4 / view.scale;
      pen.strokeStyle = isTold || name !== "truth" ? colours[outcome] : "#fff";
      pen.stroke(path);
    });
    pen.setLineDash([]);
    if (isTold) drawLetters(pen, layer, chosen, { name, left, ratio });
  }
};
const visibleLayers = (run) => [
  { name: "prediction", layer: view.layers[run], box: $("show-predicted") },
  { name: "truth", layer: view.layers.truth, box: $("show-truth") },
].filter(({ layer, box }) => layer && box.checked);
// A letter says what the colour says, once the nucleus is large enough to hold it.
const drawLetters = (pen, layer, chosen, { name, left, ratio }) => {
  pen.save();
  pen.setTransform(ratio, 0, 0, ratio, left * ratio, 0);
  pen.font = "bold 15px system-ui, sans-serif";
  pen.textAlign = "center";
  pen.textBaseline = "middle";
  pen.lineWidth = 3;
  pen.strokeStyle = "#000c";
  for (const { outcome, area, x, y } of layer.marks) {
    const isTold = name === "truth" ? [1, 3, 4].includes(outcome) : outcome === 2;
    if (!isTold || !chosen.has(outcome) || Math.sqrt(area) * view.scale < 22) continue;
    const place = [x * view.scale + view.x, y * view.scale + view.y];
    pen.strokeText(LETTERS[outcome], ...place);
    pen.fillStyle = colours[outcome];
    pen.fillText(LETTERS[outcome], ...place);
  }
  pen.restore();
};

const tell = (event) => {
  const row = rows[view.number];
  const box = stage.getBoundingClientRect();
  const place = Math.min(panes().length - 1, Math.floor((event.clientX - box.left) / paneWidth()));
  const x = Math.floor((event.clientX - box.left - place * paneWidth() - view.x) / view.scale);
  const y = Math.floor((event.clientY - box.top - view.y) / view.scale);
  const isInside = x >= 0 && y >= 0 && x < row.width && y < row.height;
  $("tip").textContent = isInside ? [...tellPixel(x, y), ...tellNuclei(x, y, panes()[place])].join("\n") : "";
};
const tellPixel = (x, y) => {
  const { image, body, border } = view.pixels;
  if (!image) return [];
  const range = payload(view.number).range;
  const levels = [0, 1, 2].map((channel) => unstretch(image(x, y, channel), range));
  const isGrey = Math.max(...levels) - Math.min(...levels) < 8;
  const mean = Math.round((levels[0] + levels[1] + levels[2]) / 3);
  const said = [`row ${y}, column ${x}: ${isGrey ? `level ${mean}` : `RGB ${levels.join(", ")}`}`];
  const maps = [["nucleus", body], ["touching border", border]].filter(([, map]) => map);
  if (maps.length) {
    const values = maps.map(([name, map]) => `${name} ${(map(x, y) / 255).toFixed(2)}`);
    said.push(`probability: ${values.join(", ")}`);
  }
  return said;
};
// Undoes the stretch of the contrast that dark images are shown with.
const unstretch = (level, range) => (range
  ? Math.round(range[0] + (range[1] - range[0]) * (level / 255) ** (1 / page.gamma)) : level);
const tellNuclei = (x, y, run) => {
  const said = [];
  for (const [name, word] of [["truth", "true"], [run, "predicted"]]) {
    const layer = view.layers[name];
    const label = layer ? layer.labels[y * rows[view.number].width + x] : 0;
    if (!label) continue;
    const { area } = layer.marks.find((mark) => mark.label === label);
    const what = layer.outcomes && !(name === "truth" && run === "baseline")
      ? `: ${OUTCOMES[layer.outcomes[label - 1]]}, best IoU ${(layer.iou[label - 1] / 100).toFixed(2)}`
      : "";
    said.push(`${word} nucleus ${label}${what}, ${area} px`);
  }
  return said;
};

const step = (by) => {
  const next = shown[shown.indexOf(view.number) + by];
  if (next !== undefined) show(next);
};
const toggle = (id) => { $(id).checked = !$(id).checked; draw(); };
const chooseMap = (value) => {
  const radio = viewer.querySelector(`[name="map"][value="${value}"]`);
  radio.checked = !radio.closest("fieldset").hidden;
  showMap();
};
const chooseRun = (name) => {
  const radio = viewer.querySelector(`[name="run"][value="${name}"]`);
  if (!radio) return;
  radio.checked = true;
  view.run = name;
  stage.classList.toggle("split", name === "both");
  if (view.isFitted) fit(); else draw();
};
const light = () => {
  const filter = `brightness(${$("brightness").value}%) contrast(${$("contrast").value}%)`;
  for (const [image] of pictures()) image.style.filter = filter;
};
const resetLight = () => {
  $("brightness").value = $("contrast").value = 100;
  light();
};
const toggleOutlines = () => {
  const on = !($("show-truth").checked || $("show-predicted").checked);
  $("show-truth").checked = $("show-predicted").checked = on;
  draw();
};
const KEYS = {
  ArrowLeft: () => step(-1), ArrowRight: () => step(1),
  t: () => toggle("show-truth"), p: () => toggle("show-predicted"), o: toggleOutlines,
  i: () => chooseMap(""), b: () => chooseMap("body"), d: () => chooseMap("border"),
  c: () => chooseRun(view.run === "prediction" ? "baseline" : "prediction"), r: resetLight,
  v: () => chooseRun(view.run === "both" ? "prediction" : "both"),
  "+": () => zoom(1.4), "=": () => zoom(1.4), "-": () => zoom(1 / 1.4), 0: fit,
};
const SHIFTED = {
  ArrowLeft: () => move(60, 0), ArrowRight: () => move(-60, 0),
  ArrowUp: () => move(0, 60), ArrowDown: () => move(0, -60), "+": () => zoom(1.4),
};
viewer.addEventListener("keydown", (event) => {
  const isSetting = event.target.matches('input[type="range"], input[type="radio"]');
  if (event.ctrlKey || event.altKey || event.metaKey) return;
  if (isSetting && event.key.startsWith("Arrow")) return;
  const act = (event.shiftKey && SHIFTED[event.key]) || KEYS[event.key.toLowerCase()] || KEYS[event.key];
  if (!act) return;
  event.preventDefault();
  act();
});
viewer.addEventListener("close", () => {
  writeAddress();
  const elements = grid.hidden ? lines : cards;
  elements[view.number]?.querySelector("button").focus();
});
viewer.addEventListener("input", (event) => {
  if (event.target.matches('[name="map"], #opacity')) showMap();
  else if (event.target.matches("#brightness, #contrast")) light();
  else if (event.target.name === "run") chooseRun(event.target.value);
  else draw();
});
$("previous").addEventListener("click", () => step(-1));
$("next").addEventListener("click", () => step(1));
$("close").addEventListener("click", () => viewer.close());
$("zoom-in").addEventListener("click", () => zoom(1.4));
$("zoom-out").addEventListener("click", () => zoom(1 / 1.4));
$("zoom-fit").addEventListener("click", fit);
$("reset-display").addEventListener("click", resetLight);
stage.addEventListener("wheel", (event) => {
  event.preventDefault();
  const box = stage.getBoundingClientRect();
  const x = (event.clientX - box.left) % paneWidth();
  zoom(Math.exp(-event.deltaY / 400), x, event.clientY - box.top);
}, { passive: false });
stage.addEventListener("pointerdown", (event) => {
  if (!event.target.closest("button")) stage.setPointerCapture(event.pointerId);
});
stage.addEventListener("pointermove", (event) => {
  if (stage.hasPointerCapture(event.pointerId)) move(event.movementX, event.movementY);
  else tell(event);
});
addEventListener("resize", () => { if (viewer.open) { if (view.isFitted) fit(); else draw(); } });

addEventListener("hashchange", readAddress);
readAddress();
