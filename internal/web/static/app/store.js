// What the page knows of every task: the snapshot, plus every later event, in order and once.
import { Problem } from "./api.js";
import { evolve } from "./evolve.js";

const refetchesAtOnce = 3; // a browser opens six connections a host over HTTP/1.1, and the stream holds one
const mostTasks = 5000; // kept in memory; the oldest ended ones go first

export const states = ["scheduled", "pending", "active", "retrying", "succeeded", "failed", "revoked"];

export function isTerminal(state) {
  return state === "succeeded" || state === "failed" || state === "revoked";
}

/** An id is unique in its queue only. */
export function keyOf(task) {
  return `${task.queue}\n${task.id}`;
}

/** Tasks by key. Events are numbered 1, 2, 3, … within a task: one that is known already is dropped, and when one is
 *  missing the task is read again, its later events waiting until then.
 *
 *  read(queue, id, signal) returns a task from the API.
 *  onChange(key) is called for every task that has changed or gone, onReplace() when all have,
 *  onFinished(task) when an event ends a task. */
export class TaskStore {
  /** Whether the server has more tasks than its snapshot held. */
  partial = false;
  #read;
  #listener;
  #tasks = new Map(); // key → task
  #held = new Map(); // key → events that wait for a task to be read
  #toRead = [];
  #reading = 0;
  #life = new AbortController(); // ends with the next snapshot, and with it every read under way

  constructor({ read, onChange, onReplace, onFinished }) {
    this.#read = read;
    this.#listener = { onChange, onReplace, onFinished };
  }

  get size() { return this.#tasks.size; }
  get(key) { return this.#tasks.get(key); }
  all() { return this.#tasks.values(); }

  /** Takes a CloudEvent off the stream. */
  receive(event) {
    if (event.type === "dev.seri.snapshot") this.#replace(event.data);
    else if (event.type.startsWith("dev.seri.task.")) this.#change(event);
  }

  /** Takes a task that the API has returned, unless events have told more since. */
  put(task) {
    const key = keyOf(task);
    const known = this.#tasks.get(key);
    this.#tasks.set(key, known && known.seq > task.seq ? withTerms(known, task) : { ...task, worker: known?.worker });
    this.#listener.onChange(key);
  }

  #replace({ tasks, truncated }) {
    this.partial = truncated === true;
    this.#life.abort();
    this.#life = new AbortController();
    this.#held.clear();
    this.#toRead = [];
    this.#tasks = new Map((tasks ?? []).map((task) => [keyOf(task), task]));
    this.#listener.onReplace();
  }

  #change(event) {
    const { queue, task: id, seq } = event.data;
    const key = keyOf({ queue, id });
    const waiting = this.#held.get(key);
    if (waiting) {
      waiting.push(event);
      return;
    }
    const known = this.#tasks.get(key);
    if (known && isReborn(known, event)) this.#tasks.delete(key);
    else if (known && seq <= known.seq) return;
    else if (seq > (known?.seq ?? 0) + 1) {
      this.#readAgain(key, queue, id, [event]);
      return;
    }
    this.#accept(key, event);
    if (event.data.truncated) this.#readAgain(key, queue, id, []);
  }

  #accept(key, event) {
    const before = this.#tasks.get(key);
    const after = evolve(before, event);
    this.#tasks.set(key, after);
    this.#listener.onChange(key);
    if (isTerminal(after.state) && !(before && isTerminal(before.state))) this.#listener.onFinished(after);
    if (this.#tasks.size > mostTasks) this.#forgetOldest();
  }

  #readAgain(key, queue, id, events) {
    this.#held.set(key, events);
    this.#toRead.push({ key, queue, id });
    this.#readNext();
  }

  #readNext() {
    while (this.#reading < refetchesAtOnce && this.#toRead.length > 0) {
      this.#reading++;
      this.#readOne(this.#toRead.shift(), this.#life.signal).finally(() => {
        this.#reading--;
        this.#readNext();
      });
    }
  }

  async #readOne({ key, queue, id }, signal) {
    try {
      this.put(await this.#read(queue, id, signal));
    } catch (error) {
      if (signal.aborted) return;
      // Gone (404) or out of reach: the events alone still tell the state.
      if (!(error instanceof Problem)) console.info("a task could not be read:", error.message);
    }
    if (signal.aborted) return; // a snapshot has come meanwhile
    const events = this.#held.get(key) ?? [];
    this.#held.delete(key);
    for (const event of events) {
      if (event.data.seq > (this.#tasks.get(key)?.seq ?? 0)) this.#accept(key, event);
    }
  }

  #forgetOldest() {
    for (const [key, task] of this.#tasks) {
      if (this.#tasks.size <= mostTasks * 0.9) return;
      if (!isTerminal(task.state)) continue;
      this.#tasks.delete(key);
      this.#listener.onChange(key);
    }
  }
}

/** Events do not carry a task's arguments and terms; an answer of the API that is older than the last event does. */
function withTerms(known, answer) {
  const { payload, payload_base64, headers, max_retries, timeout, retention, expires_at, deadline } = answer;
  return { payload, payload_base64, headers, max_retries, timeout, retention, expires_at, deadline, ...known };
}

/** A task that has ended can be deleted and its id used anew; its numbers then begin again. */
function isReborn(known, event) {
  return event.data.seq === 1 && isTerminal(known.state) && Date.parse(event.time) > Date.parse(known.finished_at ?? "");
}
