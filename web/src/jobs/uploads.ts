/** Sending songs: one after the other, with progress, and again where the queue is full. */

import { ApiError, api, errorOf, type Job, type JobOptions, keyHeaders, openSession } from "../api";
import { size } from "../words";

const RETRIES = 20;

export interface Upload {
  readonly file: File;
  readonly options: JobOptions;
  state: "waiting" | "sending" | "pausing" | "failed";
  sentShare: number;
  message: string;
}

export interface UploadListener {
  changed: (uploads: readonly Upload[]) => void;
  accepted: (job: Job) => void;
}

/** Why a file need not be sent at all, or null. */
export function refusal(file: { size: number; name: string }, limit: number | null): string | null {
  if (file.size === 0) return "The file is empty. Choose one that holds sound.";
  if (limit !== null && file.size > limit) {
    return `The file has ${size(file.size)}, this server takes up to ${size(limit)}. Choose a shorter song, or one in MP3 or FLAC.`;
  }
  return null;
}

export class Uploads {
  private uploads: Upload[] = [];
  private request: XMLHttpRequest | null = null;
  private current: Upload | null = null;
  limit: number | null = null;

  constructor(private readonly listener: UploadListener) {}

  add(files: readonly File[], options: JobOptions): void {
    for (const file of files) {
      const message = refusal(file, this.limit);
      const state = message === null ? "waiting" : "failed";
      this.uploads.push({ file, options, state, sentShare: 0, message: message ?? "" });
    }
    this.tell();
    void this.work();
  }

  remove(upload: Upload): void {
    this.uploads = this.uploads.filter((other) => other !== upload);
    if (upload === this.current) this.request?.abort();
    this.tell();
  }

  /** Whether leaving the page would lose something. */
  get busy(): boolean {
    return this.uploads.some((upload) => upload.state !== "failed");
  }

  private tell(): void {
    this.listener.changed(this.uploads);
  }

  private async work(): Promise<void> {
    if (this.current !== null) return;
    for (;;) {
      const next = this.uploads.find((upload) => upload.state === "waiting");
      if (next === undefined) return;
      this.current = next;
      await this.deliver(next);
      this.current = null;
    }
  }

  private async deliver(upload: Upload): Promise<void> {
    for (let trial = 0; this.uploads.includes(upload); trial += 1) {
      try {
        upload.state = "sending";
        this.tell();
        const job = await this.send(upload);
        this.uploads = this.uploads.filter((other) => other !== upload);
        this.listener.accepted(job);
        this.tell();
        return;
      } catch (error) {
        if (!(error instanceof ApiError)) return; // taken back
        if (error.status === 401) {
          await openSession();
          continue;
        }
        if (error.status !== 429 || error.retryAfterSeconds === null || trial >= RETRIES) {
          upload.state = "failed";
          upload.message = error.message;
          this.tell();
          return;
        }
        upload.state = "pausing";
        upload.message = `${error.message} Sent again in ${error.retryAfterSeconds} s.`;
        this.tell();
        await new Promise((done) => setTimeout(done, (error.retryAfterSeconds ?? 1) * 1000));
      }
    }
  }

  private send(upload: Upload): Promise<Job> {
    return new Promise((resolve, reject) => {
      const request = new XMLHttpRequest();
      this.request = request;
      request.open("POST", api.submitUrl);
      for (const [name, value] of Object.entries(keyHeaders())) {
        request.setRequestHeader(name, value);
      }
      request.upload.addEventListener("progress", (event) => {
        if (event.lengthComputable) upload.sentShare = event.loaded / event.total;
        this.tell();
      });
      request.addEventListener("abort", () => reject(new DOMException("", "AbortError")));
      request.addEventListener("error", () => reject(errorOf(0, "")));
      request.addEventListener("load", () => {
        if (request.status < 300) resolve(JSON.parse(request.responseText) as Job);
        else {
          const wait = request.getResponseHeader("Retry-After");
          reject(errorOf(request.status, request.responseText, wait));
        }
      });
      const form = new FormData();
      form.append("options", JSON.stringify(upload.options));
      form.append("file", upload.file);
      request.send(form);
    });
  }
}
