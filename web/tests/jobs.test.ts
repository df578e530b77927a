import { describe, expect, it } from "vitest";
import { errorOf, type Job } from "../src/api";
import { mergeJob, newsOf, replaceJobs } from "../src/jobs/list";
import { refusal } from "../src/jobs/uploads";

function job(id: string, news: Partial<Job> = {}): Job {
  return {
    id,
    name: `${id}.mp3`,
    state: "queued",
    position: null,
    progress: 0,
    seconds_left: null,
    message: null,
    created_at: "2026-01-01T00:00:00Z",
    expires_at: null,
    options: { model: null, stems: null, format: "wav", bit_depth: null },
    duration_seconds: null,
    sample_rate_hz: null,
    stems: [],
    original: null,
    archive_url: null,
    stem_mp4_url: null,
    ...news,
  };
}

describe("the list of jobs", () => {
  it("shows the newest first and keeps the order of equals", () => {
    const later = job("b", { created_at: "2026-01-02T00:00:00Z" });
    expect(replaceJobs([job("a"), later, job("c")]).map(({ id }) => id)).toEqual(["b", "c", "a"]);
  });

  it("has each job once, as last told", () => {
    const jobs = mergeJob(mergeJob([], job("a")), job("a", { state: "running", progress: 0.5 }));
    expect(jobs.map(({ id, progress }) => [id, progress])).toEqual([["a", 0.5]]);
  });

  it("lets no late news undo the end of a job", () => {
    const done = mergeJob([], job("a", { state: "done" }));
    expect(mergeJob(done, job("a", { state: "running" }))[0]?.state).toBe("done");
    expect(mergeJob(done, job("a", { state: "expired" }))[0]?.state).toBe("expired");
  });

  it("tells changes of state, and nothing of what was there or is new", () => {
    const before = [job("a"), job("b", { state: "running" }), job("c", { state: "running" })];
    const after = [
      job("a", { state: "running" }),
      job("b", { state: "failed", message: "no sound in it" }),
      job("c", { state: "running", progress: 0.9 }),
      job("d", { state: "done" }),
    ];
    expect(newsOf(before, after)).toEqual(["a.mp3: separating", "b.mp3 failed: no sound in it"]);
    expect(newsOf([], after)).toEqual([]);
  });
});

describe("files", () => {
  it("that are empty or too large are refused before they are sent, with numbers", () => {
    expect(refusal({ name: "a", size: 0 }, null)).toMatch("empty");
    expect(refusal({ name: "a", size: 3e6 }, 2e6)).toMatch("3 MB, this server takes up to 2 MB");
    expect(refusal({ name: "a", size: 2e6 }, 2e6)).toBeNull();
  });
});

describe("errors", () => {
  it("say what the server says", () => {
    const body = JSON.stringify({ error: { code: "queue_full", message: "Full. Wait." } });
    const error = errorOf(429, body, "7");
    expect([error.code, error.message, error.retryAfterSeconds]).toEqual([
      "queue_full",
      "Full. Wait.",
      7,
    ]);
  });
  it("have words where the answer is not the server's", () => {
    expect(errorOf(502, "<html>").message).toMatch("answered 502");
    expect(errorOf(0, "").message).toMatch("stemlight serve");
  });
});
