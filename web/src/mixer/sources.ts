/** Where the sound of a stem comes from: pieces of some seconds, fetched as they are needed. */

import { call } from "../api";
import { readWav } from "./wav";

const KEPT_CHUNKS = 4;

export class Source {
  private readonly chunks = new Map<number, Promise<AudioBuffer>>();

  constructor(
    private readonly url: string,
    private readonly chunkFrames: number,
  ) {}

  /** The sound of a chunk; the last one may be shorter. One that is kept is not fetched again. */
  chunk(index: number): Promise<AudioBuffer> {
    const kept = this.chunks.get(index);
    this.chunks.delete(index);
    const chunk = kept ?? this.read(index * this.chunkFrames);
    this.chunks.set(index, chunk); // the newest is last
    if (kept === undefined) chunk.catch(() => this.chunks.delete(index));
    for (const oldest of this.chunks.keys()) {
      if (this.chunks.size <= KEPT_CHUNKS) break;
      this.chunks.delete(oldest);
    }
    return chunk;
  }

  private async read(first: number): Promise<AudioBuffer> {
    const response = await call(`${this.url}?first=${first}&count=${this.chunkFrames}`);
    const { channels, rateHz } = readWav(await response.arrayBuffer());
    const buffer = new AudioBuffer({
      length: Math.max(1, channels[0]?.length ?? 0), // silence where a stem ends before the others
      numberOfChannels: Math.max(1, channels.length),
      sampleRate: rateHz,
    });
    channels.forEach((samples, channel) => {
      buffer.copyToChannel(samples, channel);
    });
    return buffer;
  }
}
