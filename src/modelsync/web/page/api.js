// What is asked of the worker. Addresses are relative: the page works below any path.
import { encoded } from "./text.js";

const MILLISECONDS = 20_000;

/** Ask for JSON; an answer of one of `expected` is one too. Raises an Error with a sentence for people. */
export async function get(path, expected = [200]) {
  let answer;
  let body = null;
  try {
    answer = await fetch(path, { cache: "no-store", signal: AbortSignal.timeout(MILLISECONDS) });
    body = await answer.json();
  } catch {
    if (answer === undefined) throw new Error("the worker cannot be reached");
  }
  if (body === null || !expected.includes(answer.status)) {
    throw new Error(typeof body?.detail === "string" ? body.detail : `the worker answers ${answer.status}`);
  }
  return { status: answer.status, body };
}

/** The address of a model; its name may have slashes. */
export function modelPath(id) {
  return `api/v1/models/${id.split("/").map(encoded).join("/")}`;
}
