// The page of schedules: a list that follows them live, and a preview of what is not saved.
//
//   stream ──events of schedules and of their tasks──▶ board ──reads what has changed──▶ rows
//   preview ──POST──▶ API ──ticks, calendar──▶ preview
import { keys } from "./app/auth.js";
import { observe } from "./app/clock.js";
import { connectionIndicator } from "./app/connection.js";
import { setUpPreview } from "./app/schedulepreview.js";
import { ScheduleBoard } from "./app/schedules.js";
import { LiveStream } from "./app/stream.js";

const board = new ScheduleBoard();
setUpPreview();

const stream = new LiveStream({
  onEvent(event) {
    observe(event.time);
    board.receive(event);
  },
  onStatus: connectionIndicator(() => stream.retryNow()),
});
keys.addEventListener("change", () => stream.retryNow());
stream.run();
