// The table of models: one page after the other, never all of a large volume; rows follow the events.
import { get, modelPath } from "./api.js";
import { Row } from "./row.js";
import { counted, number, setText } from "./text.js";
import { framed, paced, pause } from "./timing.js";

const PAGE = 50;
const MOST = 1000; // rows; beyond that names are to be narrowed
const MOST_SINGLY = 8; // rows that are read one by one; more are read at once
const MOST_ASKED = 20; // pages that may be empty before the reader is asked
const AGAIN_MILLISECONDS = 2000;

const section = document.getElementById("models");
const table = document.getElementById("models-table");
const problem = document.getElementById("models-problem");
const count = document.getElementById("models-count");
const more = document.getElementById("more");

const rows = new Map();
const dirty = new Set();
const standing = new Map();
let filter = { contains: "", state: "" };
let next = null;
let goal = PAGE; // how many rows are wanted
let generation = 0;
let loading = false;

/** Show only models whose names have this in them, and that are in this state. */
export function choose(wanted) {
  if (wanted.contains === filter.contains && wanted.state === filter.state) return;
  filter = wanted;
  next = null;
  goal = PAGE;
  generation += 1;
  for (const row of rows.values()) row.body.remove();
  rows.clear();
  setText(count, "…");
  more.hidden = true;
  reload();
}

/** Read what is shown anew. */
export const reload = paced(() => load(), 500);

more.addEventListener("click", () => {
  goal = Math.max(goal, rows.size) + PAGE;
  if (loading) reload();
  else load(next);
});

/** A model's sync has begun, or an event told how it stands: the row says so at once. */
export function stands(id, state, reason) {
  if (rows.has(id)) {
    standing.set(id, [state, reason]);
    showStanding();
  }
}

const showStanding = framed(() => {
  for (const [id, [state, reason]] of standing) rows.get(id)?.stands(state, reason);
  standing.clear();
});

/** A model has changed: it is read anew, if it is among those that are shown or belongs there. */
export function changed(id) {
  if (document.hidden) return; // all is read anew when somebody looks again
  if (!rows.has(id) && !belongs(id)) return;
  dirty.add(id);
  refresh();
}

function belongs(id) {
  const named = id.toLowerCase().includes(filter.contains.toLowerCase());
  return named && (next === null ? rows.size < MOST : id <= next);
}

const refresh = paced(async () => {
  if (dirty.size > MOST_SINGLY) {
    await load();
    await pause(AGAIN_MILLISECONDS);
    return;
  }
  for (const id of [...dirty]) {
    dirty.delete(id);
    const asked = generation;
    try {
      const { status, body } = await get(modelPath(id), [200, 404]);
      if (asked === generation) take(id, status === 200 ? body : null);
    } catch (error) {
      fail(error);
      return;
    }
  }
}, 250);

function take(id, view) {
  standing.delete(id);
  const row = rows.get(id);
  const wanted = view && (!filter.state || view.state === filter.state || (row && view.state === "syncing"));
  if (!wanted) {
    row?.body.remove();
    rows.delete(id);
  } else if (row) {
    row.update(view);
  } else {
    const after = [...rows.keys()].find((other) => other > id);
    rows.set(id, new Row(view));
    table.insertBefore(rows.get(id).body, rows.get(after)?.body ?? null);
    if (after !== undefined) sort();
  }
  told();
}

function sort() {
  const sorted = [...rows].sort(([one], [other]) => (one < other ? -1 : 1));
  rows.clear();
  for (const [id, row] of sorted) rows.set(id, row);
}

/** Read as many models as are wanted, or those that come after a name. */
async function load(after = "") {
  generation += 1;
  const mine = generation;
  const wanted = Math.min(Math.max(goal, rows.size), MOST) - (after === "" ? 0 : rows.size);
  const found = [];
  if (after === "") {
    dirty.clear();
    standing.clear();
  }
  loading = true;
  section.setAttribute("aria-busy", "true");
  let from = after;
  try {
    for (let asked = 0; from !== null && found.length < wanted && asked < MOST_ASKED; asked += 1) {
      const query = new URLSearchParams({ limit: wanted - found.length, after: from, contains: filter.contains });
      if (filter.state) query.set("state", filter.state);
      const { body } = await get(`api/v1/models?${query}`);
      if (mine !== generation) return;
      found.push(...body.models);
      from = body.next;
    }
  } catch (error) {
    if (mine === generation) fail(error);
    return;
  }
  loading = false;
  next = from;
  place(found, after !== "");
  section.removeAttribute("aria-busy");
  problem.hidden = true;
  table.classList.remove("stale");
  told();
}

/** Put models into the table in their order; rows that are there already stay what they are. */
function place(found, appending) {
  const before = appending ? [...rows.values()] : [];
  const placed = found.map((view) => {
    const row = rows.get(view.id) ?? new Row(view);
    row.update(view);
    return row;
  });
  const all = [...new Set([...before, ...placed])].slice(0, MOST);
  const kept = new Set(all);
  for (const row of rows.values()) if (!kept.has(row)) row.body.remove();
  rows.clear();
  let at = table.tBodies[0] ?? null;
  for (const row of all) {
    rows.set(row.view.id, row);
    if (row.body === at) at = at.nextElementSibling;
    else table.insertBefore(row.body, at);
  }
}

function fail(error) {
  loading = false;
  setText(problem, `The models cannot be read now: ${error.message}. What is shown may be old; trying again.`);
  problem.hidden = false;
  table.classList.add("stale");
  section.removeAttribute("aria-busy");
  setTimeout(reload, AGAIN_MILLISECONDS * 2);
}

function told() {
  const views = [...rows.values()].map((row) => row.view);
  table.hidden = views.length === 0;
  table.classList.toggle("no-rollout", !views.some((view) => view.rollout));
  table.classList.toggle("no-signer", !views.some((view) => view.signer || view.unsigned));
  more.hidden = next === null || rows.size >= MOST;
  const filtered = filter.contains || filter.state;
  if (rows.size >= MOST && next !== null) setText(count, `The first ${number(MOST)}: a part of the name finds others.`);
  else if (next !== null) setText(count, `The first ${number(rows.size)}; there are more.`);
  else if (views.length > 0) setText(count, `${counted(views.length, "model")}${filtered ? " like that" : ""}`);
  else if (filtered) setText(count, "No model is like that.");
  else setText(count, "No models yet: nothing is on the volume, and the bucket is not known to have any.");
}
