// What the table shows, by name and state; kept in the address, so that it can be shared.
import { mark, number, el, setText } from "./text.js";

const STATES = ["published", "syncing", "waiting", "rejected", "failing", "gone", "evicted", "absent"];
const TYPING_MILLISECONDS = 200;

const form = document.getElementById("filter");
const contains = document.getElementById("contains");
const states = document.getElementById("states");
const choices = new Map();

/** Make the choices; `chosen` is called with each new one. */
export function start(chosen) {
  let typing;
  const tell = () => chosen({ contains: contains.value.trim(), state: new FormData(form).get("state") ?? "" });
  for (const state of ["", ...STATES]) {
    const input = el("input", { type: "radio", name: "state", value: state });
    const word = el("span");
    mark(word, state || "all");
    const figure = el("span", { class: "count" });
    const label = el("label", { class: "choice" }, input, word, figure);
    choices.set(state, { input, figure, label });
    states.append(label);
    input.addEventListener("change", tell);
  }
  contains.addEventListener("input", () => {
    clearTimeout(typing);
    typing = setTimeout(tell, TYPING_MILLISECONDS);
  });
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    tell();
  });
  counts({});
}

/** Show what is chosen. */
export function show(wanted) {
  if (contains.value.trim() !== wanted.contains) contains.value = wanted.contains;
  (choices.get(wanted.state) ?? choices.get("")).input.checked = true;
  hide();
}

/** Show how many models there are in each state. */
export function counts(models) {
  for (const [state, { figure }] of choices) {
    const count = state === "" ? Object.values(models).reduce((sum, one) => sum + one, 0) : models[state] ?? 0;
    setText(figure, count ? number(count) : "");
  }
  hide();
}

/** A state that no model is in is no choice. */
function hide() {
  for (const [state, { input, figure, label }] of choices) {
    label.hidden = state !== "" && !figure.textContent && !input.checked;
  }
}
