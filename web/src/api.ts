/** The server's REST interface, as the page uses it. */

export type JobState = "queued" | "running" | "done" | "failed" | "cancelled" | "expired";

export interface Stem {
  name: string;
  url: string;
  pieces_url: string;
  size_bytes: number;
  peaks_url: string;
}

export interface JobOptions {
  model: string | null;
  stems: string[] | null;
  format: string;
  bit_depth: string | null;
}

export interface Job {
  id: string;
  name: string;
  state: JobState;
  position: number | null;
  progress: number;
  seconds_left: number | null;
  message: string | null;
  created_at: string;
  expires_at: string | null;
  options: JobOptions;
  duration_seconds: number | null;
  sample_rate_hz: number | null;
  stems: Stem[];
  original: { pieces_url: string; peaks_url: string } | null;
  archive_url: string | null;
  stem_mp4_url: string | null;
}

export interface Model {
  name: string;
  sources: string[];
  summary: string;
  licence: string;
  is_default: boolean;
}

export interface Options {
  formats: { name: string; bit_depths: string[] }[];
  limits: {
    upload_bytes: number | null;
    duration_seconds: number | null;
    jobs_per_client: number | null;
  };
  expires_after_seconds: number | null;
}

export interface Peaks {
  channels: number;
  sample_rate_hz: number;
  samples_per_point: number;
  length: number;
  data: number[];
}

export interface MixRequest {
  stems: Record<string, { gain_db: number; pan: number; muted: boolean }>;
  format: string;
  bit_depth: string | null;
}

/** What the server answered instead of a result, or that it did not answer (status 0). */
export class ApiError extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    message: string,
    readonly retryAfterSeconds: number | null = null,
  ) {
    super(message);
  }
}

const BASE = "/api/v1";
const KEY_NAME = "stemlight-key";
const NO_ANSWER = "The server does not answer. Look whether “stemlight serve” still runs.";

let askForKey: (() => Promise<string>) | null = null;
let asking: Promise<void> | null = null;

/** Set what asks the person for the server's API key when a call was answered with 401. */
export function onKeyNeeded(ask: () => Promise<string>): void {
  askForKey = ask;
}

/** The headers that identify this page, for requests that are not made through `call`. */
export function keyHeaders(): Record<string, string> {
  const key = sessionStorage.getItem(KEY_NAME);
  return key ? { Authorization: `Bearer ${key}` } : {};
}

/** Turn an answer's status and body into the error that it means. */
export function errorOf(status: number, body: string, retryAfter: string | null = null): ApiError {
  if (status === 0) return new ApiError(0, "no_answer", NO_ANSWER);
  let code = `http_${status}`;
  let message = `The server answered ${status}. Try again; its log says more.`;
  try {
    const told = JSON.parse(body) as { error?: { code?: string; message?: string } };
    code = told.error?.code ?? code;
    message = told.error?.message ?? message;
  } catch {
    // Not ours, for example of a proxy in between: the status says all that is known.
  }
  const seconds = retryAfter === null ? Number.NaN : Number(retryAfter);
  return new ApiError(status, code, message, Number.isFinite(seconds) ? seconds : null);
}

/** Fetch with the key; ask for the key once if it is missing or wrong. */
export async function call(path: string, init: RequestInit = {}): Promise<Response> {
  for (;;) {
    let response: Response;
    try {
      response = await fetch(path, { ...init, headers: { ...keyHeaders(), ...init.headers } });
    } catch (error) {
      if (init.signal?.aborted) throw error;
      throw errorOf(0, "");
    }
    if (response.ok) return response;
    const error = errorOf(
      response.status,
      await response.text(),
      response.headers.get("Retry-After"),
    );
    if (error.status !== 401 || askForKey === null) throw error;
    await openSession();
  }
}

/** Ask for the key and open a session with it, once for all who wait. */
export function openSession(): Promise<void> {
  asking ??= (async () => {
    try {
      for (;;) {
        const key = await (askForKey as () => Promise<string>)();
        const answer = await fetch(`${BASE}/session`, json("POST", { key })).catch(() => null);
        if (answer?.ok) {
          sessionStorage.setItem(KEY_NAME, key);
          return;
        }
      }
    } finally {
      asking = null;
    }
  })();
  return asking;
}

const json = (method: string, body: unknown): RequestInit => ({
  method,
  body: JSON.stringify(body),
  headers: { "Content-Type": "application/json" },
});

const get = async <T>(path: string): Promise<T> => (await call(path)).json() as Promise<T>;
const of = (id: string) => `${BASE}/jobs/${encodeURIComponent(id)}`;

export const api = {
  models: () => get<Model[]>(`${BASE}/models`),
  options: () => get<Options>(`${BASE}/options`),
  jobs: async (): Promise<Job[]> => {
    const answer = await get<Job[] | { jobs: Job[] }>(`${BASE}/jobs`);
    return Array.isArray(answer) ? answer : answer.jobs;
  },
  job: (id: string) => get<Job>(of(id)),
  cancel: (id: string) => call(`${of(id)}/cancel`, { method: "POST" }),
  remove: (id: string) => call(of(id), { method: "DELETE" }),
  peaks: (url: string) => get<Peaks>(url),
  spectrogram: (id: string, name: string) =>
    call(`${of(id)}/spectrogram/${encodeURIComponent(name)}`),
  mix: (id: string, mix: MixRequest) => call(`${of(id)}/mix`, json("POST", mix)),
  submitUrl: `${BASE}/jobs`,
  eventsUrl: `${BASE}/jobs/events`,
};
