// Says politely, for those who do not see the list, which tasks have ended.
import { find } from "./dom.js";
import { count, shortId } from "./format.js";

const pause = 1000; // ms between announcements, so that a burst is one sentence

let finished = [];
let timer;

export function announce(task) {
  finished.push(task);
  timer ??= setTimeout(speak, pause);
}

function speak() {
  const tasks = finished;
  finished = [];
  timer = undefined;
  find("#announcer").textContent = tasks.length <= 2
    ? tasks.map((task) => `${task.type} ${shortId(task.id)} ${task.state}.`).join(" ")
    : `${count(tasks.length, "task")} ended: ${summary(tasks)}.`;
}

function summary(tasks) {
  const byState = Map.groupBy(tasks, (task) => task.state);
  return [...byState].map(([state, group]) => `${group.length} ${state}`).join(", ");
}
