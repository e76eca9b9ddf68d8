// What TypeScript must refuse. Each line after a directive has an error: without one, the directive is the error.
import { SeriProgress, WatchError, watch, type Options, type Task } from "../seri.js";

// @ts-expect-error: a task is named
watch();
// @ts-expect-error: by a text
watch(42);
// @ts-expect-error: there is no such option
watch("id", { tokens: "eyJ…" });
// @ts-expect-error: a token is a text, or what gets one
watch("id", { token: 42 });
// @ts-expect-error: a function that gets a token gets a text
watch("id", { token: () => ({ token: "eyJ…" }) });
// @ts-expect-error: a callback takes a task
watch("id", { onupdate: (task: number) => console.log(task) });
// @ts-expect-error: there is no such state
if (watch("id").task?.state === "finished") console.log("never");
// @ts-expect-error: there may be no task yet
console.log(watch("id").task.state);
// @ts-expect-error: there may be no progress
console.log((watch("id").task as Task).progress.done);
// @ts-expect-error: a result is of the type that was said
watch<{ rows: number }>("id", { onend: (task) => task.result?.columns });
// @ts-expect-error: what is not said of a result is unknown
watch("id", { onend: (task) => task.result.rows });
// @ts-expect-error: what is watched is not to be changed
watch("id").live = true;
// @ts-expect-error: an error has a number as status
new WatchError("404", "there is no such task");
// @ts-expect-error: all states have a word
SeriProgress.words = { done: "Fertig" };
// @ts-expect-error: the element's events are of tasks, whose number is one
document.createElement("seri-progress").addEventListener("seri-end", (event) => event.detail.seq.toUpperCase());
// @ts-expect-error: a function as token answers with a text
document.createElement("seri-progress").token = () => 42;
// @ts-expect-error: nothing else is exported
import { Line } from "../seri.js";

export type { Options, Line };
