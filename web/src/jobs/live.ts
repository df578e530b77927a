/** News of jobs: server-sent events, and polling while they do not come. */

import { ApiError, api, type Job } from "../api";

const POLL_MS = 3000;
const POLLS_PER_CHECK = 10; // a dead line tells nothing

export interface Listener {
  /** One job changed. */
  job: (job: Job) => void;
  /** One job was removed, perhaps in another tab. */
  removed: (id: string) => void;
  /** The whole list, on every connection and every poll. */
  all: (jobs: Job[]) => void;
  /** Whether the server answers. */
  reachable: (reachable: boolean) => void;
}

/** Follow all jobs until the page goes away. */
export function follow(listener: Listener): void {
  let source: EventSource | null = null;
  let failures = 0;
  let polls = 0;

  const list = async () => {
    try {
      listener.all(await api.jobs());
      failures = 0;
      listener.reachable(true);
    } catch (error) {
      failures += 1;
      // One lost request is no news: a restart of the server takes a moment.
      if (error instanceof ApiError && error.status === 0 && failures > 1)
        listener.reachable(false);
    }
  };

  const connect = () => {
    source?.close();
    source = new EventSource(api.eventsUrl);
    source.addEventListener("open", () => void list());
    source.addEventListener("job", (event) => {
      listener.job(JSON.parse((event as MessageEvent<string>).data) as Job);
    });
    source.addEventListener("deleted", (event) => {
      listener.removed((JSON.parse((event as MessageEvent<string>).data) as { id: string }).id);
    });
  };

  const tick = async () => {
    polls += 1;
    if (source?.readyState !== EventSource.OPEN || polls % POLLS_PER_CHECK === 0) await list();
    // The browser tries again by itself, but not after an error status.
    if (source?.readyState === EventSource.CLOSED) connect();
    setTimeout(tick, POLL_MS);
  };

  void list().then(() => {
    connect();
    setTimeout(tick, POLL_MS);
  });
}
