// One model: what readers see of it, what is kept, what was refused and why, and who runs what.
import { get, modelPath } from "./api.js";
import { el, mark, name, short } from "./text.js";
import { paced } from "./timing.js";
import { when } from "./time.js";
import { rolloutText } from "./row.js";

const MOST_CONSUMERS = 200;

const section = document.getElementById("detail");
let model = null;
let shown = "";

/** Show a model, or none: null. */
export function choose(id) {
  if (id === model) return;
  model = id;
  shown = "";
  section.hidden = id === null;
  section.replaceChildren(...(id === null ? [] : [head(id)]));
  if (id === null) return;
  section.querySelector("h2").focus();
  ask();
}

/** A model has changed. */
export function changed(id) {
  if (id === model && !document.hidden) ask(); // all is read anew when somebody looks again
}

/** Read it anew. */
export const ask = paced(async () => {
  const id = model;
  if (id === null) return;
  try {
    const { status, body } = await get(modelPath(id), [200, 404]);
    if (id !== model) return;
    const nobody = "There is no such model, neither on the volume nor known in the bucket.";
    if (status === 404) show(null, [el("p", { class: "none" }, nobody)]);
    else if (JSON.stringify(body) !== shown) show(JSON.stringify(body), parts(body));
  } catch (error) {
    const told = `It cannot be read now: ${error.message}.`;
    if (id === model) show(null, [el("p", { class: "problem", role: "status" }, told)]);
  }
}, 300);

function show(what, nodes) {
  shown = what;
  const [title, back] = section.children;
  section.replaceChildren(title, back, ...nodes);
}

function head(id) {
  const title = el("h2", { id: "detail-title", tabindex: -1 }, name(id));
  const frame = document.createDocumentFragment();
  const json = el("a", { href: modelPath(id) }, "JSON");
  frame.append(title, el("p", { class: "back" }, el("a", { href: "#" }, "All models"), " ", json));
  return frame;
}

function parts(view) {
  const state = el("span");
  mark(state, view.state);
  return [
    el("p", { class: "stands" }, state, ...(view.pinned ? [" ", el("span", { class: "badge" }, "pinned")] : [])),
    view.reason ? el("p", { class: "reason" }, view.reason) : null,
    facts(view),
    ...refusal(view.refusal),
    ...revisions(view.revisions),
    ...consumers(view),
  ].filter(Boolean);
}

function facts(view) {
  const list = el("dl");
  const add = (term, ...what) => list.append(el("dt", {}, term), el("dd", {}, ...what));
  add("Readers see", view.revision ? el("code", {}, view.revision) : "nothing");
  if (view.revision) add("Published", when(view.published_at));
  add("In step with the bucket", when(view.synced_at));
  if (view.event_at !== null) add("Last change in S3 heard of", when(view.event_at));
  if (view.signer) add("Signed by", el("code", {}, view.signer));
  if (view.unsigned) add("Signed by", "nobody who counts: ", view.unsigned);
  return list;
}

function refusal(told) {
  if (!told) return [];
  const list = el("dl");
  const add = (term, ...what) => list.append(el("dt", {}, term), el("dd", {}, ...what));
  add("Revision", el("code", {}, told.revision));
  add("Rule", el("code", {}, told.rule));
  if (told.path) add("File", el("code", {}, name(told.path)));
  add("Reason", told.reason);
  add("Refused", when(told.rejected_at));
  return [el("h3", {}, "Last refused"), list];
}

function revisions(kept) {
  if (kept.length === 0) return [];
  const lines = kept.map((one) => [
    el("code", { title: one.revision }, one.revision),
    one.current ? "current" : "kept",
    one.current ? "now" : one.superseded_at === null ? "never" : when(one.superseded_at),
  ]);
  return [el("h3", {}, "Revisions on the volume"), table(["Revision", "State", "Seen until"], lines)];
}

function consumers({ consumers: all, rollout, revision }) {
  if (all.length === 0) return [];
  const lines = all.slice(0, MOST_CONSUMERS).map((one) => [
    name(one.name),
    el("code", { title: one.revision }, short(one.revision)),
    one.revision === revision ? "what readers see" : "another",
    when(one.reported_at),
  ]);
  const title = el("h3", {}, `Consumers: ${rolloutText(rollout)} run it`);
  const rest = all.length - lines.length;
  const list = table(["Consumer", "Revision", "Which is", "Reported"], lines);
  return [title, list, rest > 0 ? el("p", { class: "none" }, `and ${rest} more`) : null];
}

function table(heads, lines) {
  const row = (tag, cells) => el("tr", {}, ...cells.map((cell) => el(tag, tag === "th" ? { scope: "col" } : {}, cell)));
  return el("table", {}, el("thead", {}, row("th", heads)), el("tbody", {}, ...lines.map((cells) => row("td", cells))));
}
