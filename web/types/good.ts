// What a page does with seri.js. scripts/types.sh has the compiler of TypeScript check it against seri.d.ts.
import { SeriProgress, WatchError, watch, type Options, type Progress, type State, type Task, type TokenSource, type Watch } from "../seri.js";

interface Receipt {
  message_id: string;
}

// As an iterator, with the type of the result.
async function wait(id: string, token: string): Promise<string | undefined> {
  const controller = new AbortController();
  for await (const task of watch<Receipt>(id, { token, url: new URL("https://seri.example.com"), queue: "mail", signal: controller.signal })) {
    const state: State = task.state;
    const progress: Progress | undefined = task.progress;
    console.log(state, progress?.done, progress?.total, progress?.message, task.seq.toFixed());
    if (task.state === "succeeded") return task.result?.message_id;
  }
  return undefined;
}

// By callbacks.
const later: TokenSource = async () => "eyJ…";
const options: Options<Receipt> = {
  token: later,
  onupdate: (task: Task<Receipt>) => console.log(task.attempt, task.worker, task["anything"]),
  onend(task) {
    if (task.result) console.log(task.result.message_id);
  },
  onerror: (error: WatchError) => console.log(error.status + 1, error.message, error instanceof Error),
  onconnection: (live: boolean) => console.log(live),
};
const watching: Watch<Receipt> = watch<Receipt>("id", options);
const ended: Promise<Task<Receipt>> = watching.done;
const seen: Task<Receipt> | undefined = watching.task;
watching.close();

// What is not said of a result is unknown, and no options are needed.
const result: unknown = watch("id").task?.result;

// The element.
const element: SeriProgress = document.createElement("seri-progress");
element.token = () => "eyJ…";
element.addEventListener("seri-end", (event) => console.log(event.detail.state, event.detail.id));
element.addEventListener("seri-error", (event) => console.log(event.detail.status));
document.querySelector("seri-progress")?.value?.state.toUpperCase();
SeriProgress.words = { ...SeriProgress.words, done: "Fertig" };

export { wait, ended, seen, result };
