// The page: the stream says what changed, the API how it stands, and each part shows its own.
import * as activity from "./activity.js";
import { get } from "./api.js";
import * as detail from "./detail.js";
import * as filter from "./filter.js";
import * as health from "./health.js";
import * as models from "./models.js";
import { follow } from "./stream.js";
import { setText } from "./text.js";
import { clock, setClock, tick } from "./time.js";
import { paced } from "./timing.js";
import * as transfers from "./transfers.js";

const SECOND = 1000;
const LOOK_SECONDS = 30; // what no event tells of: what consumers run, what other replicas do

const banner = document.getElementById("banner");
const connection = document.getElementById("connection");
const version = document.getElementById("version");

// Where the page is: #model=… for one model, #name=…&state=… for some.

function route() {
  const asked = new URLSearchParams(location.hash.slice(1));
  const model = asked.get("model");
  const wanted = { contains: asked.get("name") ?? "", state: asked.get("state") ?? "" };
  detail.choose(model);
  activity.choose(model);
  document.getElementById("models").hidden = model !== null;
  if (model !== null) return;
  filter.show(wanted);
  models.choose(wanted);
}

filter.start(({ contains, state }) => {
  const wanted = new URLSearchParams();
  if (contains) wanted.set("name", contains);
  if (state) wanted.set("state", state);
  history.replaceState(null, "", `#${wanted}`);
  route();
});
addEventListener("hashchange", route);

// How things stand.

const summarize = paced(async () => {
  try {
    const { body } = await get("api/v1/summary");
    setText(version, body.version);
    setClock(body.at);
    filter.counts(body.models);
  } catch {
    // the next look finds it
  }
}, 2 * SECOND);

function look() {
  models.reload();
  detail.ask();
  health.ask();
  summarize();
}

// What changes.

let lostAt = null;

function opened() {
  lostAt = null;
  banner.hidden = true;
  document.body.className = "live";
  connection.className = "mark good";
  setText(connection, "live");
  transfers.restart(true);
  activity.reload();
  look();
}

function lost() {
  lostAt ??= Date.now() / 1000;
  document.body.className = "lost";
  connection.className = "mark bad";
  setText(connection, "not live");
  setText(banner, `Connection lost since ${clock(lostAt)}, trying again. What is shown is from then.`);
  banner.hidden = false;
  transfers.restart(false);
  health.lost();
}

function changed(model) {
  models.changed(model);
  detail.changed(model);
  summarize();
}

function event(kind, data) {
  if (kind === "progress") transfers.progress(data);
  else if (kind === "health") health.ask();
  else if (kind === "activity") {
    activity.add(data);
    if (data.model !== null) changed(data.model);
  } else if (kind === "sync" && data.state === "syncing") {
    models.stands(data.model, data.state, data.reason);
    detail.changed(data.model);
  } else if (kind === "sync") {
    transfers.end(data.model);
    changed(data.model);
    health.ask();
  }
}

setInterval(() => {
  tick();
  if (lostAt === null) transfers.show();
}, SECOND);
setInterval(() => {
  if (!document.hidden && lostAt === null) look();
}, LOOK_SECONDS * SECOND);
document.addEventListener("visibilitychange", () => {
  if (!document.hidden && lostAt === null) look();
});

route();
follow("api/v1/events", { opened, event, lost });
