// Health: the verdict and each check. Not all that changes it is told by the stream, so it is asked for.
import { get } from "./api.js";
import { el, mark, name, setText } from "./text.js";
import { paced } from "./timing.js";
import { when } from "./time.js";

const list = document.querySelector("#health ul");
const verdict = document.getElementById("verdict");
let shown = "";

/** Ask for it, soon. */
export const ask = paced(async () => {
  try {
    const { body } = await get("health", [200, 503]);
    show(body);
  } catch {
    lost();
  }
}, 1000);

/** Nobody knows any more. */
export function lost() {
  shown = "";
  mark(verdict, "unknown");
  list.classList.add("stale");
  document.title = "modelsync: not connected";
}

function show(body) {
  if (JSON.stringify(body) === shown) return;
  shown = JSON.stringify(body);
  mark(verdict, body.status);
  list.classList.remove("stale");
  document.title = `modelsync: ${body.status}`;
  const open = new Map([...list.children].map((item) => [item.dataset.check, item]));
  const items = Object.entries(body.checks).map(([check, told]) => {
    const item = open.get(check) ?? make(check);
    update(item, told);
    return item;
  });
  list.replaceChildren(...items);
}

function make(check) {
  const since = el("span", { class: "since" });
  return el("li", { "data-check": check }, el("b", {}, name(check)), el("span"), since, el("p"));
}

function update(item, { status, reason, since }) {
  const [, word, time, why] = item.children;
  mark(word, status);
  time.replaceChildren(when(since, true));
  setText(why, reason);
}
