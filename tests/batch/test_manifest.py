"""Folders and tables name tracks; what is wrong with a table is said with its row."""

from __future__ import annotations

import csv
import json
import os

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stemlight.batch import Item, read_items
from stemlight.errors import MissingExtraError, UsageError

from .material import write_song

arrow = pytest.importorskip("pyarrow", reason="pyarrow is not installed")
parquet = pytest.importorskip("pyarrow.parquet", reason="pyarrow is not installed")

FORMS = ["csv", "jsonl", "parquet"]
ROWS = [
    {"path": "a.wav", "id": "first", "stems": "vocals, drums", "format": "flac"},
    {"path": "/far/b.wav", "id": "", "bit_depth": "16"},
    {"path": "s3://bucket/c.mp3", "id": "third", "bit_rate": 128},
]


def write_table(path, rows, columns=None):
    columns = columns or list(dict.fromkeys(name for row in rows for name in row))
    if path.suffix == ".csv":
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, columns)
            writer.writeheader()
            writer.writerows(rows)
    elif path.suffix == ".jsonl":
        path.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    else:
        content = {name: [row.get(name) for row in rows] for name in columns}
        parquet.write_table(arrow.table(content), path)
    return str(path)


@pytest.mark.parametrize("form", FORMS)
def test_each_kind_of_table_names_the_same_tracks(tmp_path, form):
    table = write_table(tmp_path / f"table.{form}", ROWS)
    assert list(read_items(table)) == [
        Item("first", f"{tmp_path}/a.wav", {"stems": ("vocals", "drums"), "format": "flac"}),
        Item("/far/b.wav", "/far/b.wav", {"bit_depth": "16"}),
        Item("third", "s3://bucket/c.mp3", {"bit_rate": 128}),
    ]


names = st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=20)


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(rows=st.lists(st.tuples(names, names), min_size=1, unique_by=lambda row: row[0]))
@pytest.mark.parametrize("form", FORMS)
def test_any_ids_and_paths_come_back_as_they_were_written(tmp_path, form, rows):
    table = [{"id": id, "path": f"/x/{path}"} for id, path in rows]
    where = write_table(tmp_path / f"table.{form}", table)
    assert [(item.id, item.path) for item in read_items(where)] == [
        (row["id"], row["path"]) for row in table
    ]


@pytest.mark.parametrize("form", ["jsonl", "parquet"])
def test_stems_may_be_a_list_and_numbers_ids(tmp_path, form):
    table = write_table(tmp_path / f"t.{form}", [{"path": "/a", "id": 7, "stems": ["bass"]}])
    assert list(read_items(table)) == [Item("7", "/a", {"stems": ("bass",)})]


def test_numbers_beside_empty_cells_are_whole_in_parquet(tmp_path):
    rows = [{"path": "/a", "bit_rate": 128.0}, {"path": "/b", "bit_rate": float("nan")}]
    table = write_table(tmp_path / "t.parquet", rows)
    assert [item.options for item in read_items(table)] == [{"bit_rate": 128}, {}]


def test_a_relative_table_and_path_stay_relative(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "below").mkdir()
    write_table(tmp_path / "below" / "t.csv", [{"path": "a.wav"}])
    write_table(tmp_path / "t.csv", [{"path": "a.wav"}])
    assert next(read_items("below/t.csv")).path == "below/a.wav"
    assert next(read_items("t.csv")).path == "a.wav"


def test_rows_are_read_as_they_are_asked_for(tmp_path):
    table = tmp_path / "t.jsonl"
    table.write_text('{"path": "/a"}\nno JSON\n')
    items = read_items(str(table))
    assert next(items).path == "/a"
    with pytest.raises(UsageError, match="row 2 is no JSON"):
        next(items)


@pytest.mark.parametrize("form", FORMS)
def test_an_id_that_comes_twice_is_refused_with_both_rows(tmp_path, form):
    table = write_table(tmp_path / f"t.{form}", [{"path": "/a"}, {"path": "/b"}, {"path": "/a"}])
    first, second = (2, 4) if form == "csv" else (1, 3)  # the first line of CSV is the header
    message = rf"t\.{form}, row {second}: the id '/a' is that of row {first}; give each row"
    with pytest.raises(UsageError, match=message):
        list(read_items(table))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("title\nx\n", r"it has no column 'path'; its columns are: title"),
        ("", r"it has no column 'path'; its columns are: none"),
        ("path,fromat\n/a,wav\n", r"it has a column 'fromat' \(did you mean 'format'\?\)"),
        ("path,Stems\n/a,vocals\n", r"it has a column 'Stems' \(did you mean 'stems'\?\)"),
        ("path,id\n,x\n", r"t\.csv, row 2: has no path; write a file's path or URL there"),
        ("path\n/a,/b\n", r"row 2 has more cells than the header has columns"),
        ("path,stems\n/a,\"vocals,,\"\n", r"row 2: stems must be names separated by commas"),
        ("path,bit_rate\n/a,fast\n", r"row 2: bit_rate must be a number of kbit/s, 1 or more"),
        ("path,bit_rate\n/a,0\n", r"bit_rate must be a number of kbit/s, 1 or more, not '0'"),
        ('path\n"/a', r"row 2 is no CSV: unexpected end of data"),
        (b"path\n\xff\n", r"t\.csv: .*can't decode byte 0xff"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_csv_is_told(tmp_path, text, message):
    table = tmp_path / "t.csv"
    table.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(UsageError, match=message):
        list(read_items(str(table)))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("[1]", r"row 1 is no object of JSON; write {\"path\": \.\.\.}"),
        ('{"path": 3}', r"row 1: path must be text, not 3"),
        ('{"path": "/a", "stems": [1]}', r"row 1: stems must be names separated by commas"),
        ('{"path": "/a", "bit_rate": true}', r"row 1: bit_rate must be a number"),
        ('{"path": "/a", "formats": "wav"}', r"row 1 has a column 'formats' \(did you mean 'for"),
        ('{"id": "/a"}', r"row 1 has no column 'path'; its columns are: id"),
    ],
)
def test_what_is_wrong_with_json_lines_is_told(tmp_path, line, message):
    table = tmp_path / "t.jsonl"
    table.write_text(line)
    with pytest.raises(UsageError, match=message):
        list(read_items(str(table)))


def test_a_file_that_is_no_parquet_is_refused(tmp_path):
    (tmp_path / "t.parquet").write_text("no table")
    with pytest.raises(UsageError, match=r"t\.parquet: Parquet"):
        list(read_items(str(tmp_path / "t.parquet")))


def test_columns_of_ones_own_are_left_alone(tmp_path):
    table = write_table(tmp_path / "t.csv", [{"path": "/a", "tempo": "120", "item": "x", "uid": 1}])
    assert list(read_items(table)) == [Item("/a", "/a")]


@pytest.mark.parametrize(
    ("where", "message"),
    [
        (
            "nothing",
            r"nothing is not there; give a folder with .*, or a table that ends in \.csv, \.jsonl",
        ),
        ("nothing.csv", r"cannot read nothing\.csv: No such file or directory"),
        ("song.wav", r"song\.wav is neither; give a folder with something in it, or a table"),
        ("", r"'' is no name of a folder or table"),
        ("wrong://x/songs", r"wrong://x/songs is no place that can be opened: .*wrong"),
    ],
)
def test_what_is_neither_folder_nor_table_is_refused(tmp_path, monkeypatch, where, message):
    monkeypatch.chdir(tmp_path)
    write_song(tmp_path / "song.wav")
    with pytest.raises(UsageError, match=message):
        list(read_items(where))


def test_a_missing_package_for_urls_is_named(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "gcsfs", None)
    with pytest.raises(MissingExtraError, match=r"gs:// needs a package of its own .*gcsfs"):
        list(read_items("gs://bucket/songs"))


# Folders


def test_a_folder_is_walked_in_order_without_what_is_no_song(songs):
    os.mkfifo(songs / "pipe.wav")
    (songs / "more" / "circle").symlink_to(songs)
    (songs / "link.wav").symlink_to(songs / "one.wav")
    assert list(read_items(str(songs))) == [
        Item(name, f"{songs}/{name}")
        for name in ("link.wav", "one.wav", "two.flac", "more/three.wav")
    ]


def test_results_within_the_folder_are_no_songs(songs):
    write_song(songs / "out" / "results" / "vocals.wav")
    found = [item.id for item in read_items(str(songs), but=f"{songs}/more/../out/")]
    assert found == ["one.wav", "two.flac", "more/three.wav"]
    with pytest.raises(UsageError, match="is input and output in one; choose another output"):
        list(read_items(str(songs), but=str(songs)))


def test_a_bucket_is_walked_like_a_folder(songs, s3, tmp_path):
    import fsspec

    root = f"{s3}/{tmp_path.name}/songs"
    fsspec.filesystem("s3").put(str(songs), root, recursive=True)
    write_song(tmp_path / "vocals.wav")
    fsspec.filesystem("s3").put(str(tmp_path / "vocals.wav"), f"{root}/out/results/vocals.wav")
    assert list(read_items(root, but=f"{root}/out")) == [
        Item(name, f"{root}/{name}") for name in ("one.wav", "two.flac", "more/three.wav")
    ]


def test_a_table_in_a_bucket_names_what_is_beside_it(s3, tmp_path):
    import fsspec

    write_table(tmp_path / "t.parquet", [{"path": "a.wav"}])
    url = f"{s3}/{tmp_path.name}/t.parquet"
    fsspec.filesystem("s3").put(str(tmp_path / "t.parquet"), url)
    assert list(read_items(url)) == [Item("a.wav", f"{s3}/{tmp_path.name}/a.wav")]


def test_a_store_that_does_not_answer_is_told_in_one_line(monkeypatch):
    import fsspec

    class NoCredentialsError(Exception):
        pass

    def fail(*arguments, **options):
        raise NoCredentialsError("Unable to\nlocate credentials")

    monkeypatch.setattr(fsspec.get_filesystem_class("memory"), "ls", fail)
    monkeypatch.setattr(fsspec.get_filesystem_class("memory"), "isdir", lambda *arguments: True)
    message = r"cannot read memory://songs: NoCredentialsError: Unable to locate credentials$"
    with pytest.raises(UsageError, match=message):
        list(read_items("memory://songs"))


def test_a_bucket_without_such_songs_is_refused(s3):
    with pytest.raises(UsageError, match=rf"{s3}/nothing is neither; give a folder with something"):
        list(read_items(f"{s3}/nothing"))
