// What is being transferred, how fast, and when it will be there.
import { bytes, duration, el, link, name, setText } from "./text.js";
import { framed } from "./timing.js";

const WINDOW_SECONDS = 10; // a rate is that of the last so many seconds
const STALLED_SECONDS = 5;

const section = document.getElementById("transfers");
const list = section.querySelector("ul");
const none = section.querySelector(".none");
const running = new Map();
let live = false;

export const show = framed(() => {
  const now = performance.now() / 1000;
  for (const item of [...list.children]) {
    if (running.get(item.dataset.model)?.item !== item) item.remove();
  }
  for (const transfer of running.values()) {
    if (!transfer.item) list.append((transfer.item = make(transfer)));
    update(transfer, now);
  }
  setText(none, live ? "Nothing is being transferred." : "Not known while the connection is lost.");
  none.hidden = running.size > 0;
});

/** Take a `progress` event. */
export function progress(told) {
  const now = performance.now() / 1000;
  let transfer = running.get(told.model);
  if (!transfer || transfer.sync !== told.sync_id) {
    transfer = { model: told.model, sync: told.sync_id, have: 0, samples: [], item: null };
    running.set(told.model, transfer);
  }
  transfer.size = told.size_bytes;
  transfer.have = Math.max(transfer.have, told.have_bytes);
  transfer.samples.push([now, transfer.have]);
  while (transfer.samples.length > 2 && transfer.samples[1][0] < now - WINDOW_SECONDS) transfer.samples.shift();
  show();
}

/** A model's sync has ended, and its transfer with it. */
export function end(model) {
  if (running.delete(model)) show();
}

/** The stream begins, and tells anew what runs; or it is lost, and nobody knows. */
export function restart(connected) {
  live = connected;
  running.clear();
  show();
}

function make({ model }) {
  const anchor = el("a", { href: link(model) }, name(model));
  const bar = el("progress", { "aria-label": `transfer of ${model}` });
  return el("li", { "data-model": model }, anchor, bar, el("span", { class: "figures" }));
}

function update(transfer, now) {
  const { have, size, item } = transfer;
  const [anchor, bar, figures] = item.children;
  bar.max = Math.max(size, 1);
  bar.value = size ? have : 1;
  setText(figures, `${bytes(have)} of ${bytes(size)}${pace(transfer, now)}`);
  anchor.title = `${Math.floor((100 * have) / Math.max(size, 1))} %`;
}

function pace({ have, size, samples }, now) {
  if (have >= size) return " · all here, being checked";
  const [first, last] = [samples[0], samples.at(-1)];
  if (now - last[0] >= STALLED_SECONDS) return ` · no bytes for ${duration(now - last[0])}`;
  const seconds = last[0] - first[0];
  const rate = (last[1] - first[1]) / seconds;
  if (seconds < 1 || rate <= 0) return "";
  return ` · ${bytes(rate)}/s · ${duration((size - have) / rate)} left`;
}
