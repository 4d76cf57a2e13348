"use strict";

const byId = (id) => document.getElementById(id);
const rows = new Map();
const PRESSED = { pause: "is paused", resume: "goes on", kill: "is killed, and started again" };
let touched = null; // the product that a button changed last

function element(name, text, className) {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  if (className) made.className = className;
  return made;
}

function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

function age(now, time) {
  const seconds = Math.max(0, now - Date.parse(time) / 1000);
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  if (seconds < 120) return `${Math.round(seconds)} s`;
  return `${Math.round(seconds / 60)} min`;
}

function told(side) {
  if (!side || side.deleted) return side ? "deleted" : "–";
  return `${side.price}, ${side.stock}`;
}

function differs(row) {
  if (!row.db) return !(row.redis && row.redis.deleted);
  return !row.redis || row.redis.deleted || row.redis.version !== row.db.version ||
    row.redis.price !== row.db.price || row.redis.stock !== row.db.stock || row.redis.name !== row.db.name;
}

function rowOf(id) {
  if (!rows.has(id)) {
    const line = element("tr");
    for (let column = 0; column < 7; column += 1) line.append(element("td", "", column % 3 || !column ? "" : "age"));
    line.dataset.product = id;
    rows.set(id, line);
  }
  return rows.get(id);
}

function showProducts(shown) {
  const body = byId("products").tBodies[0];
  const seen = new Set();
  let behind = 0;
  for (const row of shown.rows) {
    const line = rowOf(row.id);
    seen.add(row.id);
    const name = row.db ? row.db.name : row.redis && row.redis.name ? row.redis.name : "deleted";
    const texts = [`${row.id} ${name}`,
      row.db ? told(row.db) : "deleted", row.db ? String(row.db.version) : "", row.db ? age(shown.now, row.db.updated_at) : "",
      told(row.redis), row.redis ? String(row.redis.version) : "", row.redis ? age(shown.now, row.redis.updated_at) : ""];
    texts.forEach((text, column) => setText(line.children[column], text));
    if (String(row.id) === touched) showTouched(row);
    const isBehind = differs(row);
    behind += isBehind;
    line.classList.toggle("differs", isBehind);
    if (line.parentNode !== body) body.append(line);
  }
  for (const [id, line] of rows) {
    if (!seen.has(id)) { line.remove(); rows.delete(id); }
  }
  const fresh = byId("fresh");
  setText(fresh, behind ? `${behind} of ${shown.rows.length} products differ` : `All ${shown.rows.length} products are fresh`);
  fresh.className = behind ? "behind" : "all";
}

function milliseconds(value) {
  return value === null || value === undefined ? "–" : value < 1000 ? `${value.toFixed(0)} ms` : `${(value / 1000).toFixed(1)} s`;
}

function showFigures(shown) {
  setText(byId("rate"), shown.rate.toFixed(0));
  setText(byId("p50"), milliseconds(shown.latency && shown.latency.p50));
  setText(byId("p99"), milliseconds(shown.latency && shown.latency.p99));
  setText(byId("lag"), String(shown.lag));
  setText(byId("queued"), shown.queued === null ? "–" : String(shown.queued));
  setText(byId("letters-total"), String(shown.letters_total));
}

function showChart(shown) {
  const points = shown.chart;
  const top = Math.max(50, ...points.map((point) => point.p99 || 0));
  const x = (point) => 590 - (shown.now - point.at) * 9;
  const y = (value) => 125 - (value / top) * 110;
  for (const name of ["p50", "p99"]) {
    const line = points.filter((point) => point[name] !== null && x(point) > 40)
      .map((point) => `${x(point).toFixed(1)},${y(point[name]).toFixed(1)}`).join(" ");
    byId(`line-${name}`).setAttribute("points", line);
  }
  const grid = byId("grid");
  grid.replaceChildren();
  for (const share of [0, 0.5, 1]) {
    const line = document.createElementNS("http://www.w3.org/2000/svg", "line");
    const height = y(top * share);
    for (const [name, value] of [["x1", 45], ["x2", 595], ["y1", height], ["y2", height]]) line.setAttribute(name, value);
    const label = document.createElementNS("http://www.w3.org/2000/svg", "text");
    label.setAttribute("x", 0);
    label.setAttribute("y", height + 4);
    label.textContent = milliseconds(top * share);
    grid.append(line, label);
  }
  for (const seconds of [60, 45, 30, 15, 0]) {
    const label = document.createElementNS("http://www.w3.org/2000/svg", "text");
    label.setAttribute("x", 590 - seconds * 9);
    label.setAttribute("y", 139);
    label.setAttribute("text-anchor", seconds === 60 ? "start" : seconds ? "middle" : "end");
    label.textContent = seconds ? `${seconds} s ago` : "now";
    grid.append(label);
  }
}

function showList(id, texts) {
  const list = byId(id);
  const wanted = texts.length ? texts : ["–"];
  while (list.children.length > wanted.length) list.lastChild.remove();
  wanted.forEach((text, place) => {
    if (!list.children[place]) list.append(element("li"));
    setText(list.children[place], text);
  });
}

function showWorkers(processes) {
  const place = byId("workers");
  for (const [name, state] of Object.entries(processes).filter(([name]) => name.startsWith("worker"))) {
    const id = name.replace(" ", "-");
    let pause = byId(`pause-${id}`);
    if (!pause) {
      pause = element("button");
      pause.id = `pause-${id}`;
      const kill = element("button", `Kill ${name}`, "harm");
      kill.id = `kill-${id}`;
      kill.dataset.do = `demo/processes/${name}/kill`;
      place.append(pause, kill);
    }
    pause.dataset.do = `demo/processes/${name}/${state === "paused" ? "resume" : "pause"}`;
    setText(pause, `${state === "paused" ? "Resume" : "Pause"} ${name}`);
  }
}

function show(shown) {
  showProducts(shown);
  showFigures(shown);
  showChart(shown);
  showWorkers(shown.processes);
  showList("outcomes", Object.entries(shown.outcomes).map(([name, count]) => `${name}: ${count}`));
  showList("letters", shown.letters.slice(0, 8).map((letter) => `${letter.key}: ${letter.reason}`));
  showList("locks", shown.locks.map((lock) => `product ${lock.product}: ${lock.process}`));
  showList("processes", Object.entries(shown.processes).map(([name, state]) => `${name}: ${state}`));
  showTrouble(Object.entries(shown.trouble).map(([name, why]) => `${name} does not answer: ${why}`));
  byId("flower").href = shown.flower;
  byId("wipe").disabled = !shown.may_wipe;
}

function showTrouble(texts) {
  const trouble = byId("trouble");
  trouble.hidden = !texts.length;
  setText(trouble, texts.join(" · "));
}

function inWords(said) {
  const times = said.changed && said.changed.toLocaleString("en");
  if (said.products) return `${times} changes of ${said.products} products are committed.`;
  if (said.product) return `Product ${said.product} is changed${said.changed > 1 ? ` ${times} times` : ""}.`;
  if (said.published) return `Published: ${said.published}. It will be a dead letter.`;
  if (said.process) return `${said.process} ${PRESSED[said.done]}.`;
  return `Wiped: ${said.wiped}. Every task that was queued is lost.`;
}

// What a button did, without having to look for its row.
function showTouched(row) {
  const now = row.db ? `${told(row.db)}, version ${row.db.version}` : "deleted";
  const held = row.redis ? `${told(row.redis)}, version ${row.redis.version}` : "nothing";
  setText(byId("touched"), `Product ${row.id} in the database: ${now}. In Redis: ${held}.`);
}

// Not disabled meanwhile: that would take the focus from whoever uses the keyboard.
async function act(button) {
  if (button.getAttribute("aria-disabled") === "true") return;
  button.setAttribute("aria-disabled", "true");
  try {
    const answer = await fetch(button.dataset.do, { method: "POST" });
    const text = await answer.text();
    const said = answer.headers.get("content-type") === "application/json" ? JSON.parse(text) : { detail: text };
    setText(byId("said"), answer.ok ? inWords(said) : said.detail);
    if (answer.ok && said.product) touched = String(said.product);
  } catch {
    setText(byId("said"), "The shop does not answer.");
  } finally {
    button.removeAttribute("aria-disabled");
  }
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("button[data-do]");
  if (button) act(button);
});

const events = new EventSource("events");
events.onmessage = (event) => show(JSON.parse(event.data));
events.onerror = () => showTrouble(["The shop does not answer; the page goes on when it does."]);
