/** Where the sound of a stem comes from: chunks of a WAV file, or a file decoded whole. */

import { call } from "../api";
import { readHead, samplesOf, type WavLayout } from "./wav";

const HEAD_BYTES = 4096;
const KEPT_CHUNKS = 4;

/** Reads chunks of some seconds; the same chunk is fetched once while it is kept. */
export abstract class Source {
  private readonly chunks = new Map<number, Promise<AudioBuffer>>();

  constructor(
    readonly frames: number,
    readonly rateHz: number,
    readonly chunkFrames: number,
  ) {}

  /** The sound of a chunk; the last one may be shorter. */
  chunk(index: number): Promise<AudioBuffer> {
    const kept = this.chunks.get(index);
    this.chunks.delete(index);
    const chunk = kept ?? this.read(index * this.chunkFrames, this.chunkFrames);
    this.chunks.set(index, chunk); // the newest is last
    if (kept === undefined) chunk.catch(() => this.chunks.delete(index));
    for (const oldest of this.chunks.keys()) {
      if (this.chunks.size <= KEPT_CHUNKS) break;
      this.chunks.delete(oldest);
    }
    return chunk;
  }

  protected abstract read(first: number, count: number): Promise<AudioBuffer>;
}

class WavSource extends Source {
  constructor(
    private readonly url: string,
    private readonly layout: WavLayout,
    chunkFrames: number,
  ) {
    super(layout.frames, layout.rateHz, chunkFrames);
  }

  protected async read(first: number, count: number): Promise<AudioBuffer> {
    const { channels, bits, dataStart, frames, rateHz } = this.layout;
    const bytes = (channels * bits) / 8;
    const from = dataStart + first * bytes;
    const to = dataStart + Math.min(frames, first + count) * bytes - 1;
    const response = await call(this.url, { headers: { Range: `bytes=${from}-${to}` } });
    const content = samplesOf(await response.arrayBuffer(), this.layout);
    const length = content[0]?.length ?? 1;
    const buffer = new AudioBuffer({ length, numberOfChannels: channels, sampleRate: rateHz });
    content.forEach((samples, channel) => {
      buffer.copyToChannel(samples, channel);
    });
    return buffer;
  }
}

/** Sound that was decoded whole, kept in 16 bits, half of what decoders give. */
class DecodedSource extends Source {
  private readonly channels: Int16Array[];

  constructor(whole: AudioBuffer, chunkFrames: number) {
    super(whole.length, whole.sampleRate, chunkFrames);
    this.channels = Array.from({ length: whole.numberOfChannels }, (_, channel) =>
      Int16Array.from(whole.getChannelData(channel), (sample) =>
        Math.max(-0x8000, Math.min(0x7fff, Math.round(sample * 0x8000))),
      ),
    );
  }

  protected read(first: number, count: number): Promise<AudioBuffer> {
    const length = Math.min(this.frames, first + count) - first;
    const numberOfChannels = this.channels.length;
    const buffer = new AudioBuffer({ length, numberOfChannels, sampleRate: this.rateHz });
    this.channels.forEach((samples, channel) => {
      const part = samples.subarray(first, first + length);
      buffer.copyToChannel(
        Float32Array.from(part, (sample) => sample / 0x8000),
        channel,
      );
    });
    return Promise.resolve(buffer);
  }
}

/**
 * Open the sound at an address. WAV is read in chunks as it is played, everything else is decoded
 * whole, at the rate of the song, so that frames of all sources are the same moments.
 */
export async function openSource(
  url: string,
  rateHz: number,
  chunkFrames: number,
): Promise<Source> {
  const range = { Range: `bytes=0-${HEAD_BYTES - 1}` };
  const response = await call(url, { headers: range });
  const total = Number(response.headers.get("Content-Range")?.split("/")[1]);
  const head = await response.arrayBuffer();
  const layout = response.status === 206 ? readHead(head, total) : null;
  if (layout !== null && layout.rateHz === rateHz) return new WavSource(url, layout, chunkFrames);
  const whole = response.status === 206 ? await (await call(url)).arrayBuffer() : head;
  // A context of the song's rate decodes to that rate.
  const decoder = new OfflineAudioContext({ length: 1, numberOfChannels: 1, sampleRate: rateHz });
  return new DecodedSource(await decoder.decodeAudioData(whole), chunkFrames);
}
