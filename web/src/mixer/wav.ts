/** Reading WAV files piece by piece, so that long songs need little memory. */

export interface WavLayout {
  readonly channels: number;
  readonly rateHz: number;
  readonly bits: 16 | 24 | 32;
  readonly isFloat: boolean;
  readonly dataStart: number; // byte
  readonly frames: number;
}

const PCM = 1;
const FLOAT = 3;
const EXTENSIBLE = 0xfffe;

const tag = (view: DataView, at: number): string =>
  String.fromCharCode(...[0, 1, 2, 3].map((i) => view.getUint8(at + i)));

/** Read the head of a WAV file; null if it is something else, or of a kind not read here. */
export function readHead(head: ArrayBuffer, fileBytes: number): WavLayout | null {
  const view = new DataView(head);
  if (head.byteLength < 44 || !["RIFF", "RF64"].includes(tag(view, 0))) return null;
  let at = 12;
  let kind: { channels: number; rateHz: number; bits: number; code: number } | null = null;
  while (at + 8 <= head.byteLength) {
    const name = tag(view, at);
    const length = view.getUint32(at + 4, true);
    if (name === "fmt ") {
      const code = view.getUint16(at + 8, true);
      kind = {
        code: code === EXTENSIBLE ? view.getUint16(at + 32, true) : code,
        channels: view.getUint16(at + 10, true),
        rateHz: view.getUint32(at + 12, true),
        bits: view.getUint16(at + 22, true),
      };
    }
    if (name === "data") {
      if (kind === null) return null;
      const { code, channels, rateHz, bits } = kind;
      const known =
        (code === PCM && (bits === 16 || bits === 24)) || (code === FLOAT && bits === 32);
      if (!known) return null;
      const dataStart = at + 8;
      // Streamed files and RF64 say "unknown" here: then the rest of the file is sound.
      const bytes = Math.min(length, fileBytes - dataStart);
      const frames = Math.floor(bytes / ((channels * bits) / 8));
      return {
        channels,
        rateHz,
        bits: bits as 16 | 24 | 32,
        isFloat: code === FLOAT,
        dataStart,
        frames,
      };
    }
    at += 8 + length + (length % 2);
  }
  return null;
}

/** Turn the bytes of some frames into one array for each channel. */
export function samplesOf(bytes: ArrayBuffer, layout: WavLayout): Float32Array<ArrayBuffer>[] {
  const { channels, bits, isFloat } = layout;
  const view = new DataView(bytes);
  const step = bits / 8;
  const frames = Math.floor(bytes.byteLength / (step * channels));
  const read = isFloat
    ? (at: number) => view.getFloat32(at, true)
    : bits === 16
      ? (at: number) => view.getInt16(at, true) / 0x8000
      : (at: number) => (view.getInt16(at + 1, true) * 256 + view.getUint8(at)) / 0x800000;
  return Array.from({ length: channels }, (_, channel) => {
    const samples = new Float32Array(frames);
    for (let i = 0; i < frames; i += 1) samples[i] = read((i * channels + channel) * step);
    return samples;
  });
}
