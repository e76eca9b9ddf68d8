// A React hook: const { task, live, error } = useTask(id, token).
import { watch } from "https://seri.example.com/seri.js"; // or from "@seri-queue/live"

const { useEffect, useState } = globalThis.React; // with a bundler: import { useEffect, useState } from "react"

/** Watches a task for as long as the component is there. token may be a function that gets one: keep it stable, as by useCallback. */
export function useTask(id, token) {
  const [seen, setSeen] = useState({ live: false });
  useEffect(() => {
    const update = (news) => setSeen((before) => ({ ...before, ...news }));
    setSeen({ live: false });
    const watching = watch(id, {
      token,
      onupdate: (task) => update({ task }),
      onconnection: (live) => update({ live }),
      onerror: (error) => update({ error }),
    });
    return () => watching.close();
  }, [id, token]);
  return seen;
}
