// When things are done: never more often than can be seen.

/** Have work done once in the next frame, however often it is asked for; not while the page is hidden. */
export function framed(work) {
  let asked = false;
  return () => {
    if (asked) return;
    asked = true;
    requestAnimationFrame(() => {
      asked = false;
      work();
    });
  };
}

/** Have asynchronous work done soon, one at a time and at most once in so many milliseconds. */
export function paced(work, milliseconds) {
  let asked = false;
  let running = false;
  async function run() {
    running = true;
    while (asked) {
      asked = false;
      try {
        await work();
      } catch (error) {
        console.error(error); // the next time may be better
      }
      await pause(milliseconds);
    }
    running = false;
  }
  return () => {
    asked = true;
    if (!running) run();
  };
}

export function pause(milliseconds) {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}
