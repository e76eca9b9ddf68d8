// A task's own log, below its details. It is read while the details are open: again when the task has changed, and from
// time to time while it runs. What tasks write becomes text and nothing else.
import { readLog } from "./api.js";
import { make, setNote } from "./dom.js";

const settle = 400; // ms after a change until the log is read: lines come in a quarter of a second late
const again = 2000; // ms between readings while the task runs
const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit", fractionalSecondDigits: 3 });

export class Log {
  #element;
  #note;
  #task;
  #timer;
  #reading; // AbortController of the reading under way
  #drawn; // the text of the answer that is on show

  constructor(element, note) {
    this.#element = element;
    this.#note = note;
  }

  /** Shows the log of a task, from now until hide. To be called again whenever the task has changed. */
  show(task) {
    const changed = this.#task?.seq !== task.seq;
    this.#task = task;
    if (this.#timer === undefined && this.#reading === undefined) this.#read();
    else if (changed) this.#schedule(settle);
  }

  hide() {
    clearTimeout(this.#timer);
    this.#reading?.abort();
    this.#timer = this.#reading = this.#task = this.#drawn = undefined;
    this.#element.hidden = true;
  }

  #schedule(wait) {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#read(), wait);
  }

  async #read() {
    clearTimeout(this.#timer);
    this.#reading?.abort();
    const reading = this.#reading = new AbortController();
    const task = this.#task;
    this.#timer = 0; // a reading is due, now
    try {
      this.#draw(await readLog(task.queue, task.id, reading.signal));
      setNote(this.#note, "");
    } catch (error) {
      if (!reading.signal.aborted) setNote(this.#note, `The log cannot be read: ${error.message}`);
    }
    if (reading.signal.aborted) return;
    if (this.#task.seq !== task.seq) this.#schedule(settle);
    else if (this.#task.state === "active") this.#schedule(again);
  }

  #draw(log) {
    const text = JSON.stringify(log);
    if (text === this.#drawn) return;
    this.#drawn = text;
    const lines = Array.isArray(log?.lines) ? log.lines : [];
    const follow = this.#element.scrollTop + this.#element.clientHeight >= this.#element.scrollHeight - 8;
    const rows = lines.map(line);
    if (log?.cut) rows.unshift(make("li", { class: "log-cut", text: "There is more than is shown here." }));
    this.#element.replaceChildren(...rows);
    this.#element.hidden = rows.length === 0;
    if (follow) this.#element.scrollTop = this.#element.scrollHeight;
  }
}

function line({ time, level, message, attempt, attrs }) {
  const date = new Date(time);
  const row = make("li", { "data-level": String(level) },
    make("time", { datetime: String(time), text: Number.isNaN(date.getTime()) ? String(time) : clock.format(date) }), " ");
  if (level && level !== "INFO") row.append(make("b", { text: String(level) }), " ");
  row.append(String(message));
  const facts = Object.entries(attrs ?? {}).map(([name, value]) => `${name}=${typeof value === "string" ? value : JSON.stringify(value)}`);
  if (attempt > 1) facts.push(`attempt=${attempt}`);
  if (facts.length > 0) row.append(" ", make("span", { class: "log-facts", text: facts.join(" ") }));
  return row;
}
