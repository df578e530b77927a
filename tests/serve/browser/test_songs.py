"""Songs in a browser: dropped, followed, cancelled, kept, shared by tabs, and refused in words."""

from __future__ import annotations

import base64
import signal

import pytest

NASTY = "<img src=x onerror=alert(1)>.flac"

DROP = """([name, content]) => {
    const bytes = Uint8Array.from(atob(content), (letter) => letter.charCodeAt(0));
    const transfer = new DataTransfer();
    transfer.items.add(new File([bytes], name));
    const event = (type) =>
        new DragEvent(type, { dataTransfer: transfer, bubbles: true, cancelable: true });
    document.querySelector(".drop").dispatchEvent(event("dragenter"));
    document.querySelector(".drop").dispatchEvent(event("drop"));
}"""


def drop(page, name: str, content: bytes) -> None:
    page.evaluate(DROP, [name, base64.b64encode(content).decode()])


def wait_for_row(page, state: str, name: str = "") -> None:
    page.wait_for_selector(f".row[data-state={state}]:has-text('{name}')")


def state_of(page) -> str:
    return page.inner_text(".row-state")


def test_a_dropped_song_with_a_nasty_name_becomes_stems_and_its_name_stays_text(page, song):
    drop(page, NASTY, song.read_bytes())
    wait_for_row(page, "done")
    assert page.inner_text(".row-title") == NASTY
    assert page.inner_text("[aria-live=polite]") == f"{NASTY}: stems are ready"
    assert "vocals, drums, bass, other" in state_of(page)
    page.click(".row a")
    page.wait_for_selector(".lane canvas")
    assert page.inner_text("h1:visible") == NASTY
    assert page.locator("img").count() == 0


def test_only_picked_stems_are_made_in_the_picked_format(page, song):
    page.uncheck("input[value=vocals]")
    page.uncheck("input[value=other]")
    page.select_option("#format", "flac/16")
    page.set_input_files("#files", song)
    wait_for_row(page, "done")
    page.click(".row a")
    page.wait_for_selector(".lane canvas")
    names = page.locator(".lane").evaluate_all("all => all.map((lane) => lane.dataset.stem)")
    assert names == ["drums", "bass"]
    assert page.locator(".presets button:has-text('Vocals')").count() == 0
    page.keyboard.press("Space")  # FLAC is decoded whole
    page.wait_for_function("() => document.querySelector('.position').value > 0.3")


def test_several_songs_go_one_after_the_other_and_a_reload_loses_none(page, song, tmp_path):
    second = tmp_path / "second.flac"
    second.write_bytes(song.read_bytes())
    page.set_input_files("#files", [song, second])
    page.wait_for_selector(".row:has-text('second.flac'):not([data-state=waiting])")
    page.wait_for_function(
        "() => ![...document.querySelectorAll('.row')].some((row) =>"
        " ['waiting', 'sending'].includes(row.dataset.state))"
    )
    page.reload()
    wait_for_row(page, "done", "feelings.flac")
    wait_for_row(page, "done", "second.flac")


def test_a_running_job_shows_its_bar_and_is_cancelled_and_removed(page, long_song):
    page.set_input_files("#files", long_song)
    wait_for_row(page, "running")
    page.wait_for_function(
        "() => Number(document.querySelector('.bar')?.getAttribute('aria-valuenow')) >= 1"
    )
    assert "Separating" in state_of(page)
    page.click("[aria-label='Cancel long.wav']")
    wait_for_row(page, "cancelled")
    assert state_of(page).startswith("Cancelled")
    page.click("[aria-label='Remove long.wav']")
    page.wait_for_selector(".row", state="detached")
    assert page.evaluate("document.activeElement.id") == "files"


def test_two_tabs_see_the_same_jobs_and_removals(page, server, song):
    other = page.context.new_page()
    other.goto(server.url)
    page.set_input_files("#files", song)
    wait_for_row(other, "done")
    wait_for_row(page, "done")
    other.click("[aria-label='Remove feelings.flac']")
    page.wait_for_selector(".row", state="detached")


def test_another_person_sees_nothing_of_it(open_context, server, finished):
    stranger = open_context(server.url).new_page()
    stranger.goto(server.url)
    stranger.wait_for_selector(".empty:visible")
    stranger.goto(finished["url"])
    stranger.wait_for_selector(".problem:visible")
    assert stranger.locator(".lane").count() == 0


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("notes.txt", b"these are words, and no sound", "notes.txt is no audio"),
        ("empty.wav", b"", "The file is empty. Choose one that holds sound."),
    ],
)
def test_files_without_sound_are_refused_in_their_place(page, name, content, words):
    page.set_input_files(
        "#files", {"name": name, "mimeType": "application/octet-stream", "buffer": content}
    )
    wait_for_row(page, "failed", name)
    assert words in state_of(page)
    page.click(".row button")
    page.wait_for_selector(".row", state="detached")


def test_no_stem_picked_is_told_beside_the_stems(page, song):
    for name in ("vocals", "drums", "bass", "other"):
        page.uncheck(f"input[value={name}]")
    page.set_input_files("#files", song)
    assert "Pick at least one" in page.inner_text(".field .problem:visible")
    assert page.locator(".row").count() == 0


def test_a_killed_server_is_told_and_started_again_goes_on_with_the_job(
    start_server, open_context, long_song
):
    server = start_server()
    page = open_context(server.url).new_page()
    page.goto(server.url)
    page.set_input_files("#files", long_song)
    wait_for_row(page, "running")
    server.end(signal.SIGKILL)
    page.wait_for_selector(".banner:visible")
    assert "tries again by itself" in page.inner_text(".banner")
    server.start()
    page.wait_for_selector(".banner", state="hidden")
    wait_for_row(page, "running", "long.wav")
    page.click("[aria-label='Cancel long.wav']")
    wait_for_row(page, "cancelled")
    server.end()


def test_a_server_with_a_key_asks_for_it_until_it_is_right(
    start_server, open_context, tmp_path, song
):
    keys = tmp_path / "keys"
    keys.write_text("correct-horse-battery-staple\n")
    server = start_server("--api-key-file", str(keys))
    page = open_context(server.url).new_page()
    page.goto(server.url)
    page.fill("#key", "wrong-horse-battery-staple")
    page.keyboard.press("Enter")
    page.wait_for_selector("dialog:has-text('was not right')")
    page.fill("#key", "correct-horse-battery-staple")
    page.keyboard.press("Enter")
    page.wait_for_selector(".drop")
    page.set_input_files("#files", song)
    wait_for_row(page, "done")
    page.reload()
    wait_for_row(page, "done")
    server.end()
