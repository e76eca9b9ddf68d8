// The page of Seri: forms that enqueue tasks, and a list of all tasks that follows them live.
//
//   stream ──CloudEvents──▶ store ──keys of changed tasks──▶ list ──▶ rows
//   forms  ──POST──▶ API ──answer──▶ store
import { readTask } from "./app/api.js";
import { announce } from "./app/announce.js";
import { keys } from "./app/auth.js";
import { observe } from "./app/clock.js";
import { connectionIndicator } from "./app/connection.js";
import { find } from "./app/dom.js";
import { setUpForm } from "./app/forms.js";
import { TaskList } from "./app/list.js";
import { showPreview } from "./app/preview.js";
import { TaskStore } from "./app/store.js";
import { LiveStream } from "./app/stream.js";
import { tabs } from "./app/tabs.js";

const store = new TaskStore({
  read: readTask,
  onChange: (key) => list.changed(key),
  onReplace: () => list.replaced(),
  onFinished: announce,
});
const list = new TaskList(store);

for (const form of document.querySelectorAll("form[data-type]")) {
  setUpForm(form, {
    onEnqueued: (task) => store.put(task),
    onShow: (task) => list.show(task),
  });
}
tabs(find("[role=tablist]"), (panel) => showPreview(find("form", panel)));

const stream = new LiveStream({
  onEvent(event) {
    observe(event.time);
    store.receive(event);
  },
  onStatus: connectionIndicator(() => stream.retryNow()),
});
keys.addEventListener("change", () => stream.retryNow()); // the key may have been given for a form
stream.run();
