import { describe, expect, it } from "vitest";
import { readHead, samplesOf } from "../src/mixer/wav";

interface Kind {
  bits: 16 | 24 | 32;
  code?: number;
  channels?: number;
  extra?: number; // bytes of a chunk before the sound
  dataBytes?: number;
}

function wavFile({ bits, code = 1, channels = 2, extra = 0, dataBytes }: Kind, body: ArrayBuffer) {
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
  view.setUint32(40 + before, dataBytes ?? body.byteLength, true);
  new Uint8Array(file).set(new Uint8Array(body), 44 + before);
  return file;
}

describe("a WAV file's head", () => {
  it("says where the sound is, past chunks of other things and their padding", () => {
    const file = wavFile({ bits: 16, extra: 7 }, new ArrayBuffer(400));
    const layout = {
      channels: 2,
      rateHz: 44_100,
      bits: 16,
      isFloat: false,
      dataStart: 60,
      frames: 100,
    };
    expect(readHead(file, file.byteLength)).toEqual(layout);
  });

  it("takes the file's end where the length is not known", () => {
    const file = wavFile({ bits: 16, dataBytes: 0xffffffff }, new ArrayBuffer(400));
    expect(readHead(file, file.byteLength)?.frames).toBe(100);
  });

  it("is null for other files and kinds", () => {
    const alaw = wavFile({ bits: 16, code: 6 }, new ArrayBuffer(4));
    expect(readHead(alaw, alaw.byteLength)).toBeNull();
    expect(readHead(new TextEncoder().encode("fLaC".padEnd(60)).buffer, 60)).toBeNull();
    expect(readHead(new ArrayBuffer(3), 3)).toBeNull();
  });
});

describe("samples", () => {
  const read = (kind: Kind, body: ArrayBuffer) => {
    const layout = readHead(wavFile(kind, body), 44 + body.byteLength);
    return layout && samplesOf(body, layout);
  };

  it("of 16 bits keep channels apart and full scale at one", () => {
    const body = Int16Array.from([0x4000, -0x8000, 0x7fff, 0]).buffer;
    expect(read({ bits: 16 }, body)?.map((one) => [...one])).toEqual([
      [0.5, 0x7fff / 0x8000],
      [-1, 0],
    ]);
  });

  it("of 24 bits keep their sign and their lowest byte", () => {
    const body = Uint8Array.from([1, 0, 0, 0xff, 0xff, 0xff, 0, 0, 0x80, 0, 0, 0x40]).buffer;
    const scale = 0x800000;
    expect(read({ bits: 24 }, body)?.map((one) => [...one])).toEqual([
      [1 / scale, -1],
      [-1 / scale, 0.5],
    ]);
  });

  it("of floats are what they are, above full scale too", () => {
    const body = Float32Array.from([1.5, -0.25]).buffer;
    expect(read({ bits: 32, code: 3, channels: 1 }, body)?.map((one) => [...one])).toEqual([
      [1.5, -0.25],
    ]);
  });
});
