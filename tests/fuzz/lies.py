"""Files that lie: they claim what no file of their size can hold, or are something else."""

from __future__ import annotations

import gzip
import io
import struct
import zipfile
import zlib
from collections.abc import Iterator, Mapping

_U36 = (1 << 36) - 1
_SIZES = (0, 1, 7, 0x7FFFFFFF, 0x80000000, 10**9, 0xFFFFFFFE, 0xFFFFFFFF)
_BOMB_BYTES = 64_000_000


def lying_files(files: Mapping[str, bytes]) -> Iterator[tuple[str, str, bytes]]:
    """Yield what each claims, a suffix, and the content."""
    yield from _lies_of_wav(files)
    yield from _lies_of_flac(files["flac"])
    yield from _lies_of_aiff(files["aiff-16"])
    yield from _lies_of_ogg(files)
    yield from _lies_of_mp3(files)
    yield from _lies_of_mp4(files)
    yield from _wrong_content(files)
    yield from _bombs(files)


def _with(content: bytes, at: int, replacement: bytes) -> bytes:
    return content[:at] + replacement + content[at + len(replacement) :]


def _lies_of_wav(files: Mapping[str, bytes]) -> Iterator[tuple[str, str, bytes]]:
    for name in ("wav-16", "wav-float", "rf64"):
        content = files[name]
        fields, data = content.index(b"fmt ") + 8, content.index(b"data") + 4
        for size in _SIZES:
            packed = struct.pack("<I", size)
            yield f"{name}: RIFF of {size} bytes", "wav", _with(content, 4, packed)
            yield f"{name}: data of {size} bytes", "wav", _with(content, data, packed)
            yield f"{name}: fmt of {size} bytes", "wav", _with(content, fields - 4, packed)
            yield f"{name}: {size} Hz", "wav", _with(content, fields + 4, packed)
            yield f"{name}: {size} bytes per second", "wav", _with(content, fields + 8, packed)
        for number in (0, 1, 3, 255, 1024, 0x7FFF, 0xFFFF):
            packed = struct.pack("<H", number)
            yield f"{name}: {number} channels", "wav", _with(content, fields + 2, packed)
            yield f"{name}: codec {number}", "wav", _with(content, fields, packed)
            yield f"{name}: {number} bytes per frame", "wav", _with(content, fields + 12, packed)
            yield f"{name}: {number} bits", "wav", _with(content, fields + 14, packed)
    long = files["rf64"]
    sizes = long.index(b"ds64") + 8
    for number in (0, 1, 10**9, 10**18, (1 << 63) - 1, 1 << 63, (1 << 64) - 1):
        for offset, what in ((0, "RIFF bytes"), (8, "data bytes"), (16, "samples")):
            changed = _with(long, sizes + offset, struct.pack("<Q", number))
            yield f"rf64: {number} {what}", "wav", changed
    many = struct.pack("<4sI4s", b"RIFF", 0xFFFFFFFF, b"WAVE") + b"JUNK\0\0\0\0" * 100_000
    yield "wav: a hundred thousand chunks", "wav", many + files["wav-16"][12:]
    # One byte for eight channels of one bit, and the like
    header = struct.pack("<4sI4s4sIHHIIHH", b"RIFF", 0, b"WAVE", b"fmt ", 16, 1, 1, 1, 1, 1, 8)
    slow = header + struct.pack("<4sI", b"data", 20_000) + bytes(20_000)
    yield "wav: 20000 samples at 1 Hz", "wav", _with(slow, 4, struct.pack("<I", len(slow) - 8))


def _lies_of_flac(content: bytes) -> Iterator[tuple[str, str, bytes]]:
    fields = int.from_bytes(content[18:26], "big")  # rate 20, channels 3, bits 5, samples 36
    for n_samples in (0, 1, 5999, 6001, 10**9, _U36):
        packed = (fields & ~_U36 | n_samples).to_bytes(8, "big")
        yield f"flac: {n_samples} samples", "flac", _with(content, 18, packed)
    for rate_hz in (0, 1, 655_350, (1 << 20) - 1):
        packed = (fields & ((1 << 44) - 1) | rate_hz << 44).to_bytes(8, "big")
        yield f"flac: {rate_hz} Hz", "flac", _with(content, 18, packed)
    for n_channels in (1, 8):
        packed = (fields & ~(7 << 41) | (n_channels - 1) << 41).to_bytes(8, "big")
        yield f"flac: {n_channels} channels", "flac", _with(content, 18, packed)
    for block in (0, 1, 15, 0xFFFF):
        yield (
            f"flac: blocks of {block}",
            "flac",
            _with(content, 8, struct.pack(">HH", block, block)),
        )
    for kind in range(1, 7):  # padding, application, seek table, comment, cue sheet, picture
        huge = bytes([kind]) + b"\xff\xff\xff" + b"\xff" * 200
        yield f"flac: block {kind} of 16 MiB", "flac", content[:42] + huge + content[42:]
    picture = struct.pack(">II9sI IIIII", 3, 9, b"image/png", 0, 1, 1, 1, 0, 0x7FFFFFFF)
    block = bytes([6]) + len(picture).to_bytes(3, "big") + picture
    yield "flac: a picture of 2 GiB", "flac", content[:42] + block + content[42:]
    comment = struct.pack("<II", 0, 0x7FFFFFFF) + b"\xff\xff\xff\x7f" * 4
    block = bytes([4]) + len(comment).to_bytes(3, "big") + comment
    yield "flac: 2^31 comments", "flac", content[:42] + block + content[42:]
    yield "flac: silence as long as it can be", "flac", long_flac_silence(2000)


def long_flac_silence(n_frames: int) -> bytes:
    """Make a valid FLAC of 65535 silent samples in each of its frames of 12 to 14 bytes."""
    n_samples = 65535 * n_frames
    fields = 8000 << 44 | 15 << 36 | n_samples
    info = struct.pack(">HH", 65535, 65535) + bytes(6) + fields.to_bytes(8, "big") + bytes(16)
    frames = bytearray()
    for number in range(n_frames):
        # A fixed block length in 16 bits, 8 kHz, mono, 16 bits.
        header = b"\xff\xf8\x74\x08" + chr(number).encode("utf-8", "surrogatepass") + b"\xff\xfe"
        frame = header + bytes([_crc(header, 8, 0x07)]) + b"\0\0\0"
        frames += frame + _crc(frame, 16, 0x8005).to_bytes(2, "big")
    return b"fLaC\x80\0\0\x22" + info + bytes(frames)


def _crc(content: bytes, n_bits: int, polynomial: int) -> int:
    remainder, top = 0, 1 << (n_bits - 1)
    for byte in content:
        remainder ^= byte << (n_bits - 8)
        for _ in range(8):
            remainder = (remainder << 1 ^ polynomial) if remainder & top else remainder << 1
        remainder &= (1 << n_bits) - 1
    return remainder


def _lies_of_aiff(content: bytes) -> Iterator[tuple[str, str, bytes]]:
    fields = content.index(b"COMM") + 8
    for n_samples in _SIZES:
        packed = struct.pack(">I", n_samples)
        yield f"aiff: {n_samples} samples", "aiff", _with(content, fields + 2, packed)
        yield f"aiff: COMM of {n_samples}", "aiff", _with(content, fields - 4, packed)
    for number in (0, 255, 1024, 0x7FFF, 0xFFFF):
        packed = struct.pack(">H", number)
        yield f"aiff: {number} channels", "aiff", _with(content, fields, packed)
        yield f"aiff: {number} bits", "aiff", _with(content, fields + 6, packed)
    for exponent in (0, 0x3FFF, 0x401E, 0x7FFF, 0xFFFF):
        packed = struct.pack(">H", exponent)
        yield f"aiff: a rate of 2^{exponent:#x}", "aiff", _with(content, fields + 8, packed)


def _lies_of_ogg(files: Mapping[str, bytes]) -> Iterator[tuple[str, str, bytes]]:
    for name, suffix in (("ogg", "ogg"), ("opus", "opus")):
        content = files[name]
        for position in (0, 1, 10**9, 1 << 40, (1 << 63) - 1, (1 << 64) - 1):
            changed = _with(content, content.rindex(b"OggS") + 6, struct.pack("<Q", position))
            yield f"{name}: ends at {position}", suffix, with_checksums(changed)
            yield f"{name}: ends at {position}, wrong checksum", suffix, changed
        for number in (0, 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF):
            at = content.index(b"\1vorbis") + 12 if name == "ogg" else content.index(b"Opus") + 12
            changed = with_checksums(_with(content, at, struct.pack("<I", number)))
            yield f"{name}: {number} Hz", suffix, changed
        for number in (0, 255):
            at = content.index(b"\1vorbis") + 11 if name == "ogg" else content.index(b"Opus") + 9
            changed = with_checksums(_with(content, at, bytes([number])))
            yield f"{name}: {number} channels", suffix, changed
    opus = files["opus"]
    changed = with_checksums(_with(opus, opus.index(b"OpusHead") + 10, b"\xff\xff"))
    yield "opus: 65535 samples before the first", "opus", changed
    yield "ogg: twice", "ogg", files["ogg"] * 2
    yield "ogg: pages of nothing", "ogg", (b"OggS" + bytes(23)) * 20_000


def with_checksums(content: bytes) -> bytes:
    """Make the checksums of all pages of an Ogg file right."""
    whole, start = bytearray(content), 0
    while start + 27 <= len(whole) and whole[start : start + 4] == b"OggS":
        n_lengths = whole[start + 26]
        end = start + 27 + n_lengths + sum(whole[start + 27 : start + 27 + n_lengths])
        whole[start + 22 : start + 26] = bytes(4)
        checksum = _crc(bytes(whole[start:end]), 32, 0x04C11DB7)
        whole[start + 22 : start + 26] = checksum.to_bytes(4, "little")
        start = end
    return bytes(whole)


def _lies_of_mp3(files: Mapping[str, bytes]) -> Iterator[tuple[str, str, bytes]]:
    for name in ("mp3-cbr", "mp3-vbr"):
        content = files[name]
        word = b"Xing" if b"Xing" in content else b"Info"
        fields = content.index(word) + 8
        for number in _SIZES:
            packed = struct.pack(">I", number)
            yield f"{name}: {number} frames", "mp3", _with(content, fields, packed)
            yield f"{name}: {number} bytes", "mp3", _with(content, fields + 4, packed)
        lags = content.index(b"LAM" if b"LAM" in content else word) + 21
        yield f"{name}: 4095 before and behind", "mp3", _with(content, lags, b"\xff\xff\xff")
    sound = files["mp3-cbr"]
    for flags in (0, 0x40, 0x80, 0xFF):
        tag = b"ID3\x04\0" + bytes([flags]) + b"\x7f\x7f\x7f\x7f"  # 256 MiB
        yield f"mp3: ID3 of 256 MiB, flags {flags:#x}", "mp3", tag + sound
    frame = b"APIC" + b"\x7f\x7f\x7f\x7f" + b"\0\0" + b"\0image/png\0\3\0" + b"\x89PNG"
    for size in (b"\0\0\1\0", b"\x7f\x7f\x7f\x7f"):
        yield "mp3: a picture of 256 MiB", "mp3", b"ID3\x04\0\0" + size + frame + sound
    yield "mp3: twenty tags", "mp3", (b"ID3\x04\0\0\0\0\0\x0a" + bytes(10)) * 20 + sound
    for header in (
        b"\xff\xfb\x00\x00",
        b"\xff\xfb\xf0\x00",
        b"\xff\xe3\x18\xc4",
        b"\xff\xff\xff\xff",
    ):
        yield f"mp3: frames of {header.hex()}", "mp3", header * 3000


def _box(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I4s", 8 + len(content), name) + content


def _lies_of_mp4(files: Mapping[str, bytes]) -> Iterator[tuple[str, str, bytes]]:
    for name in ("m4a", "alac", "mp4-fragments"):
        content = files[name]
        for word in (b"moov", b"trak", b"mdia", b"stbl", b"stsd", b"mdat", b"ftyp"):
            for size in _SIZES:
                packed = struct.pack(">I", size)
                changed = _with(content, content.index(word) - 4, packed)
                yield f"{name}: {word.decode()} of {size} bytes", "m4a", changed
        for word, places in (
            (b"stts", (8, 12, 16)),
            (b"stsz", (8, 12, 16)),
            (b"stsc", (8, 12, 16, 20)),
            (b"stco", (8, 12)),
            (b"elst", (8, 12, 16)),
            (b"mdhd", (16, 20)),
            (b"mvhd", (16, 20)),
            (b"trun", (4, 8, 12, 16)),
        ):
            for place in places if word in content else ():
                for number in _SIZES:
                    at = content.index(word) + place
                    changed = _with(content, at, struct.pack(">I", number))
                    yield f"{name}: {word.decode()}+{place} is {number}", "m4a", changed
    m4a = files["m4a"]
    entry = m4a.index(b"mp4a")
    for offset, packed in ((20, b"\xff\xff"), (20, b"\0\0"), (28, b"\xff" * 4), (28, bytes(4))):
        changed = _with(m4a, entry + offset, packed)
        yield f"m4a: mp4a+{offset} is {packed.hex()}", "m4a", changed
    head = m4a[: m4a.index(b"ftyp") - 4 + 28]
    nested = b""
    for _ in range(3000):
        nested = _box(b"moov", nested)
    yield "mp4: 3000 films in each other", "mp4", head + nested
    for word in (b"udta", b"meta", b"trak", b"mdia", b"moof", b"ilst", b"wave"):
        nested = b""
        for _ in range(2000):
            nested = _box(word, (b"\0\0\0\0" if word == b"meta" else b"") + nested)
        yield f"mp4: 2000 {word.decode()} in each other", "mp4", head + _box(b"moov", nested)
    yield "mp4: 100000 boxes", "mp4", head + _box(b"free", b"") * 100_000 + m4a
    yield "mp4: 50000 tracks", "mp4", head + _box(b"moov", _box(b"trak", b"") * 50_000)
    compressed = zlib.compress(_box(b"moov", bytes(_BOMB_BYTES)), 9)
    bomb = _box(b"dcom", b"zlib") + _box(b"cmvd", struct.pack(">I", _BOMB_BYTES) + compressed)
    yield "mp4: a compressed film of 64 MB", "mp4", head + _box(b"moov", _box(b"cmov", bomb))


def _wrong_content(files: Mapping[str, bytes]) -> Iterator[tuple[str, str, bytes]]:
    for name, suffix in (("wav-16", "mp3"), ("mp3-cbr", "wav"), ("m4a", "flac"), ("ogg", "m4a")):
        yield f"{name} called {suffix}", suffix, files[name]
    others = {
        "text": b"These are the words of a song.\n" * 300,
        "page": b"<!DOCTYPE html><html><body><p>404</p></body></html>\n" * 30,
        "play list": b"#EXTM3U\n#EXT-X-VERSION:3\nfile:///etc/passwd\n../../etc/passwd\n",
        "play list of HLS": b"#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:5,\nfile:///etc/hosts\n",
        "DASH": b'<?xml version="1.0"?><MPD><BaseURL>file:///etc/passwd</BaseURL></MPD>',
        "concat": b"ffconcat version 1.0\nfile /etc/passwd\n",
        "subtitles": b"1\n00:00:01,000 --> 00:00:02,000\nla la\n\n" * 50,
        "cue sheet": b'FILE "/etc/passwd" BINARY\nTRACK 01 AUDIO\nINDEX 01 00:00:00\n',
        "SDP": b"v=0\no=- 0 0 IN IP4 127.0.0.1\nc=IN IP4 127.0.0.1\nm=audio 9 RTP/AVP 0\n",
        "program": b"\x7fELF\2\1\1" + bytes(5000),
        "PDF": b"%PDF-1.7\n" + bytes(range(256)) * 20,
        "zeros": bytes(50_000),
        "ones": b"\xff" * 50_000,
        "one byte": b"R",
        "four bytes": b"RIFF",
        "MIDI": b"MThd\0\0\0\6\0\1\0\1\0\x60MTrk\0\0\0\4\0\xff\x2f\0",
    }
    for what, content in others.items():
        for suffix in ("wav", "mp3", "m3u8"):
            yield f"{what} called {suffix}", suffix, content
    for start in (b"RIFF\0\0\0\0WAVE", b"fLaC", b"OggS", b"FORM\0\0\0\0AIFF", b"caff", b".snd"):
        for rest in (b"", bytes(3000), b"\xff" * 3000):
            yield f"{start[:4]!r} and {rest[:1]!r}", "wav", start + rest


def _bombs(files: Mapping[str, bytes]) -> Iterator[tuple[str, str, bytes]]:
    zeros = bytes(_BOMB_BYTES)
    packed = gzip.compress(zeros, 9, mtime=0)
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        archive.writestr("bomb.wav", zeros)
    for suffix in ("wav", "mp3", "flac", "m4a"):
        yield f"gzip called {suffix}", suffix, packed
        yield f"ZIP called {suffix}", suffix, file.getvalue()
    yield "gzip behind a WAV header", "wav", files["wav-16"][:44] + packed
    # A compressed picture of 65535 x 65535 pixels is carried as it is, never unpacked.
    size = struct.pack(">II5B", 65535, 65535, 8, 0, 0, 0, 0)
    image = b"\x89PNG\r\n\x1a\n" + _png(b"IHDR", size) + _png(b"IDAT", packed) + _png(b"IEND", b"")
    picture = struct.pack(">II9sIIIIII", 3, 9, b"image/png", 0, 65535, 65535, 8, 0, len(image))
    block = bytes([6]) + len(picture + image).to_bytes(3, "big") + picture + image
    flac = files["flac"]
    yield "flac: a picture that is a bomb", "flac", flac[:42] + block + flac[42:]
    yield "a picture that is a bomb", "png", image
    for n_bytes in (9_900_000, _BOMB_BYTES):
        yield f"mkv: packed blocks of {n_bytes} zeros", "mkv", _packed_matroska(n_bytes, 8)


def _packed_matroska(n_block_bytes: int, n_blocks: int) -> bytes:
    """Make a Matroska of PCM whose blocks are compressed, which makes a thousand bytes of one."""
    header = _element("1A45DFA3", _element("4282", b"matroska"))
    packing = _element("5034", _element("4254", b"\0"))  # zlib
    encoding = _element("6240", _element("5031", b"\0") + _element("5032", b"\1") + packing)
    rate = _element("B5", struct.pack(">d", 44100)) + _element("9F", b"\1")
    track = _element("D7", b"\1") + _element("73C5", b"\1") + _element("83", b"\2")
    track += _element("86", b"A_PCM/INT/LIT") + _element("E1", rate + _element("6264", b"\x10"))
    tracks = _element("1654AE6B", _element("AE", track + _element("6D80", encoding)))
    block = b"\x81\0\0\x80" + zlib.compress(bytes(n_block_bytes), 9)
    cluster = _element("1F43B675", _element("E7", b"\0") + _element("A3", block) * n_blocks)
    return header + _element("18538067", tracks + cluster)


def _element(name: str, content: bytes) -> bytes:
    return bytes.fromhex(name) + (1 << 56 | len(content)).to_bytes(8, "big") + content


def _png(name: bytes, content: bytes) -> bytes:
    checksum = zlib.crc32(name + content)
    return struct.pack(">I4s", len(content), name) + content + struct.pack(">I", checksum)
