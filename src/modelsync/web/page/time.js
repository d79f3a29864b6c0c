// Times as the worker's clock has them: the browser's may be wrong.
import { duration, el, setText } from "./text.js";

let ahead = 0;

/** Take what the worker's clock says now, in seconds since the epoch. */
export function setClock(at) {
  ahead = at - Date.now() / 1000;
}

export function clock(at) {
  return new Date(at * 1000).toLocaleTimeString([], { hour12: false });
}

/** How long ago something was, or for how long it has been so; it goes on with the time. */
export function when(at, lasting = false) {
  if (typeof at !== "number") return el("span", { class: "none" }, "–");
  const date = new Date(at * 1000);
  const valid = !Number.isNaN(date.getTime());
  const made = el("time", { "data-at": at, datetime: valid ? date.toISOString() : null });
  if (lasting) made.dataset.lasting = "";
  made.title = `${lasting ? "since " : ""}${valid ? date.toLocaleString() : at}`;
  setText(made, words(at, lasting));
  return made;
}

function words(at, lasting) {
  const seconds = Date.now() / 1000 + ahead - at;
  if (seconds < 10) return lasting ? "just now" : "now";
  const past = duration(seconds < 60 ? Math.floor(seconds / 10) * 10 : seconds);
  return lasting ? `for ${past}` : `${past} ago`;
}

/** Bring all times that are shown up to now. */
export function tick() {
  for (const element of document.querySelectorAll("time[data-at]")) {
    setText(element, words(Number(element.dataset.at), "lasting" in element.dataset));
  }
}
