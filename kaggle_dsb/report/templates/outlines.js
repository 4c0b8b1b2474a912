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
