// One step in a task's life: the task before, an event, the task after. Pure.

/** task may be undefined, for the first event that is seen of it. */
export function evolve(task, event) {
  const { data, time } = event;
  const next = {
    ...task,
    id: data.task,
    type: data.type,
    queue: data.queue,
    owner: data.owner ?? task?.owner,
    state: data.state,
    reason: data.reason,
    seq: data.seq,
    attempt: data.attempt ?? task?.attempt ?? 0,
    worker: data.worker ?? task?.worker,
    enqueued_at: task?.enqueued_at ?? time,
  };
  switch (event.type.slice("dev.seri.task.".length)) {
    case "queued":
      return { ...next, due_at: undefined, progress: undefined, result: undefined, finished_at: undefined };
    case "scheduled":
      return { ...next, due_at: data.due_at, progress: undefined };
    case "started":
      return { ...next, started_at: time, due_at: undefined, progress: undefined };
    case "progress":
      return { ...next, progress: data.progress };
    case "retrying":
      return { ...next, due_at: data.due_at, error: data.error, progress: undefined };
    case "succeeded":
      return { ...next, finished_at: time, result: data.result, error: undefined };
    case "failed":
      return { ...next, finished_at: time, error: data.error ?? task?.error };
    case "revoked":
      return { ...next, finished_at: time };
    default:
      return next;
  }
}
