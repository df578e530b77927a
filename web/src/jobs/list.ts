/** The list of jobs as a value: what the server told, put together. No DOM here. */

import type { Job, JobState } from "../api";

const FINAL: ReadonlySet<JobState> = new Set(["done", "failed", "cancelled", "expired"]);

export const isFinal = (job: Job): boolean => FINAL.has(job.state);

/** Newest first; of equal times the greater id, so that the order never jumps. */
function newestFirst(a: Job, b: Job): number {
  if (a.created_at !== b.created_at) return a.created_at < b.created_at ? 1 : -1;
  return a.id < b.id ? 1 : -1;
}

/** Put one job's news into the list. News of a running job never undo the end of one. */
export function mergeJob(jobs: readonly Job[], news: Job): Job[] {
  const known = jobs.find((job) => job.id === news.id);
  if (known && isFinal(known) && !isFinal(news)) return [...jobs];
  return [...jobs.filter((job) => job.id !== news.id), news].sort(newestFirst);
}

/** Replace the list by the server's, which alone knows what was removed. */
export function replaceJobs(jobs: readonly Job[]): Job[] {
  return [...jobs].sort(newestFirst);
}

export function withoutJob(jobs: readonly Job[], id: string): Job[] {
  return jobs.filter((job) => job.id !== id);
}

/** What to tell a reader of the screen about the step from one list to the next. */
export function newsOf(before: readonly Job[], after: readonly Job[]): string[] {
  const states = new Map(before.map((job) => [job.id, job.state]));
  const told: Partial<Record<JobState, (job: Job) => string>> = {
    running: (job) => `${job.name}: separating`,
    done: (job) => `${job.name}: stems are ready`,
    failed: (job) => `${job.name} failed: ${job.message ?? "no reason was told"}`,
    cancelled: (job) => `${job.name}: cancelled`,
  };
  return after
    .filter((job) => states.has(job.id) && states.get(job.id) !== job.state)
    .flatMap((job) => told[job.state]?.(job) ?? []);
}
