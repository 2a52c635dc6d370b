"""Words of texts as features: what a word is, TF-IDF, and a taste that follows a word of the title."""

import sys
from collections import Counter
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType, SimpleNamespace

import features
from retrieval import histories
from retrieval.columns import Columns
from retrieval.errors import Problem
from retrieval.histories import Features
from retrieval.stage import write_json
from retrieval.text import LONGEST, MAX_WORDS, Words, encode_sentences, encode_text, fit, library, split

import numpy as np
import pandas as pd
import pytest
import safetensors.numpy
from hypothesis import given
from hypothesis import strategies as st
from worlds import section, trained

TASTES = ["dragon", "wedding", "submarine", "любовь", "robot", "zombie"]
ODD = [None, "", " ", [], [None, ""], "the", "и", "word", "word " * 10_000, "x" * 50_000, "🎬🎬", "❤️", "1917", "007",
       "<b>", "<" * 1000, "&#0;&#x110000;&bogus;", "\x00", "ﷺ", "e\u0301", ["a list", None, "of texts"]]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The Lord of the Rings", ["lord", "rings"]),
        ("Ещё не вечер, Пётр", ["вечер", "петр"]),
        ("Schindler's don't-list", ["schindler", "list"]),
        ("<p class='x'>Tom &amp; Jerry</p><br/>&lt;3 a < b", ["tom", "jerry"]),
        ("2001: A Space Odyssey", ["2001", "space", "odyssey"]),
        ("Amélie AME\u0301LIE \uff41\uff4d\uff45\u0301\uff4c\uff49\uff45 am\u00adélie", ["amélie"] * 4),
        ("हिन्दी 🎬 straße", ["हिन्दी", "strasse"]),
        (["space opera", None, "war"], ["space", "opera", "war"]),
        ("w" * (LONGEST + 1), []),
        (None, []),
    ],
)
def test_words(text, expected):
    assert split(text) == expected


def test_tf_idf_is_that_of_a_plain_loop():
    rng = np.random.default_rng(0)
    texts = [" ".join(rng.choice([f"word{i}" for i in range(40)], rng.integers(0, 12))) for _ in range(50)]
    fitted = fit(texts)
    dense = np.zeros((50, len(fitted.words)))
    for row, text in enumerate(texts):
        for word, count in Counter(text.split()).items():
            if word in fitted.words:
                having = sum(word in other.split() for other in texts)
                dense[row, fitted.words.index(word)] = count * (np.log(51 / (1 + having)) + 1)
    length = np.linalg.norm(dense, axis=1, keepdims=True)
    found = encode_text(texts, fitted)
    assert found.dtype == np.float32
    assert np.allclose(found.toarray(), dense / np.where(length, length, 1), atol=2e-6)


def test_the_most_frequent_words_count_and_of_equally_frequent_ones_the_first():
    texts = [f"word{i:05}" for i in range(MAX_WORDS + 5) for _ in range(2)] + ["word02004", "once"]
    expected = [f"word{i:05}" for i in [*range(MAX_WORDS - 1), 2004]]
    assert fit(texts).words == expected
    assert fit(texts[::-1]) == fit(texts)


def test_odd_texts_are_encoded_whatever_was_fitted():
    assert encode_text(ODD, fit(ODD)).shape == (len(ODD), len(fit(ODD).words))
    assert fit([]) == fit([None, "alone"]) == Words([], [])
    assert encode_text(ODD, Words([], [])).shape == (len(ODD), 0)
    assert encode_text([], Words(["word"], [1.0])).shape == (0, 1)


@given(st.lists(st.none() | st.text() | st.lists(st.none() | st.text(), max_size=3), max_size=8))
def test_any_text_is_encoded_in_rows_of_length_one_or_zero(texts):
    fitted = fit(texts)
    matrix = encode_text(texts, fitted)
    length = np.sqrt(matrix.multiply(matrix).sum(axis=1))
    assert matrix.shape == (len(texts), len(fitted.words))
    assert np.all((length == 0) | (abs(length - 1) < 1e-5))


class Lengths:
    """A model of sentences as both packages have it: the vector of a text is its number of characters, and 1."""

    def __init__(self, path: str, **options: object) -> None:
        assert Path(path).is_dir()

    from_pretrained = classmethod(lambda cls, path: cls(path))

    def encode(self, texts: list[str], **options: object) -> np.ndarray:
        assert texts  # model2vec has no vectors of no text
        return np.array([[len(text), 1] for text in texts], np.float32)


@pytest.mark.parametrize(
    ("package", "name", "file", "content"),
    [
        ("model2vec", "StaticModel", "config.json", '{"model_type": "model2vec"}'),
        ("model2vec", "StaticModel", "modules.json", '[{"path": ".", "type": "models.StaticEmbedding"}]'),
        ("sentence_transformers", "SentenceTransformer", "modules.json", "[]"),
    ],
)
def test_sentence_vectors_of_a_folder(tmp_path, monkeypatch, package, name, file, content):
    (tmp_path / file).write_text(content)
    (tmp_path / "tokenizer.json").touch()
    stub = ModuleType(package)
    stub.__spec__ = ModuleSpec(package, None)
    setattr(stub, name, Lengths)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ValueError, match=f"not installed: pip install {package.replace('_', '-')}"):
        library(tmp_path)
    monkeypatch.setitem(sys.modules, package, stub)
    vectors = encode_sentences(["war", None, "<p>wars</p>", ["a", "b"]], tmp_path)
    assert vectors.dtype == np.float32
    assert vectors.round(3).tolist() == np.float32([[0.949, 0.316], [0, 0], [0.97, 0.242], [0.949, 0.316]]).tolist()
    assert encode_sentences([], tmp_path).shape == (0, 2)


def test_a_folder_of_sentence_vectors_that_does_not_load_is_one_line(tmp_path, monkeypatch):
    with pytest.raises(Problem, match=f"^columns.text_model {tmp_path} is not a folder that model2vec or"):
        encode_sentences(["war"], tmp_path)
    (tmp_path / "config.json").write_text('{"model_type": "model2vec"}')
    stub = ModuleType("model2vec")
    stub.__spec__ = ModuleSpec("model2vec", None)
    monkeypatch.setitem(sys.modules, "model2vec", stub)

    def cut_off(path: str) -> None:
        safetensors.numpy.load((Path(path) / "config.json").read_bytes()[:4])

    stub.StaticModel = SimpleNamespace(from_pretrained=cut_off)
    expected = f"^columns.text_model {tmp_path} does not load with model2vec: SafetensorError: .*header.*$"
    with pytest.raises(Problem, match=expected):
        encode_sentences(["war"], tmp_path)


def planted(tmp_path: Path, text: list[str]) -> tuple[Features, np.ndarray]:
    """The stage features on a world whose users watch the items with one word in the title, and each item's word."""
    rng, prepared = np.random.default_rng(0), tmp_path / "prepared"
    prepared.mkdir(parents=True)
    taste = np.arange(180) % len(TASTES)
    noise = [f"noise{i}" for i in range(30)]
    titles = [" ".join(rng.permutation([TASTES[t], *rng.choice(noise, 2)])).title() for t in taste]
    watched = [rng.choice(np.flatnonzero(taste == u % len(TASTES)), 8, replace=False) for u in range(300)]
    rows = {"user_id": np.repeat(np.arange(300), 8), "item_id": np.concatenate(watched)}
    time = pd.Series(pd.Timestamp("2021-01-01") + pd.to_timedelta(np.arange(2400), "h")).astype("datetime64[us]")
    pd.DataFrame({**rows, "datetime": time, "weight": np.float32(1)}).to_parquet(prepared / "train.parquet")
    pd.DataFrame({"user_id": np.arange(300)}).to_parquet(prepared / "users.parquet")
    items = {"item_id": np.arange(180), "title": titles, "kind": rng.choice(["film", "series"], 180)}
    pd.DataFrame(items).to_parquet(prepared / "items.parquet")
    write_json(prepared / "stats.json", {"split": "leave-last", "moment": 0, "repeats": "drop", "timed": True})
    columns = Columns(**section("columns", user=[], item=["kind"], multiple=[], text=text, text_model=None))
    features.main(features.FeaturesParams(columns=columns), prepared, tmp_path / "features")
    return histories.load(tmp_path / "features"), taste


def test_taste_that_follows_a_word_of_the_title_is_found_with_text_alone(tmp_path):
    share = {}
    for text in ([], ["title"]):
        data, taste = planted(tmp_path / str(len(text)), text)
        net, _ = trained(data, item="features", width=16, epochs=15, learning_rate=0.03)
        left, right = net.matrices(data.histories)
        best = np.argsort(-(left @ right.T - 1e6 * data.seen.toarray()), axis=1)[:, :10]
        share[len(text)] = np.mean(taste[best] == np.arange(300)[:, None] % len(TASTES))
    assert share[0] < 0.3  # one in six by chance
    assert share[1] > 0.9


def test_text_comes_last_and_what_is_kept_encodes_new_items(tmp_path):
    data, _ = planted(tmp_path, ["title"])
    assert list(data.spec["item_columns"]) == ["kind", "title"]
    assert data.items.shape[1] == sum(map(len, data.spec["item_columns"].values()))
    fitted = Words(data.spec["item_columns"]["title"], data.spec["item_texts"]["title"])
    titles = pd.read_parquet(tmp_path / "prepared" / "items.parquet")["title"].tolist()
    assert (encode_text(titles, fitted) != data.items[:, 2:]).nnz == 0
    assert encode_text(["Dragon of tomorrow"], fitted)[0, fitted.words.index("dragon")] == 1
    assert {"dragon", "любовь"} <= set(fitted.words)


def test_without_text_nothing_changes(tmp_path):
    data, _ = planted(tmp_path, [])
    assert data.spec["item_columns"] == {"kind": ["film", "series"]}
    assert "item_texts" not in data.spec
