/**
 * Plays all stems at once, on one clock.
 *
 * Every chunk of every stem is put on the clock of the sound card at the same frame, some seconds
 * ahead, so stems cannot drift apart, and a loop jumps without a gap. Only a few chunks are in
 * memory, whatever the length of the song.
 */

import { Source } from "./sources";
import { frameAt, type Loop, movedBy, nextStretch, type Stretch } from "./transport";

const CHUNK_SECONDS = 8;
const MOST_CHUNK_FRAMES = 2 ** 21; // that the server gives at a time
const AHEAD_SECONDS = 1.5;
const START_SECONDS = 0.06; // between "play" and the first sample: time to put it on the clock
const TICK_MS = 150;
const RESUME_SECONDS = 5; // for the browser to switch its sound on
const FADE_SECONDS = 0.012; // of gains, so that nothing clicks

interface Channel {
  readonly source: Source;
  readonly gain: GainNode;
  readonly panner: StereoPannerNode;
}

export interface EngineListener {
  /** Playing, waiting for sound, or neither. */
  state: (playing: boolean, waiting: boolean) => void;
  failed: (error: unknown) => void;
}

export class Engine {
  private readonly context: AudioContext;
  private readonly channels = new Map<string, Channel>();
  private readonly factors = new Map<string, { factor: number; pan: number }>();
  private readonly opening = new Map<string, Promise<void>>();
  private readonly analyser: AnalyserNode;
  private readonly meterSamples: Float32Array<ArrayBuffer>;
  private stretches: Stretch[] = [];
  private nodes = new Set<AudioBufferSourceNode>();
  private next: { frame: number; seconds: number } | null = null;
  private run = 0; // counts starts and stops, so that an old one's work is dropped
  private waiting = false;
  private timer = 0;
  private restFrame = 0;
  private readonly chunkFrames: number;
  loop: Loop | null = null;

  constructor(
    readonly rateHz: number,
    readonly length: number, // frames
    private readonly listener: EngineListener,
  ) {
    this.chunkFrames = Math.min(CHUNK_SECONDS * rateHz, MOST_CHUNK_FRAMES);
    this.context = contextOf(rateHz);
    this.analyser = new AnalyserNode(this.context, { fftSize: 2048 });
    this.meterSamples = new Float32Array(this.analyser.fftSize);
    this.analyser.connect(this.context.destination);
  }

  get playing(): boolean {
    return this.next !== null;
  }

  /** The frame that is heard now. */
  get frame(): number {
    if (!this.playing) return this.restFrame;
    const heardAt = this.context.currentTime - (this.context.outputLatency || 0);
    const frame = frameAt(this.stretches, heardAt, this.rateHz);
    return Math.min(this.length, frame ?? this.restFrame);
  }

  /** Open a source under a name; it joins at the next start. */
  open(name: string, url: string): Promise<void> {
    let opening = this.opening.get(name);
    if (opening === undefined) {
      opening = this.add(name, url);
      this.opening.set(name, opening);
      opening.catch(() => this.opening.delete(name));
    }
    return opening;
  }

  private async add(name: string, url: string): Promise<void> {
    const source = new Source(url, this.chunkFrames);
    await source.chunk(Math.floor(Math.min(this.frame, this.length - 1) / this.chunkFrames));
    const gain = new GainNode(this.context, { gain: 0 });
    // One channel becomes two before it is panned, as in the server's mixes: no level is lost.
    const panner = new StereoPannerNode(this.context, {
      channelCount: 2,
      channelCountMode: "explicit",
    });
    gain.connect(panner).connect(this.analyser);
    this.channels.set(name, { source, gain, panner });
    const { factor, pan } = this.factors.get(name) ?? { factor: 0, pan: 0 };
    this.set(name, factor, pan);
    if (this.playing) this.seek(this.frame);
  }

  /** Set how loud and where a source is heard. */
  set(name: string, factor: number, pan: number): void {
    this.factors.set(name, { factor, pan });
    const channel = this.channels.get(name);
    if (channel === undefined) return;
    const now = this.context.currentTime;
    channel.gain.gain.setTargetAtTime(factor, now, FADE_SECONDS);
    channel.panner.pan.setTargetAtTime(pan, now, FADE_SECONDS);
  }

  async play(): Promise<void> {
    if (this.playing) return;
    // Browsers keep the sound off until the person did something on the page, and without a sound
    // card some never switch it on, nor say so.
    const late = new Promise<never>((_, reject) => {
      window.setTimeout(() => reject(new Error("no sound")), RESUME_SECONDS * 1000);
    });
    await Promise.race([this.context.resume(), late]);
    this.start(this.restFrame >= this.length ? 0 : this.restFrame);
  }

  pause(): void {
    this.restFrame = this.frame;
    this.stop();
    this.tell();
  }

  seek(frame: number): void {
    const place = Math.round(movedBy(frame, 0, this.length));
    const { playing } = this;
    this.stop();
    this.restFrame = place;
    if (playing) this.start(place);
  }

  /** Set or clear the loop. What is on the clock beyond its end is taken back. */
  setLoop(loop: Loop | null): void {
    this.loop = loop;
    if (this.playing) this.seek(this.frame);
  }

  /** The highest sample of the last moment, 0..1 and above where it clips. */
  peak(): number {
    if (!this.playing) return 0;
    this.analyser.getFloatTimeDomainData(this.meterSamples);
    return this.meterSamples.reduce((peak, sample) => Math.max(peak, Math.abs(sample)), 0);
  }

  async close(): Promise<void> {
    this.stop();
    await this.context.close();
  }

  private start(frame: number): void {
    this.run += 1;
    this.restFrame = frame;
    this.next = { frame, seconds: this.context.currentTime + START_SECONDS };
    void this.fill(this.run);
    this.timer = window.setInterval(() => this.tick(), TICK_MS);
    this.tell();
  }

  private stop(): void {
    this.run += 1;
    this.next = null;
    this.waiting = false;
    window.clearInterval(this.timer);
    for (const node of this.nodes) {
      node.onended = null;
      node.stop();
      node.disconnect();
    }
    this.nodes.clear();
    this.stretches = [];
  }

  private tell(): void {
    this.listener.state(this.playing, this.waiting);
  }

  private tick(): void {
    if (this.next !== null && !this.waiting) void this.fill(this.run);
    const last = this.stretches.at(-1);
    const isOver =
      this.next !== null &&
      this.loop === null &&
      this.next.frame >= this.length &&
      last !== undefined &&
      this.context.currentTime > last.startSeconds + last.count / this.rateHz;
    if (!isOver) return;
    this.stop();
    this.restFrame = this.length;
    this.tell();
  }

  /** Put stretches on the clock until enough of the future is there. */
  private async fill(run: number): Promise<void> {
    this.waiting = true;
    try {
      while (this.next !== null && this.next.seconds < this.context.currentTime + AHEAD_SECONDS) {
        const stretch = nextStretch(this.next.frame, this.length, this.chunkFrames, this.loop);
        if (stretch === null) break;
        const index = Math.floor(stretch.first / this.chunkFrames);
        const channels = [...this.channels.values()];
        const slow = window.setTimeout(() => this.tell(), 300);
        const buffers = await Promise.all(channels.map(({ source }) => source.chunk(index)));
        window.clearTimeout(slow);
        if (run !== this.run || this.next === null) return;
        const earliest = this.context.currentTime + START_SECONDS / 2;
        this.schedule(channels, buffers, stretch, Math.max(this.next.seconds, earliest));
      }
      // The next chunk is fetched long before its turn.
      const ahead = this.next && nextStretch(this.next.frame, this.length, 1, this.loop);
      if (ahead) this.prefetch(Math.floor(ahead.first / this.chunkFrames));
    } catch (error) {
      if (run !== this.run) return;
      this.pause();
      this.listener.failed(error);
    } finally {
      if (run === this.run) {
        this.waiting = false;
        this.tell();
      }
    }
  }

  private prefetch(index: number): void {
    const last = Math.floor((this.length - 1) / this.chunkFrames);
    for (const { source } of this.channels.values()) {
      for (const near of [index, Math.min(last, index + 1)]) {
        source.chunk(near).catch(() => undefined);
      }
    }
  }

  private schedule(
    channels: readonly Channel[],
    buffers: readonly AudioBuffer[],
    stretch: { first: number; count: number },
    seconds: number,
  ): void {
    // Whole frames of the clock: no chunk is moved by a part of a sample.
    const startFrame = Math.round(seconds * this.rateHz);
    const startSeconds = startFrame / this.rateHz;
    channels.forEach(({ gain }, i) => {
      const buffer = buffers[i];
      if (!buffer) return;
      const offset = (stretch.first % this.chunkFrames) / this.rateHz;
      const node = new AudioBufferSourceNode(this.context, { buffer });
      node.connect(gain);
      node.onended = () => {
        this.nodes.delete(node);
        node.disconnect();
      };
      node.start(startSeconds, offset, stretch.count / this.rateHz);
      this.nodes.add(node);
    });
    const past = this.context.currentTime - 5;
    this.stretches = this.stretches.filter(
      (old) => old.startSeconds + old.count / this.rateHz > past,
    );
    this.stretches.push({ ...stretch, startSeconds });
    this.next = {
      frame: stretch.first + stretch.count,
      seconds: startSeconds + stretch.count / this.rateHz,
    };
  }
}

/** A clock of the song's own rate; a browser that has it not resamples. */
function contextOf(rateHz: number): AudioContext {
  try {
    return new AudioContext({ sampleRate: rateHz });
  } catch {
    return new AudioContext();
  }
}
