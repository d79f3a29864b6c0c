// Elements and words. Everything that the API says is hostile text: it goes into text nodes and nowhere else.

/** Make an element; children that are no nodes become text. */
export function el(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== null && value !== undefined) made.setAttribute(name, value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

/** Set an element's text; what stays the same is not touched, so that a selection stays too. */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

export function setTitle(element, text) {
  if (text) element.title = text;
  else element.removeAttribute("title");
}

/** A name that somebody chose: what it does to the direction of writing ends with it. */
export function name(text) {
  return el("bdi", {}, text);
}

/** A part of an address. Half a character, which a key may have in it, is none and would raise. */
export function encoded(text) {
  return encodeURIComponent(text.toWellFormed?.() ?? text);
}

/** The address of a model's details. */
export function link(id) {
  return `#model=${encoded(id)}`;
}

const SHORT = 12;

/** A revision or a fingerprint, short; the whole of it in the title. */
export function short(text) {
  return text.length > SHORT + 4 ? `${text.slice(0, SHORT)}…` : text;
}

const UNITS = ["B", "KiB", "MiB", "GiB", "TiB"];

export function bytes(count) {
  let value = count;
  let unit = 0;
  while (value >= 1000 && unit < UNITS.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${unit === 0 || value >= 100 ? Math.round(value) : value.toFixed(1)} ${UNITS[unit]}`;
}

export function duration(seconds) {
  if (seconds < 60) return `${Math.max(Math.round(seconds), 0)} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  if (seconds < 129600) return `${Math.round(seconds / 3600)} h`;
  return `${Math.round(seconds / 86400)} d`;
}

export function number(count) {
  return count.toLocaleString("en");
}

export function counted(count, noun) {
  return `${number(count)} ${noun}${count === 1 ? "" : "s"}`;
}

const TONES = {
  published: "good", success: "good", healthy: "good", back: "good",
  syncing: "busy", downloading: "busy", started: "busy",
  waiting: "calm", evicted: "calm", absent: "calm",
  gone: "warn", stopping: "warn", degraded: "warn", unpublished: "warn", overdue: "warn",
  rejected: "bad", failing: "bad", failed: "bad", damaged: "bad", unhealthy: "bad",
  "reconcile failed": "bad",
}; // prettier-ignore

/** The class that colours a word; the word itself says the same. */
export function tone(word) {
  return Object.hasOwn(TONES, word) ? TONES[word] : "calm";
}

/** Make an element a coloured word. */
export function mark(element, word) {
  element.className = `mark ${tone(word)}`;
  setText(element, word);
}
