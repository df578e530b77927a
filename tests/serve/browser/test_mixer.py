"""The mixer in a browser: what is played, seen, exported and taken home."""

from __future__ import annotations

import io
import itertools
import re
import zipfile

import numpy as np
import pytest
import soundfile

from .conftest import SONG_SECONDS

STEMS = ("vocals", "drums", "bass", "other")


def seconds(page) -> float:
    return float(page.input_value(".position"))


def wait_until(page, condition: str) -> None:
    page.wait_for_function(f"() => {{ {condition} }}")


def play(page) -> None:
    page.keyboard.press("Space")
    wait_until(page, "return document.querySelector('.position').value > 0.3")


def pressed(page, selector: str) -> bool:
    return page.get_attribute(selector, "aria-pressed") == "true"


def point_in(page, share: float, lane: str = "bass") -> tuple[float, float]:
    box = page.locator(f".lane[data-stem={lane}] .strip").bounding_box()
    return box["x"] + share * box["width"], box["y"] + box["height"] / 2


def drag(page, first: float, last: float) -> None:
    page.mouse.move(*point_in(page, first))
    page.mouse.down()
    page.mouse.move(*point_in(page, (first + last) / 2))
    page.mouse.move(*point_in(page, last))
    page.mouse.up()


def saved(page, act) -> tuple[str, bytes]:
    with page.expect_download() as waiting:
        act()
    download = waiting.value
    with open(download.path(), "rb") as file:  # noqa: PTH123 - a string of Playwright's
        return download.suggested_filename, file.read()


def samples_of(content: bytes) -> np.ndarray:
    samples, _ = soundfile.read(io.BytesIO(content), dtype="float64")
    return samples


def test_playing_advances_in_real_time_is_heard_and_stops_where_it_is_paused(mixer):
    play(mixer)
    wait_until(
        mixer,
        "return getComputedStyle(document.querySelector('.meter-fill')).transform"
        " !== 'matrix(0, 0, 0, 1, 0, 0)'",
    )
    times = mixer.evaluate(
        """async () => {
            const at = () => [performance.now() / 1000,
                              Number(document.querySelector('.position').value)];
            const first = at();
            await new Promise((done) => setTimeout(done, 1500));
            return [first, at()];
        }"""
    )
    (clock, place), (later_clock, later_place) = times
    assert later_place - place == pytest.approx(later_clock - clock, abs=0.25)
    mixer.keyboard.press("Space")
    stopped = seconds(mixer)
    mixer.wait_for_timeout(400)
    assert seconds(mixer) == pytest.approx(stopped, abs=0.05)
    assert mixer.get_attribute(".play-button", "aria-label") == "Play"


def test_the_end_of_the_song_ends_playing_and_play_starts_again(mixer):
    mixer.mouse.click(*point_in(mixer, 0.9))
    mixer.keyboard.press("Space")
    wait_until(mixer, "return document.querySelector('.position').value >= 5.9")
    mixer.wait_for_selector(".play-button[aria-label=Play]")
    mixer.keyboard.press("Space")
    wait_until(
        mixer, "const at = document.querySelector('.position').value; return at > 0.2 && at < 3"
    )


def test_a_click_on_any_waveform_keys_and_the_slider_move_the_playhead(mixer):
    mixer.mouse.click(*point_in(mixer, 0.5))
    mixer.wait_for_timeout(50)
    assert seconds(mixer) == pytest.approx(SONG_SECONDS / 2, abs=0.15)
    mixer.keyboard.press("Shift+ArrowRight")
    mixer.wait_for_timeout(50)
    assert seconds(mixer) == pytest.approx(SONG_SECONDS / 2 + 1, abs=0.15)
    mixer.keyboard.press("Home")
    mixer.wait_for_timeout(50)
    assert seconds(mixer) == 0
    mixer.focus(".position")
    mixer.keyboard.press("End")
    mixer.wait_for_timeout(50)
    assert seconds(mixer) == pytest.approx(SONG_SECONDS, abs=0.11)
    assert mixer.get_attribute(".position", "aria-valuetext") == "0:06 of 0:06"


def test_a_dragged_part_is_looped_until_it_is_switched_off(mixer):
    drag(mixer, 0.5, 0.6)
    assert pressed(mixer, "button[title^='Loop']")
    play(mixer)
    low, high = 0.5 * SONG_SECONDS, 0.6 * SONG_SECONDS
    places = []
    for _ in range(25):
        mixer.wait_for_timeout(80)
        places.append(seconds(mixer))
    assert min(places) >= low - 0.15
    assert max(places) <= high + 0.15
    assert any(later < place - 0.2 for place, later in itertools.pairwise(places))
    mixer.keyboard.press("l")
    wait_until(mixer, "return document.querySelector('.position').value > 3.9")


def test_a_browser_that_does_not_switch_its_sound_on_is_told_of(open_context, server, finished):
    page = open_context(server.url, storage_state=finished["state"]).new_page()
    page.add_init_script("AudioContext.prototype.resume = () => new Promise(() => undefined)")
    page.goto(finished["url"])
    page.wait_for_selector(".lane:nth-of-type(4) canvas")
    page.keyboard.press("Space")
    page.wait_for_selector(".problem:visible")
    assert "Look whether there is a sound output" in page.inner_text(".problem:visible")
    assert page.get_attribute(".play-button", "aria-label") == "Play"


def test_a_part_that_is_being_dragged_stays_in_sight_while_the_song_plays(mixer):
    play(mixer)
    mixer.mouse.move(*point_in(mixer, 0.5))
    mixer.mouse.down()
    mixer.mouse.move(*point_in(mixer, 0.7))
    for _ in range(8):
        mixer.wait_for_timeout(60)
        assert mixer.locator(".loop:visible").count() == 4
    mixer.mouse.up()
    left, width = mixer.eval_on_selector(".loop", "e => [e.style.left, e.style.width]")
    assert float(left.rstrip("%")) == pytest.approx(50, abs=0.5)
    assert float(width.rstrip("%")) == pytest.approx(20, abs=0.5)


def test_brackets_loop_without_a_pointer_and_escape_forgets(mixer):
    mixer.keyboard.press("ArrowRight")
    mixer.keyboard.press("Shift+ArrowLeft")
    mixer.keyboard.press("[")
    mixer.keyboard.press("Shift+ArrowRight")
    mixer.keyboard.press("]")
    left, width = mixer.eval_on_selector(".loop", "e => [e.style.left, e.style.width]")
    assert float(left.rstrip("%")) == pytest.approx(100 * 4 / SONG_SECONDS, abs=0.5)
    assert float(width.rstrip("%")) == pytest.approx(100 * 1 / SONG_SECONDS, abs=0.5)
    mixer.keyboard.press("Escape")
    assert mixer.locator(".loop:visible").count() == 0


def test_digits_mute_shift_digits_solo_and_presets_say_which_they_are(mixer):
    mixer.keyboard.press("1")
    assert pressed(mixer, ".lane[data-stem=vocals] .mute")
    assert mixer.locator(".lane.unheard").count() == 1
    assert pressed(mixer, ".presets button:has-text('No vocals')")
    mixer.keyboard.press("1")
    mixer.keyboard.press("Shift+Digit2")
    assert pressed(mixer, ".lane[data-stem=drums] .solo")
    assert mixer.locator(".lane.unheard").count() == 3
    mixer.click(".presets button:has-text('Drum practice')")
    assert mixer.locator(".lane.unheard").get_attribute("data-stem") == "drums"
    mixer.click("text=Reset levels")
    assert mixer.locator(".lane.unheard").count() == 0


def test_o_plays_the_original_in_the_place_of_the_stems(mixer):
    play(mixer)
    mixer.keyboard.press("o")
    mixer.wait_for_selector(".original-heard")
    before = seconds(mixer)
    mixer.wait_for_timeout(600)
    assert seconds(mixer) > before
    mixer.keyboard.press("o")
    assert mixer.locator(".original-heard").count() == 0
    assert mixer.locator(".problem:visible").count() == 0


def test_spectrograms_take_the_place_of_waveforms(mixer):
    mixer.keyboard.press("g")
    mixer.wait_for_function(
        "() => [...document.querySelectorAll('.picture img')]"
        ".filter((i) => i.complete && i.naturalWidth > 100).length === 4"
    )
    assert mixer.locator(".wave:visible").count() == 0
    assert "kHz" in mixer.inner_text(".lane[data-stem=bass] .hertz.high")
    mixer.keyboard.press("g")
    assert mixer.locator(".wave:visible").count() == 4


def test_the_export_is_what_is_heard(mixer):
    mixer.click(".presets button:has-text('Vocals only')")
    mixer.select_option("select[aria-label='Format of the mix']", "wav/24")
    name, mix = saved(mixer, lambda: mixer.keyboard.press("e"))
    assert name == "feelings (mix).wav"
    _, vocals = saved(mixer, lambda: mixer.click(".lane[data-stem=vocals] .lane-head a"))
    np.testing.assert_allclose(samples_of(mix), samples_of(vocals), atol=2**-22)

    mixer.focus(".lane[data-stem=vocals] input[aria-label^=Pan]")
    mixer.keyboard.press("End")
    _, mix = saved(mixer, lambda: mixer.click("text=Export mix"))
    assert not samples_of(mix)[:, 0].any()
    assert samples_of(mix)[:, 1].any()


def test_a_mix_of_nothing_is_refused_in_words(mixer):
    for digit in "1234":
        mixer.keyboard.press(digit)
    mixer.click("text=Export mix")
    mixer.wait_for_selector(".take .problem:visible")
    assert "Every stem is muted" in mixer.inner_text(".take .problem")


def test_stems_come_home_as_a_zip_and_as_one_file_for_dj_software(mixer):
    name, content = saved(mixer, lambda: mixer.click("text=All stems, zip"))
    assert name == "feelings.zip"
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert sorted(archive.namelist()) == sorted(f"{stem}.wav" for stem in STEMS)
        assert samples_of(archive.read("bass.wav")).shape == (SONG_SECONDS * 44100, 2)
    name, content = saved(mixer, lambda: mixer.click("a:has-text('stem.mp4')"))
    assert name == "feelings.stem.mp4"
    assert content[4:8] == b"ftyp"


def test_the_help_lists_the_keys_and_escape_closes_it(mixer):
    mixer.keyboard.press("?")
    mixer.wait_for_selector("dialog.help[open]")
    assert "loop from here" in mixer.inner_text("dialog.help")
    mixer.keyboard.press("Escape")
    mixer.wait_for_selector("dialog.help", state="hidden")


def test_everything_has_a_name_and_is_reached_by_tab(mixer):
    nameless = mixer.evaluate(
        """() => [...document.querySelectorAll('button, a, input, select')].filter((e) =>
            !(e.getAttribute('aria-label') || e.textContent.trim() || e.labels?.length))
            .map((e) => e.outerHTML)"""
    )
    assert nameless == []
    reached = []
    for _ in range(60):
        mixer.keyboard.press("Tab")
        reached.append(
            mixer.evaluate(
                "(document.activeElement.getAttribute('aria-label')"
                " || document.activeElement.innerText)"
            )
        )
    places = [
        reached.index(name)
        for name in (
            "Play",
            "Position in the song",
            "Mute vocals",
            "Volume of vocals",
            "Mute other",
        )
    ]
    assert places == sorted(places)
    mixer.focus(".lane[data-stem=bass] input[aria-label^=Volume]")
    mixer.keyboard.press("ArrowLeft")
    gain = mixer.get_attribute(".lane[data-stem=bass] input[aria-label^=Volume]", "aria-valuetext")
    assert gain == "\N{MINUS SIGN}0.5 dB"


def test_chunks_on_the_clock_lose_and_repeat_no_sample(mixer):
    """The engine's way of scheduling, rendered without a sound card: equal to the sound itself."""
    worst = mixer.evaluate(
        """async () => {
            const rate = 44100, chunk = 8 * rate, length = 3 * chunk + 777;
            const sound = Float32Array.from({ length }, () => Math.random() - 0.5);
            const context = new OfflineAudioContext(1, length + rate, rate);
            const first = Math.round(0.123456 * rate);
            for (let at = 0; at < length; at += chunk) {
                const part = sound.subarray(at, at + chunk);
                const buffer = new AudioBuffer({ length: part.length, sampleRate: rate });
                buffer.copyToChannel(part, 0);
                const node = new AudioBufferSourceNode(context, { buffer });
                node.connect(context.destination);
                node.start((first + at) / rate, 0, part.length / rate);
            }
            const played = (await context.startRendering()).getChannelData(0);
            const errors = sound.map((x, i) => Math.abs(x - played[first + i]));
            return errors.reduce((worst, error) => Math.max(worst, error), 0);
        }"""
    )
    assert worst == 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_shows_all_of_it_without_scrolling_sideways(open_context, server, finished, scheme):
    context = open_context(
        server.url,
        storage_state=finished["state"],
        viewport={"width": 360, "height": 740},
        color_scheme=scheme,
        has_touch=True,
    )
    page = context.new_page()
    for url in (server.url, finished["url"]):
        page.goto(url)
        page.wait_for_selector(".drop:visible, .lane canvas")
        assert page.evaluate("document.documentElement.scrollWidth") == 360
    background = page.evaluate("getComputedStyle(document.documentElement).backgroundColor")
    brightness = sum(map(int, re.findall(r"\d+", background)[:3])) / 3
    assert brightness > 200 if scheme == "light" else brightness < 50


def test_the_button_for_colours_wins_over_the_system_and_is_kept(mixer):
    def is_dark() -> bool:
        mixer.wait_for_selector(".top button")
        colour = mixer.evaluate("getComputedStyle(document.documentElement).backgroundColor")
        return sum(map(int, re.findall(r"\d+", colour)[:3])) < 150

    assert not is_dark()
    mixer.click(".top button")
    mixer.click(".top button")
    assert is_dark()
    mixer.reload()
    assert is_dark()
