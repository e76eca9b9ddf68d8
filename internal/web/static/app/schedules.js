// The schedules on record, and the list of them. Events say which have changed; what they are now is read from the API.
import { listSchedules, readSchedule, Problem } from "./api.js";
import { find, setNote, setText } from "./dom.js";
import { count } from "./format.js";
import { ScheduleRow } from "./schedulerow.js";

const mostSchedules = 1000; // on the page
const gather = 300; // ms in which changes gather before they are read
const readOneByOne = 10; // changes; more are read as a list
const everything = 60_000; // ms: what a file of schedules changes is no event

export class ScheduleBoard {
  #element = find("#schedule-list");
  #filter = find("#filter");
  #rows = new Map(); // key → ScheduleRow
  #changed = new Map(); // key → {queue, id} of those to be read again
  #all = false; // read all
  #partial = false;
  #loaded = false;
  #timer = 0;
  #reading = false;

  constructor() {
    this.#filter.addEventListener("input", () => this.#draw());
    setInterval(() => { if (!document.hidden) for (const row of this.#rows.values()) row.tick(); }, 1000);
    setInterval(() => { if (!document.hidden) this.#readAll(); }, everything);
  }

  /** Takes a CloudEvent off the stream. */
  receive(event) {
    if (event.type === "dev.seri.snapshot") this.#readAll();
    else if (event.type.startsWith("dev.seri.schedule.")) this.#change(event.data.queue, event.data.schedule);
    else if (event.type.startsWith("dev.seri.task.")) this.#task(event.data);
  }

  /** A task of a tick has another state. */
  #task({ queue, task, state }) {
    const [, id] = /^sched:([A-Za-z0-9._-]+):[0-9]+$/.exec(task) ?? [];
    if (id) this.#rows.get(keyOf(queue, id))?.taskChanged(task, state);
  }

  #change(queue, id) {
    this.#changed.set(keyOf(queue, id), { queue, id });
    this.#soon();
  }

  #readAll() {
    this.#all = true;
    this.#soon();
  }

  #soon() {
    if (!this.#reading) this.#timer ||= setTimeout(() => this.#read(), this.#loaded ? gather : 0);
  }

  async #read() {
    this.#timer = 0;
    this.#reading = true;
    const changed = [...this.#changed.values()];
    const all = this.#all || changed.length > readOneByOne;
    this.#changed.clear();
    this.#all = false;
    try {
      if (all) await this.#readList();
      else await Promise.all(changed.map((one) => this.#readOne(one)));
    } catch (error) {
      console.info("the schedules could not be read:", error.message);
      if (all && !this.#loaded) setNote(find("#more-note"), `The schedules could not be read. ${error.message}`);
    }
    this.#reading = false;
    this.#draw();
    if (this.#all || this.#changed.size > 0) this.#soon();
  }

  async #readList() {
    const found = new Map();
    let cursor;
    do {
      const page = await listSchedules(cursor);
      for (const schedule of page.schedules) found.set(keyOf(schedule.queue, schedule.id), schedule);
      cursor = page.next;
    } while (cursor && found.size < mostSchedules);
    this.#partial = Boolean(cursor);
    this.#loaded = true;
    for (const key of this.#rows.keys()) if (!found.has(key)) this.#drop(key);
    for (const schedule of found.values()) this.#put(schedule);
  }

  async #readOne({ queue, id }) {
    try {
      this.#put(await readSchedule(queue, id));
    } catch (error) {
      if (error instanceof Problem && error.status === 404) this.#drop(keyOf(queue, id));
      else throw error;
    }
  }

  #put(schedule) {
    const key = keyOf(schedule.queue, schedule.id);
    const row = this.#rows.get(key);
    if (row) row.update(schedule);
    else this.#rows.set(key, new ScheduleRow(schedule, (answer) => this.#put(answer)));
  }

  #drop(key) {
    const row = this.#rows.get(key);
    if (!row) return;
    if (row.element.contains(document.activeElement)) find("#schedules").focus({ preventScroll: true });
    row.element.remove();
    this.#rows.delete(key);
  }

  #draw() {
    const wanted = this.#filter.value.trim().toLowerCase();
    let shown = 0;
    let place = this.#element.firstElementChild;
    for (const key of [...this.#rows.keys()].sort()) {
      const row = this.#rows.get(key);
      row.element.hidden = wanted !== "" && !row.text.includes(wanted);
      if (!row.element.hidden) shown++;
      if (row.element === place) place = place.nextElementSibling;
      else this.#element.insertBefore(row.element, place);
    }
    if (!this.#loaded) return;
    find("#empty").hidden = shown > 0;
    setText(find("#empty-text"), this.#rows.size === 0
      ? "No schedules yet. Put some into a beat's file, or make one with PUT /v1/schedules/{id}."
      : "No schedule contains that.");
    setNote(find("#more-note"), this.#partial ? `The first ${count(this.#rows.size, "schedule")} are shown.` : "");
  }
}

function keyOf(queue, id) {
  return `${id}\n${queue}`;
}
