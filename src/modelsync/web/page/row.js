// One model in the table: a row, and below it why readers do not see what the bucket has, if so.
import { el, link, mark, name, setText, setTitle, short } from "./text.js";
import { when } from "./time.js";

const COLUMNS = 7;

/** How many consumers run what readers see. */
export function rolloutText(rollout) {
  return rollout ? `${rollout.current} of ${rollout.consumers}` : "";
}

export class Row {
  constructor(view) {
    this.body = el("tbody");
    this.why = el("tr", { class: "why" }, el("td", { colspan: COLUMNS }));
    this.pinned = el("span", { class: "badge" }, "pinned");
    this.state = el("span");
    this.cells = {
      revision: el("td", { class: "code" }),
      published: el("td"),
      step: el("td", { class: "step" }),
      rollout: el("td", { class: "rollout" }),
      signer: el("td", { class: "signer code" }),
    };
    const model = el("th", { scope: "row" }, el("a", { href: link(view.id) }, name(view.id)), " ", this.pinned);
    this.body.append(el("tr", {}, model, el("td", {}, this.state), ...Object.values(this.cells)), this.why);
    this.update(view);
  }

  /** Show a model as it stands. */
  update(view) {
    const same = JSON.stringify(view);
    if (same === this.shown) return;
    this.shown = same;
    this.view = view;
    const { revision, published, step, rollout, signer } = this.cells;
    this.pinned.hidden = !view.pinned;
    setText(revision, view.revision ? short(view.revision) : "–");
    revision.classList.toggle("none", view.revision === null);
    setTitle(revision, view.revision);
    published.replaceChildren(when(view.revision ? view.published_at : null));
    step.replaceChildren(when(view.synced_at));
    setText(rollout, rolloutText(view.rollout));
    rollout.classList.toggle("partly", view.rollout !== null && !view.rollout.complete);
    setText(signer, view.signer ? short(view.signer) : view.unsigned ? "nobody" : "");
    setTitle(signer, view.signer ?? view.unsigned);
    this.stands(view.state, view.reason);
  }

  /** Show how it stands, which an event told; the rest follows. */
  stands(state, reason) {
    if (state !== this.view.state) this.shown = null;
    this.view = { ...this.view, state, reason };
    mark(this.state, state);
    setText(this.why.firstChild, reason ?? "");
    this.why.hidden = !reason;
  }
}
