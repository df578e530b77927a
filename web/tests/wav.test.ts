import { describe, expect, it } from "vitest";
import { readWav } from "../src/mixer/wav";

interface Kind {
  bits: 16 | 24 | 32;
  code?: number;
  channels?: number;
  extra?: number; // bytes of a chunk before the sound
}

function wavFile({ bits, code = 1, channels = 2, extra = 0 }: Kind, body: ArrayBuffer) {
  const before = extra > 0 ? 8 + extra + (extra % 2) : 0;
  const file = new ArrayBuffer(44 + before + body.byteLength);
  const view = new DataView(file);
  const write = (at: number, text: string) => {
    [...text].forEach((letter, i) => {
      view.setUint8(at + i, letter.charCodeAt(0));
    });
  };
  write(0, "RIFF");
  write(8, "WAVEfmt ");
  view.setUint32(16, 16, true);
  view.setUint16(20, code, true);
  view.setUint16(22, channels, true);
  view.setUint32(24, 44_100, true);
  view.setUint16(34, bits, true);
  if (extra > 0) {
    write(36, "LIST");
    view.setUint32(40, extra, true);
  }
  write(36 + before, "data");
  view.setUint32(40 + before, body.byteLength, true);
  new Uint8Array(file).set(new Uint8Array(body), 44 + before);
  return file;
}

const read = (kind: Kind, body: ArrayBuffer) =>
  readWav(wavFile(kind, body)).channels.map((one) => [...one]);

describe("a WAV file", () => {
  it("of 16 bits keeps channels apart and full scale at one", () => {
    const body = Int16Array.from([0x4000, -0x8000, 0x7fff, 0]).buffer;
    expect(read({ bits: 16 }, body)).toEqual([
      [0.5, 0x7fff / 0x8000],
      [-1, 0],
    ]);
  });

  it("of 24 bits keeps its sign and its lowest byte", () => {
    const body = Uint8Array.from([1, 0, 0, 0xff, 0xff, 0xff, 0, 0, 0x80, 0, 0, 0x40]).buffer;
    const scale = 0x800000;
    expect(read({ bits: 24 }, body)).toEqual([
      [1 / scale, -1],
      [-1 / scale, 0.5],
    ]);
  });

  it("of floats is what it is, above full scale too", () => {
    const body = Float32Array.from([1.5, -0.25]).buffer;
    expect(read({ bits: 32, code: 3, channels: 1 }, body)).toEqual([[1.5, -0.25]]);
  });

  it("is read past chunks of other things and their padding, and says its rate", () => {
    const file = wavFile({ bits: 16, extra: 7 }, Int16Array.from([0x4000, 0]).buffer);
    expect(readWav(file).channels.map((one) => [...one])).toEqual([[0.5], [0]]);
    expect(readWav(file).rateHz).toBe(44_100);
  });

  it("without frames has channels of no length", () => {
    expect(read({ bits: 16 }, new ArrayBuffer(0))).toEqual([[], []]);
  });

  it("of another kind, and what is none, are errors", () => {
    expect(() => read({ bits: 16, code: 6 }, new ArrayBuffer(4))).toThrow("kind 6 with 16 bits");
    expect(() => readWav(new TextEncoder().encode("fLaC".padEnd(60)).buffer)).toThrow("no WAV");
    expect(() => readWav(new ArrayBuffer(3))).toThrow("no WAV");
    expect(() => readWav(wavFile({ bits: 16 }, new ArrayBuffer(0)).slice(0, 36))).toThrow();
  });
});
