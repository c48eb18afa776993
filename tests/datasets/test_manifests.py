"""A manifest becomes labels and splits, or one clear error."""

import json
import unicodedata
from pathlib import Path

import pytest
from PIL import Image

from nstk.datasets.folders import scan_folder
from nstk.datasets.manifests import read_manifest
from nstk.errors import FolderError

NAMES = [f"{place}/{number}.png" for place in ("x", "y") for number in range(1, 11)]
GOOD = [f"{name},{name[0]}" for name in NAMES]


@pytest.fixture
def place(tmp_path):
    """A folder with twenty images below x/ and y/."""
    for shade, name in enumerate(NAMES):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.new("RGB", (4, 3), (shade, 0, 7)).save(tmp_path / name)
    return tmp_path


def write_csv(place: Path, *lines: str, name: str = "images.csv") -> Path:
    path = place / name
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def write_jsonl(place: Path, *objects: object) -> Path:
    return write_csv(place, *map(json.dumps, objects), name="images.jsonl")


def cat_or_dog(name: str) -> str:
    return "dog" if name.startswith("y") else "cat"


def test_a_table_of_paths_and_labels_equals_class_folders(place):
    rows = [f"{name},{cat_or_dog(name)}" for name in NAMES]
    tables = [
        write_csv(place, "path,label", *rows, name="a.csv"),
        write_csv(place, "path;label", *(row.replace(",", ";") for row in rows), name="b.csv"),
        write_csv(place, "Label\tignored\tPATH",
                  *(f"{cat_or_dog(name)}\t?\t./{name}" for name in reversed(NAMES)), name="c.tsv"),
        write_jsonl(place, *({"path": name, "label": cat_or_dog(name)} for name in NAMES)),
    ]  # fmt: skip
    for table in tables:
        folder = scan_folder(table, seed=3)
        assert folder == scan_folder(tables[0], seed=3)
        assert folder.root == place
        assert folder.classes == ("cat", "dog")
        assert folder.validation_source == "split"
        assert not folder.multi_label
        assert [len(folder.split(split)) for split in ("train", "validation", "test")] == [16, 4, 0]
        for image in folder.images:
            assert folder.classes[image.label] == cat_or_dog(image.path.parent.name)


def test_the_same_images_are_held_out_as_for_class_folders(place):
    table = write_csv(place, "path,label", *(f"{name},{name[0]}" for name in NAMES))
    from_table = scan_folder(table, seed=5).images
    table.unlink()
    assert from_table == scan_folder(place, seed=5).images


@pytest.mark.parametrize("word", ["val", "valid", "Validation"])
def test_a_split_column_assigns_the_splits(place, word):
    splits = ["train", "train", word, "test", "Train"] * 4
    rows = [f"{name},{name[0]},{split}" for name, split in zip(NAMES, splits, strict=True)]
    folder = scan_folder(write_csv(place, "path,label,split", *rows))
    assert folder.validation_source == "folder"
    assert [len(folder.split(split)) for split in ("train", "validation", "test")] == [12, 4, 4]
    assert [image.path.name for image in folder.split("test")] == ["4.png", "9.png"] * 2


def test_an_empty_split_column_is_ignored(place):
    table = write_csv(place, "path,label,split", *(f"{name},{name[0]}," for name in NAMES))
    assert scan_folder(table).validation_source == "split"


def test_a_class_that_is_missing_in_a_split_is_a_notice(place):
    rows = [f"{name},{name[0]},{'val' if name == 'x/1.png' else 'train'}" for name in NAMES]
    folder = scan_folder(write_csv(place, "path,label,split", *rows))
    assert "images.csv: the validation split has no image of y" in folder.notices[0]


@pytest.mark.parametrize("format_value", [
    lambda labels: {"labels": "|".join(labels)},
    lambda labels: {"tags": " ; ".join(labels)},
    lambda labels: {"label": labels},
    lambda labels: {"labels": labels},
    lambda labels: {"labels": json.dumps(labels)},
])  # fmt: skip
def test_an_image_may_have_several_labels_or_none(place, format_value):
    labels = [["red"], ["round", "red"], [], ["10", "2"]]
    rows = [{"path": name, **format_value(labels[k % 4])} for k, name in enumerate(NAMES)]
    folder = scan_folder(write_jsonl(place, *rows))
    assert folder.multi_label
    assert folder.classes == ("2", "10", "red", "round")
    found = {image.path.relative_to(place).as_posix(): image for image in folder.images}
    assert [found[name].labels for name in NAMES[:4]] == [(2,), (2, 3), (), (0, 1)]
    assert found[NAMES[0]].label == 2
    with pytest.raises(FolderError, match="2 labels"):
        _ = found[NAMES[1]].label
    for split in ("train", "validation"):
        assert {label for each in folder.split(split) for label in each.labels} == {0, 1, 2, 3}


def test_a_column_named_labels_makes_the_data_multi_label(place):
    assert scan_folder(write_csv(place, "path,labels", *GOOD)).multi_label
    assert not scan_folder(write_csv(place, "path,label", *GOOD)).multi_label


@pytest.mark.parametrize("separator", [";", "|", " ; "])
def test_a_separator_in_a_single_label_belongs_to_the_label(place, separator):
    rows = [f'"{name}","{cat_or_dog(name)}{separator}red"' for name in NAMES]
    folder = scan_folder(write_csv(place, "path,label", *rows))
    assert folder.classes == (f"cat{separator}red", f"dog{separator}red")
    assert not folder.multi_label
    [notice] = folder.notices
    assert separator in notice


def bare(name: str) -> str:
    return name.removesuffix(".png")


def one_hot(name: str, on: object = 1, off: object = 0) -> str:
    return f"{on},{off}" if cat_or_dog(name) == "cat" else f"{off},{on}"


TABLES = {
    "fastai": ("fname,class", "{name},{label}"),
    "Hugging Face": ("file_name,label", "{name},{label}"),
    "file and class": ("Image Path,width,Class", "{name},4,{label}"),
    "an index": (",filename,label", "7,{name},{label}"),
    "ids": ("image_id,label", "{bare},{label}"),
    "Kaggle": ("id,breed", "{bare},{label}"),
    "Excel": ("sep=;\npath;label", "{name};{label}"),
    "spaces": ("path, label", '"{name}", "{label}"'),
    "one-hot": ("image,cat,dog", "{name},{one_hot}"),
    "no header": ("", "{label},{name}"),
    "backslashes": ("path,label", "{backslashed},{label}"),
    "absolute": ("path,label", "{place}/{name},{label}"),
    "elsewhere": ("path,label", "/content/drive/{name},{label}"),
    "Windows": ("path,label", "C:\\data\\{backslashed},{label}"),
}


@pytest.mark.parametrize(("header", "row"), TABLES.values(), ids=TABLES)
def test_tables_are_read_as_people_have_them(place, header, row):
    rows = [
        row.format(
            name=name,
            label=cat_or_dog(name),
            bare=bare(name),
            place=place,
            backslashed=name.replace("/", "\\"),
            one_hot=one_hot(name, "1.0", "0.0"),
        )
        for name in NAMES
    ]
    folder = scan_folder(write_csv(place, *filter(None, [header]), *rows))
    assert (folder.classes, folder.multi_label) == (("cat", "dog"), False)
    assert {(image.path, image.label) for image in folder.images} == {
        (place / name, int(cat_or_dog(name) == "dog")) for name in NAMES
    }


def test_what_was_assumed_about_a_table_is_a_notice(place):
    for lines, word in (
        ([*GOOD], "no header"),
        (["id,breed", *GOOD], "breed"),
        (["id,a,b", *(f"{name},{one_hot(name)}" for name in NAMES)], "a, b"),
        (["id,class,category", *(f"{row},7" for row in GOOD)], "class"),
        (["path,label", *(f"/content/{row}" for row in GOOD)], "/content/x/1.png"),
    ):
        [notice] = scan_folder(write_csv(place, *lines)).notices
        assert word in notice
    assert scan_folder(write_csv(place, "file,width,class", *(f"{n},4,{n[0]}" for n in NAMES))
                       ).notices == ()  # fmt: skip


def test_several_ones_in_a_row_are_several_labels(place):
    rows = [f"{name},{int(k % 2)},{int(k % 3 > 0)}" for k, name in enumerate(NAMES)]
    folder = scan_folder(write_csv(place, "image,odd,rest", *rows))
    assert folder.multi_label
    found = {image.path: image.labels for image in folder.images}
    assert [found[place / name] for name in NAMES[:4]] == [(), (0, 1), (1,), (0,)]


@pytest.mark.parametrize("header", ["is_valid", "is_test"])
def test_a_column_of_truth_values_assigns_a_split(place, header):
    rows = [f"{row},{k % 5 == 0}" for k, row in enumerate(GOOD)]
    folder = scan_folder(write_csv(place, f"path,label,{header}", *rows))
    split = {"is_valid": "validation", "is_test": "test"}[header]
    assert [image.path.name for image in folder.split(split)] == ["1.png", "6.png"] * 2


def test_ids_belong_to_the_folder_that_is_named_like_the_table(tmp_path):
    for name in ("train/1.png", "train/2.png", "test/1.png", "test/2.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.new("RGB", (4, 3)).save(tmp_path / name)
    (tmp_path / "train/1.txt").touch()
    table = write_csv(tmp_path, "id,label", "1,ant", "2,bee", name="train_labels.csv")
    assert [image.path for image in read_manifest(table).images] == [
        tmp_path / "train/1.png", tmp_path / "train/2.png",
    ]  # fmt: skip
    with pytest.raises(FolderError, match=r"line 2: 1 may be test/1\.png or train/1\.png"):
        read_manifest(write_csv(tmp_path, "id,label", "1,ant", "2,bee", name="all.csv"))


def write_coco(place: Path, annotations: list[dict[str, object]]) -> Path:
    images = [{"id": k, "file_name": name} for k, name in enumerate(NAMES)]
    categories = [{"id": 1, "name": "cat"}, {"id": 7, "name": "dog"}]
    path = place / "coco.json"
    path.write_text(json.dumps(
        {"images": images, "annotations": annotations, "categories": categories}))  # fmt: skip
    return path


def test_coco_annotations_are_labels(place):
    found = [{"image_id": k, "category_id": 1 if name[0] == "x" else 7}
             for k, name in enumerate(NAMES)]  # fmt: skip
    folder = scan_folder(write_coco(place, [*found, found[0]]))
    assert (folder.classes, folder.multi_label) == (("cat", "dog"), False)
    assert all(image.label == (image.path.parent.name == "y") for image in folder.images)
    assert scan_folder(write_coco(place, [*found, {"image_id": 0, "category_id": 7}])).multi_label
    for broken, words in (
        (found[1:], "image 1: x/1.png has no label"),
        ([*found, {"image_id": 0}], "category_id"),
        ([*found, {"image_id": 99, "category_id": 1}], "99"),
    ):
        with pytest.raises(FolderError, match=words):
            scan_folder(write_coco(place, broken))


def test_a_json_list_of_objects_is_a_table(place):
    path = place / "images.json"
    path.write_text(json.dumps([{"file": name, "label": name[0]} for name in NAMES]))
    assert scan_folder(path).classes == ("x", "y")
    for text, words in (("{}", "COCO"), ("[1]", "image 1"), ("{", "JSON"), ("[" * 99999, "JSON")):
        path.write_text(text)
        with pytest.raises(FolderError, match=words):
            read_manifest(path)


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_every_cell_may_be_quoted(place, delimiter):
    rows = [[name, name[0]] for name in NAMES]
    lines = [delimiter.join(f'"{cell}"' for cell in cells) for cells in [["path", "label"], *rows]]
    assert len(scan_folder(write_csv(place, *lines)).images) == len(NAMES)


def test_numbers_are_labels_too(place):
    folder = scan_folder(write_jsonl(place, *({"path": n, "label": n == 1} | {
        "label": int(n[0] == "x")} for n in NAMES)))  # fmt: skip
    assert folder.classes == ("0", "1")


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ([], "an empty file"),
        (["a,b,c", "x/1.png,x,y"], "columns a, b, c; name"),
        (["path,label,path", "x/1.png,a,b"], "line 1: .*path"),
        (["path,is_valid,label", "x/1.png,2,x"], "line 2: is_valid is '2'"),
        (["path,label"], "images.csv"),
        (["path,label", *GOOD, "x/1.png,x"], "x/1.png in lines 2 and 22"),
        (["path,label", *GOOD, "./x//1.png,y"], "x/1.png in lines 2 and 22"),
        (["path,label", *GOOD, "x/77.png,x"], r"line 22: .*x/77.png"),
        (["path,label", *GOOD, "x/77.png,x", "z,x"], "77.png and 1 more"),
        (["path,label", *GOOD, "x\\1.png,x"], "x/1.png in lines 2 and 22"),
        (["path,label", *GOOD, "1.png,x"], "line 22: 1.png may be x/1.png or y/1.png"),
        (["path,label", *GOOD, "../x/1.png,x"], r"line 22: '\.\./x/1.png"),
        (["path,label", *GOOD, "x/../../secret.png,x"], r"x/\.\./\.\./secret.png"),
        (["path,label", *GOOD, "..\\secret.png,x"], r"line 22: '\.\."),
        (["path,label", *GOOD, "/etc/passwd,x"], "'/etc/passwd'"),
        (["path,label", *GOOD, "C:\\x.png,x"], "line 22: .*C:"),
        (["path,label", *GOOD, ",x"], "line 22: ''"),
        (["path,label", *GOOD[1:], "x/1.png,"], "line 21: x/1.png"),
        (["path,label", *GOOD, "x/1.png"], "line 22: 1 cells.* 2"),
        (["path,label", *GOOD, 'x/1.png,"x'], "CSV"),
        (["path,label", *[row.replace(",y", ",x") for row in GOOD]], "only one class, x"),
        (["path,label,split", "x/1.png,x,exam"], "line 2: .*'exam'"),
        (["path,label,split", "x/1.png,x,train", "x/2.png,x,"], "line 3: .*''"),
        (["path,label,split", "x/1.png,x,val"], "split train"),
        (["path,label,split", *[f"{row},train" for row in GOOD[:-1]], "y/10.png,z,test"],
         "the test split .*: z"),
        (["path,label", *GOOD[:10], "y/1.png,y"], "class y has 1 "),
    ],
)  # fmt: skip
def test_unusable_tables_are_refused_in_one_line(place, lines, words):
    table = write_csv(place, *lines) if lines else place / "images.csv"
    table.touch()
    with pytest.raises(FolderError, match=words) as caught:
        scan_folder(table)
    assert "\n" not in str(caught.value)
    assert "images.csv" in str(caught.value)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("{", "line 1: "),
        ("[" * 100_000, "line 1: "),
        ("[1]", "line 1: "),
        ('{"path": "x/1.png"}', "columns path; name .*label"),
        ('{"label": "x"}', "columns label; name .*path"),
        ('{"path": "x/1.png", "label": "x"}\n{"label": "x"}', "line 2: .*path"),
        ('{"path": "x/1.png", "label": "x"}\n{"path": "x/2.png"}', "line 2: x/2.png has no label"),
        ('{"path": 33, "label": "x"}', "line 1: .*33"),
        ('{"path": "x/1.png", "label": null}', "no label"),
        ('{"path": "x/1.png", "label": true}', "True"),
        ('{"path": "x/1.png", "label": 1.5}', "1.5"),
        ('{"path": "x/1.png", "label": ["a", []]}', r"\[\]"),
        ('{"path": "x/1.png", "labels": "[1"}', r"\[1"),
    ],
)
def test_lines_without_a_path_and_a_label_are_refused(place, line, words):
    path = write_csv(place, line, name="images.jsonl")
    with pytest.raises(FolderError, match=words):
        read_manifest(path)


def test_other_encodings_are_refused(place):
    table = place / "images.csv"
    table.write_bytes("path,label\nx/1.png,café\n".encode("latin-1"))
    with pytest.raises(FolderError, match="UTF-8"):
        read_manifest(table)
    table.write_text("path,label\n" + "\n".join(GOOD), encoding="utf-8-sig")
    assert read_manifest(table).classes == ("x", "y")


def test_similar_class_names_are_a_notice(place):
    lines = [line.replace(",y", ",Wild_bee" if "1" in line else ",wild bee ") for line in GOOD]
    [notice] = scan_folder(write_csv(place, "path,label", *lines)).notices
    assert "'wild bee' and 'Wild_bee'" in notice
    for name in ("Wild bee", "wild bee"):
        (place / name).mkdir()
        for number in (1, 2):
            Image.new("RGB", (4, 3), (number, 9, 9)).save(place / name / f"{number}.png")
    assert "'Wild bee' and 'wild bee'" in scan_folder(place).notices[0]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-be"])
def test_utf_16_with_a_byte_order_mark_is_read(place, encoding):
    lines = ("path\tlabel", *(line.replace(",", "\t") for line in GOOD))
    table = "\ufeff" * (encoding != "utf-16") + "\r\n".join(lines)
    (place / "images.csv").write_bytes(table.encode(encoding))
    assert read_manifest(place / "images.csv").classes == ("x", "y")
    (place / "images.csv").write_bytes(table.encode(encoding)[:-1])
    with pytest.raises(FolderError, match="UTF-8"):
        read_manifest(place / "images.csv")


def test_accents_may_be_encoded_differently_than_on_the_disk(place):
    for form, other in (("NFC", "NFD"), ("NFD", "NFC")):
        stored = unicodedata.normalize(form, f"Käfer {form}.png")
        (place / "x/1.png").rename(place / "x" / stored)
        written = unicodedata.normalize(other, f"x/{stored}")
        catalog = read_manifest(write_csv(place, "path,label", *GOOD[1:], f"{written},x"))
        assert place / "x" / stored in {image.path for image in catalog.images}
        (place / "x" / stored).rename(place / "x/1.png")


def test_a_damaged_image_in_a_manifest_is_left_out(place):
    (place / "x/1.png").write_text("not an image")
    folder = scan_folder(write_csv(place, "path,label", *GOOD))
    assert [file.path.name for file in folder.skipped] == ["1.png"]
    assert len(folder.images) == 19
