"""Opening an index: it must have been built from this very model, and its files must be whole."""

from retrieval import matrices
from retrieval.errors import Problem
from retrieval.search.backends import Database, open_index
from retrieval.search.indexes import Faiss

import pytest
from worlds import reindex, resave

NO_DATABASE = Database("", "", 1)


def open_ials(world, backend="hnsw"):
    path = world / "models"
    return open_index(backend, path / "indexes" / "ials", matrices.load(path / "ials"), NO_DATABASE)


def test_exact_search_and_models_without_vectors_open_nothing(world):
    assert open_ials(world, "exact") is None
    for name in ("ease", "popular"):
        assert open_index("hnsw", world / "nowhere", matrices.load(world / "models" / name), NO_DATABASE) is None


def test_the_index_of_another_model_is_refused(copy):
    path = copy / "models" / "ials"
    model = matrices.load(path)
    resave(path, model, right=model.right * 2)
    with pytest.raises(Problem, match="built from another version of ials; run dvc repro"):
        open_ials(copy)
    reindex(copy)
    fitted, index = open_ials(copy)
    assert isinstance(index, Faiss)
    assert fitted.mean.shape == (model.right.shape[1],)


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda path: (path / "index.json").unlink(), "ials: index.json is missing; run dvc repro"),
        (lambda path: (path / "ivf.faiss").unlink(), "ials: ivf.faiss is missing; run dvc repro"),
        (lambda path: (path / "index.json").write_text("{"), "index.json: does not read: "),
        (lambda path: (path / "index.json").write_text("null"), "index.json: its format is None, expected 2"),
        (lambda path: (path / "space.npz").write_bytes(b""), "space.npz: does not match its hash in index.json"),
    ],
)
def test_a_damaged_folder_is_refused(copy, damage, reason):
    damage(copy / "models" / "indexes" / "ials")
    with pytest.raises(Problem, match=reason):
        open_ials(copy)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("vectors", "vectors: expected a URL, such as https://HOST:19530, or a folder NAME.db"),
        ("localhost:19530", "localhost:19530: expected a URL, such as https://HOST:19530, or a folder NAME.db"),
        ("file.db", "file.db: is a file, expected a folder of Milvus Lite, or nothing"),
        ("other.db", "other.db: a folder with other files, expected one of Milvus Lite, or nothing"),
        ("no/new.db", "new.db: the folder .*no does not exist"),
    ],
)
def test_what_milvus_lite_cannot_have_as_its_folder_is_refused(tmp_path, name, reason):
    (tmp_path / "file.db").write_text("text", encoding="utf-8")
    (tmp_path / "other.db").mkdir()
    (tmp_path / "other.db" / "notes.txt").write_text("text", encoding="utf-8")
    with pytest.raises(Problem, match=rf"^database: [^\n]*{reason}$"):
        Database(str(tmp_path / name), "", 1).check()


@pytest.mark.parametrize("name", ["new.db", "empty.db", "filled.db"])
def test_a_folder_of_milvus_lite_or_nothing_is_fine(tmp_path, name):
    (tmp_path / "empty.db").mkdir()
    (tmp_path / "filled.db").mkdir()
    for each in ("LOCK", "collections"):
        (tmp_path / "filled.db" / each).touch()
    Database(str(tmp_path / name), "", 1).check()


@pytest.mark.parametrize("url", ["https://host:19530", "http://127.0.0.1:9", "tcp://host:1", "unix:/run/milvus.sock"])
def test_urls_are_left_to_the_client(url):
    Database(url, "", 1).check()
