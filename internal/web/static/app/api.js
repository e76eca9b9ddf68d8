// The calls of the HTTP API that the page makes, and its errors (RFC 9457, application/problem+json).
import { authorizedFetch } from "./auth.js";

/** An answer other than 2xx. fields lists what the server says about single fields, by their path in the request. */
export class Problem extends Error {
  constructor(status, message, fields = []) {
    super(message);
    this.status = status;
    this.fields = fields;
  }
}

export function enqueue(request) {
  return call("POST", "/v1/tasks", request);
}

export function readTask(queue, id, signal) {
  return call("GET", taskPath(queue, id), undefined, signal);
}

export function revoke(queue, id) {
  return call("DELETE", taskPath(queue, id));
}

export function readLog(queue, id, signal) {
  return call("GET", taskPath(queue, id, "/logs"), undefined, signal);
}

export function listSchedules(cursor) {
  return call("GET", `/v1/schedules?limit=200${cursor ? `&cursor=${encodeURIComponent(cursor)}` : ""}`);
}

export function readSchedule(queue, id) {
  return call("GET", schedulePath(queue, id));
}

export function pauseSchedule(queue, id, note) {
  return call("POST", schedulePath(queue, id, "/pause"), { note });
}

export function resumeSchedule(queue, id) {
  return call("POST", schedulePath(queue, id, "/resume"));
}

export function triggerSchedule(queue, id) {
  return call("POST", schedulePath(queue, id, "/trigger"));
}

export function scheduleTicks(queue, id) {
  return call("GET", `${schedulePath(queue, id, "/next")}&n=5&calendar=true`);
}

export function scheduleHistory(queue, id) {
  return call("GET", `${schedulePath(queue, id, "/history")}&limit=10`);
}

export function previewSchedule(definition, signal) {
  return call("POST", "/v1/schedules/preview?n=5&calendar=true", definition, signal);
}

function schedulePath(queue, id, what = "") {
  return `/v1/schedules/${encodeURIComponent(id)}${what}?queue=${encodeURIComponent(queue)}`;
}

function taskPath(queue, id, part = "") {
  return `/v1/tasks/${encodeURIComponent(id)}${part}?queue=${encodeURIComponent(queue)}`;
}

/** Returns the JSON of the answer, undefined if it has none. Throws Problem, KeyMissing or fetch's TypeError. */
async function call(method, path, body, signal) {
  const response = await authorizedFetch(path, {
    method,
    signal,
    headers: body === undefined ? {} : { "Content-Type": "application/json" },
    body: body === undefined ? undefined : JSON.stringify(body),
  });
  const text = await response.text();
  const json = parse(text);
  if (!response.ok) throw asProblem(response, json, text);
  return json;
}

function parse(text) {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function asProblem(response, json, text) {
  const { status } = response;
  if (typeof json !== "object" || json === null) {
    return new Problem(status, text.trim().slice(0, 300) || `The server answered ${status}.`);
  }
  const fields = (Array.isArray(json.errors) ? json.errors : [])
    .filter((e) => typeof e === "object" && e !== null)
    .map((e) => ({ field: fieldPath(e.location ?? e.pointer ?? e.field ?? ""), message: sentence(e.message ?? e.detail ?? "is not valid") }));
  return new Problem(status, sentence(json.detail || json.title || `The server answered ${status}.`), fields);
}

/** "body.payload.sizes[0]" and "#/payload/sizes/0" both name "payload.sizes.0". */
function fieldPath(location) {
  return String(location)
    .replace(/^#?\/|^body\.?/, "")
    .replace(/\[(\d+)\]/g, ".$1")
    .replaceAll("/", ".");
}

function sentence(text) {
  text = String(text).trim();
  return text.charAt(0).toUpperCase() + text.slice(1) + (/[.!?]$/.test(text) ? "" : ".");
}
