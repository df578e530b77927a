/** What the mixer can do, without its looks: mix, transport, original against stems. */

import type { Job } from "../api";
import { Engine } from "./engine";
import { type Change, changed, laneFactor, type Mix, newMix } from "./mix";
import { type Loop, loopOf } from "./transport";

const ORIGINAL = "original";
export const SHORTEST_LOOP_SECONDS = 0.1;

export interface PlayerListener {
  mix: (mix: Mix) => void;
  transport: () => void;
  failed: (error: unknown) => void;
}

export class Player {
  readonly rateHz: number;
  readonly length: number; // frames
  private readonly engine: Engine;
  mix: Mix;
  loop: Loop | null = null; // kept while it is switched off
  loopIsOn = false;
  playing = false;
  waiting = false;
  originalIsHeard = false;

  constructor(
    private readonly job: Job,
    private readonly listener: PlayerListener,
  ) {
    this.rateHz = job.sample_rate_hz ?? 44_100;
    this.length = Math.max(1, Math.round((job.duration_seconds ?? 0) * this.rateHz));
    this.mix = newMix(job.stems.map((stem) => stem.name));
    this.engine = new Engine(this.rateHz, this.length, {
      state: (playing, waiting) => {
        this.playing = playing;
        this.waiting = waiting;
        listener.transport();
      },
      failed: listener.failed,
    });
    this.applyMix();
  }

  get frame(): number {
    return this.engine.frame;
  }

  peak(): number {
    return this.engine.peak();
  }

  change(change: Change): void {
    this.mix = changed(this.mix, change);
    this.applyMix();
    this.listener.mix(this.mix);
  }

  async toggle(): Promise<void> {
    if (this.playing) {
      this.engine.pause();
      return;
    }
    try {
      this.waiting = true;
      this.listener.transport();
      await Promise.all(this.job.stems.map((stem) => this.engine.open(stem.name, stem.pieces_url)));
      await this.engine.play();
    } catch (error) {
      this.waiting = false;
      this.listener.failed(error);
    }
    this.listener.transport();
  }

  seek(frame: number): void {
    this.engine.seek(frame);
    this.listener.transport();
  }

  skip(seconds: number): void {
    this.seek(this.frame + seconds * this.rateHz);
  }

  /** Loop a part, or (null) forget it. */
  setLoop(loop: Loop | null): void {
    this.loop = loop;
    this.switchLoop(loop !== null);
    if (loop !== null && (this.frame < loop.first || this.frame >= loop.end)) this.seek(loop.first);
  }

  /** Switch the loop on or off; without one, the whole song is looped. */
  switchLoop(on: boolean): void {
    if (on && this.loop === null) this.loop = { first: 0, end: this.length };
    this.loopIsOn = on;
    this.engine.setLoop(on ? this.loop : null);
    this.listener.transport();
  }

  /** Move the start or the end of the loop to where the song is now. */
  markLoop(edge: "first" | "end"): void {
    const { first, end } = this.loop ?? { first: 0, end: this.length };
    const shortest = SHORTEST_LOOP_SECONDS * this.rateHz;
    const here = this.frame;
    let loop: Loop | null;
    if (edge === "first")
      loop = loopOf(here, end > here ? end : this.length, this.length, shortest);
    else loop = loopOf(first < here ? first : 0, here, this.length, shortest);
    if (loop !== null) this.setLoop(loop);
  }

  /** Hear the song as it came, or its stems. */
  async switchOriginal(heard: boolean): Promise<void> {
    const original = this.job.original;
    if (original === null) return;
    this.originalIsHeard = heard;
    this.applyMix();
    this.listener.transport();
    if (!heard) return;
    try {
      await this.engine.open(ORIGINAL, original.pieces_url);
    } catch (error) {
      this.originalIsHeard = false;
      this.applyMix();
      this.listener.failed(error);
    }
  }

  close(): Promise<void> {
    return this.engine.close();
  }

  private applyMix(): void {
    for (const lane of this.mix) {
      const factor = this.originalIsHeard ? 0 : laneFactor(this.mix, lane);
      this.engine.set(lane.name, factor, lane.pan);
    }
    this.engine.set(ORIGINAL, this.originalIsHeard ? 1 : 0, 0);
  }
}
