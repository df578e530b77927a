/** A stand-in for the server: jobs that take some seconds and give synthetic stems. */

import type { IncomingMessage, ServerResponse } from "node:http";
import type { Connect, Plugin } from "vite";
import type { Job } from "../src/api";
import { peaks, RATE_HZ, SECONDS, STEMS, wav } from "./sound.ts";

const CSP =
  "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; media-src 'self' blob:; connect-src 'self'; font-src 'self'; worker-src 'self' blob:; form-action 'none'; base-uri 'none'; frame-ancestors 'none'";
const TAKES_MS = 6000;

class MockServer {
  private jobs = new Map<string, Job>();
  private streams = new Set<ServerResponse>();

  readonly handle: Connect.NextHandleFunction = (request, response, next) => {
    const { pathname, searchParams } = new URL(request.url ?? "/", "http://mock");
    if (!pathname.startsWith("/api/v1/")) return next();
    const path = pathname.slice("/api/v1/".length).split("/");
    const [first, count] = ["first", "count"].map((name) => Number(searchParams.get(name)));
    if (path[2] === "pieces") file(response, wav(path[3] ?? "", first, count), "audio/wav");
    else this.answer(path, request, response);
  };

  private answer(path: string[], request: IncomingMessage, response: ServerResponse): void {
    const [head, id = "", part, name = ""] = path.map(decodeURIComponent);
    const job = this.jobs.get(id);
    if (head === "models") {
      const model = { sources: STEMS, licence: "MIT", is_default: true };
      json(response, [
        { ...model, name: "stemlight", summary: "Small and fast, inside the package" },
      ]);
    } else if (head === "options") {
      const limits = { upload_bytes: 5e8, duration_seconds: 3600, jobs_per_client: 20 };
      const formats = [
        { name: "wav", bit_depths: ["16", "24", "float"] },
        { name: "flac", bit_depths: ["16", "24"] },
        { name: "mp3", bit_depths: [] },
      ];
      json(response, { formats, limits, expires_after_seconds: 86_400 });
    } else if (head !== "jobs") fail(response, 404, "Nothing is here.");
    else if (id === "events") this.stream(response);
    else if (id === "" && request.method === "POST") void this.submit(request, response);
    else if (id === "") json(response, [...this.jobs.values()]);
    else if (job === undefined) fail(response, 404, `There is no job ${id}.`);
    else if (request.method === "DELETE") {
      this.jobs.delete(id);
      const told = `event: deleted\ndata: ${JSON.stringify({ id })}\n\n`;
      for (const stream of this.streams) stream.write(told);
      response.writeHead(204).end();
    } else if (part === "cancel") {
      this.change(job, { state: "cancelled" });
      json(response, job);
    } else if (part === undefined) json(response, job);
    else if (part === "peaks") json(response, peaks(name));
    else if (part === "mix") file(response, wav("original"), "audio/wav");
    else if (part === "spectrogram") {
      const svg = `<svg xmlns="http://www.w3.org/2000/svg" width="40" height="20"><path fill="#213" d="M0 0h40v20H0z"/><path stroke="#fa6" d="M0 15h40M0 10h20M20 5h20"/></svg>`;
      response.setHeader("X-Frequency-Low-Hz", "40").setHeader("X-Frequency-High-Hz", "16000");
      file(response, Buffer.from(svg), "image/svg+xml");
    } else file(response, wav(name.replace(/\..*/, "") || "original"), "audio/wav");
  }

  private stream(response: ServerResponse): void {
    response.writeHead(200, { "Content-Type": "text/event-stream" });
    this.streams.add(response);
    response.on("close", () => this.streams.delete(response));
    for (const job of this.jobs.values()) response.write(event(job));
    response.write(": here\n\n");
  }

  private async submit(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const parts: Buffer[] = [];
    for await (const part of request) parts.push(part as Buffer);
    const body = Buffer.concat(parts);
    const name = /filename="([^"]*)"/.exec(body.toString("utf8"))?.[1] ?? "song";
    if (/\.txt$/.test(name)) {
      fail(response, 415, `${name} holds no sound. Choose a song or a video.`);
      return;
    }
    const id = Math.random().toString(36).slice(2);
    const base = `/api/v1/jobs/${id}`;
    const job: Job = {
      id,
      name,
      state: "queued",
      position: 0,
      progress: 0,
      seconds_left: null,
      message: null,
      created_at: new Date().toISOString(),
      expires_at: null,
      options: { model: "stemlight", stems: null, format: "wav", bit_depth: "16" },
      duration_seconds: SECONDS,
      sample_rate_hz: RATE_HZ,
      stems: [],
      original: { pieces_url: `${base}/pieces/original`, peaks_url: `${base}/peaks/original` },
      archive_url: `${base}/stems.zip`,
      stem_mp4_url: `${base}/stems.mp4`,
    };
    this.jobs.set(id, job);
    json(response, job, 202);
    const start = Date.now() + 500;
    const timer = setInterval(() => {
      const progress = Math.min(1, (Date.now() - start) / TAKES_MS);
      if (job.state === "cancelled" || progress === 1) clearInterval(timer);
      if (job.state === "cancelled" || progress < 0) return;
      const seconds_left = (TAKES_MS / 1000) * (1 - progress);
      if (progress < 1) this.change(job, { state: "running", progress, seconds_left });
      else {
        const size_bytes = RATE_HZ * SECONDS * 2 + 44;
        const stem = (name: string) => ({
          name,
          url: `${base}/stems/${name}.wav`,
          pieces_url: `${base}/pieces/${name}`,
          size_bytes,
          peaks_url: `${base}/peaks/${name}`,
        });
        this.change(job, { state: "done", progress: 1, stems: STEMS.map(stem) });
      }
    }, 250);
  }

  private change(job: Job, news: Partial<Job>): void {
    Object.assign(job, news);
    for (const stream of this.streams) stream.write(event(job));
  }
}

const event = (job: Job) => `event: job\ndata: ${JSON.stringify(job)}\n\n`;

function json(response: ServerResponse, value: unknown, status = 200): void {
  response.writeHead(status, { "Content-Type": "application/json" }).end(JSON.stringify(value));
}

function fail(response: ServerResponse, status: number, message: string): void {
  json(response, { error: { code: "mock", message } }, status);
}

function file(response: ServerResponse, content: Buffer, type: string): void {
  response.setHeader("Content-Type", type).end(content);
}

/** Serve the mock with `vite` and `vite preview`; the latter under the server's security policy. */
export function mockServer(): Plugin {
  const server = new MockServer();
  return {
    name: "mock-server",
    configureServer: ({ middlewares }) => {
      middlewares.use(server.handle);
    },
    configurePreviewServer: ({ middlewares }) => {
      middlewares.use((_request, response, next) => {
        response.setHeader("Content-Security-Policy", CSP);
        next();
      });
      middlewares.use(server.handle);
    },
  };
}
