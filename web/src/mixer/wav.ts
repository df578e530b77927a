/** Reads the WAV files that the server gives as pieces of a stem. */

export interface Sound {
  readonly channels: Float32Array<ArrayBuffer>[];
  readonly rateHz: number;
}

interface Kind {
  readonly code: number;
  readonly nChannels: number;
  readonly rateHz: number;
  readonly bits: number;
}

const PCM = 1;
const FLOAT = 3;

const tag = (view: DataView, at: number): string =>
  String.fromCharCode(...[0, 1, 2, 3].map((i) => view.getUint8(at + i)));

/** Read a WAV file of 16 or 24 bits or floats: an array for each channel. */
export function readWav(file: ArrayBuffer): Sound {
  const view = new DataView(file);
  if (file.byteLength < 44 || tag(view, 0) !== "RIFF") throw new Error("this is no WAV file");
  let kind: Kind | null = null;
  for (let at = 12; at + 8 <= file.byteLength; ) {
    const name = tag(view, at);
    const length = view.getUint32(at + 4, true);
    if (name === "fmt ") {
      kind = {
        code: view.getUint16(at + 8, true),
        nChannels: view.getUint16(at + 10, true),
        rateHz: view.getUint32(at + 12, true),
        bits: view.getUint16(at + 22, true),
      };
    }
    if (name === "data" && kind !== null) {
      const body = new DataView(file, at + 8, Math.min(length, file.byteLength - at - 8));
      return { channels: channelsOf(body, kind), rateHz: kind.rateHz };
    }
    at += 8 + length + (length % 2);
  }
  throw new Error("this WAV file holds no sound");
}

function channelsOf(body: DataView, kind: Kind): Float32Array<ArrayBuffer>[] {
  const { nChannels, bits } = kind;
  const read = reader(body, kind);
  const step = bits / 8;
  const frames = Math.floor(body.byteLength / (step * nChannels));
  return Array.from({ length: nChannels }, (_, channel) => {
    const samples = new Float32Array(frames);
    for (let i = 0; i < frames; i += 1) samples[i] = read((i * nChannels + channel) * step);
    return samples;
  });
}

function reader(body: DataView, { code, bits }: Kind): (at: number) => number {
  if (code === FLOAT && bits === 32) return (at) => body.getFloat32(at, true);
  if (code === PCM && bits === 16) return (at) => body.getInt16(at, true) / 0x8000;
  if (code === PCM && bits === 24)
    return (at) => (body.getInt16(at + 1, true) * 256 + body.getUint8(at)) / 0x800000;
  throw new Error(`WAV of kind ${code} with ${bits} bits is not read here`);
}
