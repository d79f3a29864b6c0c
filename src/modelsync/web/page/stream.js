// The stream of events. Not an EventSource, which cannot see the comments by which a silent stream differs from a dead
// one, and which gives up for ever when it is sent away once.
import { pause } from "./timing.js";

const SILENCE_MILLISECONDS = 40_000; // a comment comes every 15 s
const FIRST_MILLISECONDS = 1000;
const MOST_MILLISECONDS = 15_000;
const MOST_CHARACTERS = 1 << 20;

/** Read the stream for ever. `opened` is called at each beginning, `lost` at each end, `event` in between. */
export async function follow(path, { opened, event, lost }) {
  let wait = FIRST_MILLISECONDS;
  for (;;) {
    try {
      await read(
        path,
        () => {
          wait = FIRST_MILLISECONDS;
          opened();
        },
        event,
      );
    } catch (error) {
      console.info("stream:", error.message);
    }
    lost();
    await pause(wait * (0.75 + Math.random() / 2));
    wait = Math.min(wait * 2, MOST_MILLISECONDS);
  }
}

async function read(path, opened, event) {
  const ending = new AbortController();
  let watch;
  const heard = () => {
    clearTimeout(watch);
    watch = setTimeout(() => ending.abort(new Error("it is silent")), SILENCE_MILLISECONDS);
  };
  heard();
  try {
    const answer = await fetch(path, { cache: "no-store", signal: ending.signal });
    if (!answer.ok) throw new Error(`status ${answer.status}`);
    opened();
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    let rest = "";
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      heard();
      const blocks = (rest + value).split("\n\n");
      rest = blocks.pop();
      if (rest.length > MOST_CHARACTERS) throw new Error("an event is too long");
      for (const block of blocks) tell(block, event);
    }
  } finally {
    clearTimeout(watch);
    ending.abort();
  }
}

function tell(block, event) {
  const fields = {};
  for (const line of block.split("\n")) {
    const [, field, value] = /^([^:]*):? ?(.*)$/s.exec(line);
    fields[field] = value;
  }
  if (fields.event && fields.data) event(fields.event, JSON.parse(fields.data));
}
