// What happened lately: the log first, then what the stream adds to it.
import { get } from "./api.js";
import { el, encoded, link, mark, name, setText } from "./text.js";
import { framed, paced } from "./timing.js";
import { when } from "./time.js";

const MOST = 100;

const section = document.getElementById("activity");
const title = section.querySelector("h2");
const list = section.querySelector("ol");
const none = section.querySelector(".none");
let entries = [];
let arrived = []; // by the stream, since the last frame
let model = null;

const show = framed(() => {
  if (arrived.length > 0) entries = newest([...arrived.reverse(), ...entries]);
  arrived = [];
  const wanted = new Set(entries);
  for (const item of [...list.children]) if (!wanted.has(item.entry)) item.remove();
  let next = list.firstElementChild;
  for (const entry of entries) {
    if (next?.entry === entry) next = next.nextElementSibling;
    else list.insertBefore(make(entry), next);
  }
  none.hidden = entries.length > 0;
});

/** Take an `activity` event. */
export function add(told) {
  if (model !== null && told.model !== model) return;
  arrived.push(told);
  if (arrived.length > 2 * MOST) arrived = arrived.slice(-MOST); // a hidden page has no frames
  show();
}

/** Read the log anew. */
export const reload = paced(async () => {
  const asked = model;
  const before = new Set(entries);
  const one = asked === null ? "" : `&model=${encoded(asked)}`;
  try {
    const { body } = await get(`api/v1/activity?limit=${MOST}${one}`);
    if (asked !== model) return;
    // What came while this was read is in both, or in the stream alone; what was there before is told anew.
    entries = newest([...entries.filter((entry) => !before.has(entry)), ...body.activity]);
    show();
  } catch (error) {
    setText(none, error.message);
  }
}, 1000);

/** Show the activity of one model, or of all: null. */
export function choose(id) {
  if (id === model) return;
  model = id;
  entries = [];
  arrived = [];
  title.replaceChildren("Activity", ...(id === null ? [] : [" of ", name(id)]));
  show();
  reload();
}

function newest(some) {
  const seen = new Set();
  return some
    .filter((entry) => {
      const key = JSON.stringify([entry.at, entry.kind, entry.model, entry.revision, entry.reason]);
      return !seen.has(key) && seen.add(key);
    })
    .sort((one, other) => other.at - one.at)
    .slice(0, MOST);
}

function make(entry) {
  const kind = el("span");
  mark(kind, entry.kind);
  const about = entry.model === null ? null : el("a", { href: link(entry.model) }, name(entry.model));
  const item = el("li", {}, el("div", {}, kind, " ", about), when(entry.at), el("p", {}, entry.reason));
  item.entry = entry;
  return item;
}
