"use strict";
(() => {
  const OUTCOMES = ["hit", "missed", "invented", "merged", "split"];
  const LETTERS = ["", "M", "I", "G", "S"];
  const $ = (id) => document.getElementById(id);
  const rows = JSON.parse($("rows-json").textContent);
  const colours = OUTCOMES.map((name) =>
    getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim());

  // ---- theme -------------------------------------------------------------------------------
  const THEMES = ["auto", "light", "dark"];
  const setTheme = (name) => {
    if (name === "auto") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = name;
    $("theme").querySelector("span").textContent = name;
    $("theme").setAttribute("aria-label",
      `Colour theme: ${name === "auto" ? "as the system" : name}`);
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

  // ---- the table ------------------------------------------------------------------------------
  const body = $("rows").tBodies[0];
  const elements = [...body.rows];
  const seen = new IntersectionObserver((entries) => {
    for (const entry of entries) {
      if (!entry.isIntersecting) continue;
      entry.target.querySelector("img").src = webp(payload(+entry.target.dataset.row).image);
      seen.unobserve(entry.target);
    }
  }, { rootMargin: "300px" });
  elements.forEach((element) => seen.observe(element));

  let shown = rows.map((_, number) => number);
  const SORTS = {
    score: (a, b) => (a.score ?? 2) - (b.score ?? 2),
    best: (a, b) => (b.score ?? -1) - (a.score ?? -1),
    nPredicted: (a, b) => b.nPredicted - a.nPredicted,
    size: (a, b) => b.width * b.height - a.width * a.height,
    id: (a, b) => (a.id < b.id ? -1 : 1),
  };
  const byCount = (name) => (a, b) => (b.counts?.[name] ?? -1) - (a.counts?.[name] ?? -1);
  const form = $("filters");
  const refresh = () => {
    const wanted = new FormData(form);
    const types = wanted.getAll("type");
    const fold = wanted.get("fold") ?? "";
    const outcome = wanted.get("outcome") ?? "";
    const start = (wanted.get("id") ?? "").trim().toLowerCase();
    const sort = wanted.get("sort");
    const compare = SORTS[sort] ?? byCount(sort);
    shown = rows.map((_, number) => number).filter((number) => {
      const row = rows[number];
      return types.includes(row.type) && (fold === "" || row.fold === +fold)
        && (outcome === "" || row.counts?.[outcome] > 0) && row.id.toLowerCase().startsWith(start);
    }).sort((a, b) => compare(rows[a], rows[b]));
    elements.forEach((element) => { element.hidden = true; });
    shown.forEach((number) => { elements[number].hidden = false; body.append(elements[number]); });
    $("count").textContent = `${shown.length} of ${rows.length} images`;
  };
  form.addEventListener("input", refresh);
  form.addEventListener("submit", (event) => event.preventDefault());
  body.addEventListener("click", (event) => {
    const row = event.target.closest("tr");
    if (row) open(+row.dataset.row);
  });

  // ---- outlines -------------------------------------------------------------------------------
  // Walks along the edges between pixels, each nucleus on the right hand, and gives a path for each
  // outcome. `inset` moves the line into the nucleus, so that neighbours do not hide each other.
  const traceOutlines = (labels, width, height, outcomes, inset) => {
    const edges = new Map();
    const areas = new Map();
    const at = (row, column) =>
      (row < 0 || column < 0 || row >= height || column >= width ? 0 : labels[row * width + column]);
    const add = (label, column, row, direction) => {
      if (!edges.has(label)) edges.set(label, new Map());
      const starts = edges.get(label);
      const key = row * (width + 1) + column;
      if (starts.has(key)) starts.get(key).push(direction); else starts.set(key, [direction]);
    };
    for (let row = 0; row < height; row++) {
      for (let column = 0; column < width; column++) {
        const label = labels[row * width + column];
        if (!label) continue;
        const area = areas.get(label) ?? [0, 0, 0];
        area[0]++; area[1] += column + 0.5; area[2] += row + 0.5;
        areas.set(label, area);
        if (at(row - 1, column) !== label) add(label, column, row, 0);
        if (at(row, column + 1) !== label) add(label, column + 1, row, 1);
        if (at(row + 1, column) !== label) add(label, column + 1, row + 1, 2);
        if (at(row, column - 1) !== label) add(label, column, row + 1, 3);
      }
    }
    const paths = OUTCOMES.map(() => new Path2D());
    const marks = [];
    for (const [label, starts] of edges) {
      const outcome = outcomes ? outcomes[label - 1] : 0;
      for (const key of starts.keys()) {
        while (starts.get(key).length) addLoop(paths[outcome], starts, key, width + 1, inset);
      }
      const [area, x, y] = areas.get(label);
      marks.push({ label, outcome, area, x: x / area, y: y / area });
    }
    return { paths, marks };
  };
  const STEPS = [[1, 0], [0, 1], [-1, 0], [0, -1]];
  const addLoop = (path, starts, first, stride, inset) => {
    let key = first;
    let before = -1;
    const corners = [];
    do {
      const free = starts.get(key);
      // Where two loops of one nucleus touch in a corner, turn right: parts joined only by a
      // corner get a loop each.
      const right = free.indexOf((before + 1) % 4);
      const direction = free.splice(before >= 0 && right >= 0 ? right : 0, 1)[0];
      if (direction !== before) corners.push([key, before, direction]);
      key += STEPS[direction][0] + STEPS[direction][1] * stride;
      before = direction;
    } while (key !== first);
    if (corners[0][2] === before) corners.shift(); else corners[0][1] = before;
    corners.forEach(([corner, from, to], number) => {
      const [fromX, fromY] = STEPS[from];
      const [toX, toY] = STEPS[to];
      const x = (corner % stride) - inset * (fromY + toY);
      const y = Math.floor(corner / stride) + inset * (fromX + toX);
      if (number) path.lineTo(x, y); else path.moveTo(x, y);
    });
    path.closePath();
  };

  // ---- the viewer -----------------------------------------------------------------------------
  const viewer = $("viewer");
  const stage = $("stage");
  const canvas = $("outlines");
  const view = { number: -1, scale: 1, x: 0, y: 0, truth: null, predicted: null };

  const open = (number) => {
    if (!viewer.open) viewer.showModal();
    show(number);
    stage.focus();
  };
  const show = async (number) => {
    const row = rows[number];
    const data = payload(number);
    Object.assign(view, { number, truth: null, predicted: null });
    $("viewer-title").textContent = row.id;
    const place = shown.indexOf(number);
    $("viewer-place").textContent = place < 0 ? "" : `${place + 1} of ${shown.length}`;
    $("viewer-facts").textContent = row.alt + (row.fold === null ? "" : `; fold ${row.fold}`);
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
    for (const layer of [$("layer-image"), $("layer-map")]) {
      layer.width = row.width;
      layer.height = row.height;
    }
    $("layer-image").src = webp(data.image);
    $("per-threshold").innerHTML = row.precision ? drawPrecision(row.precision) : "";
    history.replaceState(null, "", `#${row.id}`);
    showMap();
    fit();
    const read = (side) => side && unpackLabels(side.labels, row.width, row.height);
    const [truth, predicted] = await Promise.all([read(data.truth), read(data.predicted)]);
    if (view.number !== number) return;
    view.predicted = side(predicted, data.predicted, row, 0.2);
    view.truth = truth ? side(truth, data.truth, row, 0) : null;
    draw();
    stage.dataset.drawn = row.id;
  };
  const side = (labels, packed, row, inset) => ({
    labels, iou: packed.iou, outcomes: packed.outcomes,
    ...traceOutlines(labels, row.width, row.height, packed.outcomes, inset),
  });

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
    const map = $("layer-map");
    map.hidden = !text;
    if (text) map.src = webp(text);
    map.style.opacity = $("opacity").value / 100;
    $("opacity").disabled = !text;
  };

  const fit = () => {
    const row = rows[view.number];
    const { clientWidth: width, clientHeight: height } = stage;
    view.scale = Math.max(0.05, 0.96 * Math.min(width / row.width, height / row.height));
    view.x = (width - row.width * view.scale) / 2;
    view.y = (height - row.height * view.scale) / 2;
    draw();
  };
  const zoom = (factor, x = stage.clientWidth / 2, y = stage.clientHeight / 2) => {
    const scale = Math.min(64, Math.max(0.05, view.scale * factor));
    view.x = x - (x - view.x) * scale / view.scale;
    view.y = y - (y - view.y) * scale / view.scale;
    view.scale = scale;
    draw();
  };
  const move = (x, y) => { view.x += x; view.y += y; draw(); };

  const draw = () => {
    const ratio = devicePixelRatio || 1;
    canvas.width = stage.clientWidth * ratio;
    canvas.height = stage.clientHeight * ratio;
    $("layers").style.transform = `translate(${view.x}px, ${view.y}px) scale(${view.scale})`;
    const pen = canvas.getContext("2d");
    const chosen = new Set([...document.getElementsByName("outcome-box")]
      .filter((box) => box.checked).map((box) => OUTCOMES.indexOf(box.value)));
    const scale = view.scale * ratio;
    pen.setTransform(scale, 0, 0, scale, view.x * ratio, view.y * ratio);
    pen.lineJoin = "round";
    // The truth is dashed: over the line of a prediction that fits, the dashes vanish.
    const sides = [["predicted", []], ["truth", [5 / view.scale, 3.5 / view.scale]]];
    for (const [name, dash] of sides) {
      if (!view[name] || !$(`show-${name}`).checked) continue;
      pen.setLineDash(dash);
      view[name].paths.forEach((path, outcome) => {
        if (view[name].outcomes && !chosen.has(outcome)) return;
        pen.lineWidth = 3.2 / view.scale;
        pen.strokeStyle = "#0009";
        pen.stroke(path);
        pen.lineWidth = 1.7 / view.scale;
        pen.strokeStyle = colours[outcome];
        pen.stroke(path);
      });
      pen.setLineDash([]);
      if (view[name].outcomes) drawLetters(pen, view[name], chosen, name, ratio);
    }
  };
  // A letter says what the colour says, once the nucleus is large enough to hold it.
  const drawLetters = (pen, layer, chosen, name, ratio) => {
    pen.save();
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    pen.font = "bold 12px system-ui, sans-serif";
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
    const column = Math.floor((event.clientX - box.left - view.x) / view.scale);
    const line = Math.floor((event.clientY - box.top - view.y) / view.scale);
    const inside = column >= 0 && line >= 0 && column < row.width && line < row.height;
    const said = [];
    for (const [name, word] of [["truth", "true"], ["predicted", "predicted"]]) {
      const layer = view[name];
      const label = inside && layer ? layer.labels[line * row.width + column] : 0;
      if (!label) continue;
      const { area } = layer.marks.find((mark) => mark.label === label);
      const what = layer.outcomes
        ? `: ${OUTCOMES[layer.outcomes[label - 1]]}, best IoU ${(layer.iou[label - 1] / 100).toFixed(2)}`
        : "";
      said.push(`${word} nucleus ${label}${what}, ${area} px`);
    }
    $("tip").textContent = said.join("\n");
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
  const toggleOutlines = () => {
    const on = !($("show-truth").checked || $("show-predicted").checked);
    $("show-truth").checked = $("show-predicted").checked = on;
    draw();
  };
  const KEYS = {
    ArrowLeft: () => step(-1), ArrowRight: () => step(1),
    t: () => toggle("show-truth"), p: () => toggle("show-predicted"), o: toggleOutlines,
    i: () => chooseMap(""), b: () => chooseMap("body"), d: () => chooseMap("border"),
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
    history.replaceState(null, "", location.pathname + location.search);
    elements[view.number]?.querySelector("button").focus();
  });
  viewer.addEventListener("input", (event) => {
    if (event.target.matches('[name="map"], #opacity')) showMap(); else draw();
  });
  $("previous").addEventListener("click", () => step(-1));
  $("next").addEventListener("click", () => step(1));
  $("close").addEventListener("click", () => viewer.close());
  $("zoom-in").addEventListener("click", () => zoom(1.4));
  $("zoom-out").addEventListener("click", () => zoom(1 / 1.4));
  $("zoom-fit").addEventListener("click", fit);
  stage.addEventListener("wheel", (event) => {
    event.preventDefault();
    const box = stage.getBoundingClientRect();
    zoom(Math.exp(-event.deltaY / 400), event.clientX - box.left, event.clientY - box.top);
  }, { passive: false });
  stage.addEventListener("pointerdown", (event) => {
    if (!event.target.closest("button")) stage.setPointerCapture(event.pointerId);
  });
  stage.addEventListener("pointermove", (event) => {
    if (stage.hasPointerCapture(event.pointerId)) move(event.movementX, event.movementY);
    else tell(event);
  });
  addEventListener("resize", () => { if (viewer.open) fit(); });

  const asked = rows.findIndex((row) => location.hash === `#${row.id}`);
  if (asked >= 0) open(asked);
})();
