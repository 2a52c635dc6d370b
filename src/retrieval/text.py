"""Texts to sparse TF-IDF features, one per word: fitted once and kept, so that new items are encoded the same way.

A word is a run of letters, digits and their marks, in any alphabet and in lower case; HTML tags are left out. Languages
that are written without spaces are not split into words.

A folder of model2vec or sentence-transformers adds vectors of whole texts. Neither package is installed by `make`.
"""

import html
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TypeAlias

from retrieval.errors import Problem

import numpy as np
import scipy.sparse as sp

MAX_WORDS = 2_000  # of one column
MIN_ITEMS = 2  # that share a word
SHORTEST, LONGEST = 2, 40  # letters of a word
DIGITS = 6  # after the point, of what is computed
VECTOR_DIGITS = 4  # of vectors, which are computed in float32
TAG = re.compile(r"</?[a-zA-Z][^<>]*>")

Text: TypeAlias = str | Sequence[str | None] | None  # a list counts as its parts with space between them

# Words that say nothing of what a text is about, by hand after the lists of Snowball (snowballstem.org, BSD licence);
# for English also what is left of "don't" and the like.
ENGLISH = """
    about after again all am an and any are as at be because been before being below between both but by can could did
    do does doing down during each few for from further had has have having he her here hers herself him himself his how
    if in into is it its itself just me more most my myself no nor not now of off on once only or other our ours
    ourselves out over own same she should so some such than that the their theirs them themselves then there these they
    this those through to too under until up very was we were what when where which while who whom why will with would
    you your yours yourself yourselves
    aren couldn didn doesn don hadn hasn haven isn ll re shouldn ve wasn weren won wouldn
"""
RUSSIAN = """
    без более больше будет будто бы был была были было быть вам вас ведь во вот все всегда всего всех всю вы где да даже
    для до его ее ей ему если есть еще же за здесь из или им иногда их как какая какой когда конечно которая которого
    которое которой которую которые который которых кто куда ли лучше между меня мне много может можно мой моя мы на над
    надо наконец нас не него нее ней нельзя нет ни нибудь никогда ним них ничего но ну об однако он она они оно от перед
    по под после потом потому почти при про раз разве со свой своего своей свои своих свою себе себя совсем так также
    такой там тебя тем теперь то тогда того тоже той только том тот тут ты уж уже хорошо хоть чего чем через что чтоб
    чтобы чуть эта эти этих это этого этой этом этот эту
"""  # noqa: RUF001
STOP_WORDS = frozenset((ENGLISH + RUSSIAN).split())


class _Letters(dict[int, str]):
    """For `str.translate`: letters, marks and digits stay, invisible characters go, all others become spaces."""

    def __missing__(self, code: int) -> str:
        category = unicodedata.category(chr(code))
        self[code] = chr(code) if category[0] in "LMN" else "" if category == "Cf" else " "
        return self[code]


_LETTERS = _Letters()


@dataclass(frozen=True)
class Words:
    """What was fitted: the words [n], ascending, and the idf [n] of each, its inverse document frequency."""

    words: Sequence[str]
    idf: Sequence[float]


def fit(texts: Iterable[Text]) -> Words:
    """The MAX_WORDS words that most of the texts have, of those that MIN_ITEMS or more share, and their idf.

    Of words in equally many texts, the first in the alphabet count. idf = ln((1 + texts) / (1 + texts with the word)) +
    1. It is rounded to DIGITS, as processors differ in the last bit of a logarithm.
    """
    documents = [split(text) for text in texts]
    count = Counter(word for document in documents for word in set(document))
    frequent = sorted((-n, word) for word, n in count.items() if n >= MIN_ITEMS)[:MAX_WORDS]
    vocabulary = sorted(word for _, word in frequent)
    if not vocabulary:
        return Words([], [])
    from sklearn.feature_extraction.text import TfidfVectorizer  # takes a second

    vectorizer = TfidfVectorizer(analyzer=list, vocabulary=vocabulary).fit(documents)
    return Words(vocabulary, vectorizer.idf_.round(DIGITS).tolist())


def encode_text(texts: Iterable[Text], fitted: Words) -> sp.csr_matrix:
    """The features [texts, words] of texts, CSR float32: each word's count times its idf, in rows of length 1.

    A text without any of the words has zeros. The numbers are rounded to DIGITS, which makes them the same everywhere.
    """
    documents = [split(text) for text in texts]
    if not len(fitted.words):
        return sp.csr_matrix((len(documents), 0), dtype=np.float32)
    from sklearn.feature_extraction.text import TfidfVectorizer

    vectorizer = TfidfVectorizer(analyzer=list, vocabulary=list(fitted.words))
    vectorizer.idf_ = np.array(fitted.idf, np.float64)
    matrix = sp.csr_matrix(vectorizer.transform(documents)) if documents else sp.csr_matrix((0, len(fitted.words)))
    matrix.data = matrix.data.round(DIGITS)
    return matrix.astype(np.float32).sorted_indices()


def split(text: Text) -> list[str]:
    """The words of a text, in their order, without stop words."""
    letters = plain(text).translate(_LETTERS)
    words = unicodedata.normalize("NFKC", letters).casefold().replace("ё", "е").split()  # noqa: RUF001
    return [word for word in words if SHORTEST <= len(word) <= LONGEST and word not in STOP_WORDS]


def plain(text: Text) -> str:
    """A text without HTML, "" for none."""
    if not isinstance(text, str):
        text = " ".join(part for part in text or () if part)
    return html.unescape(TAG.sub(" ", text)).strip()


def library(model: Path) -> str:
    """The package that reads a folder of frozen sentence vectors.

    Raises ValueError where the folder is neither package's, or the package is not installed.
    """
    config, modules = (_read(model / file) for file in ("config.json", "modules.json"))
    if '"model2vec"' in config or ("StaticEmbedding" in modules and (model / "tokenizer.json").is_file()):
        name = "model2vec"
    elif modules:
        name = "sentence-transformers"
    else:
        raise ValueError(f"text_model {model} is not a folder that model2vec or sentence-transformers has saved")
    if find_spec(name.replace("-", "_")) is None:
        raise ValueError(f"text_model {model} needs a package that is not installed: pip install {name}")
    return name


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""


def encode_sentences(texts: Iterable[Text], model: Path) -> np.ndarray:
    """Vectors [texts, d] float32 of length 1 from the folder `model`; zeros for an empty text.

    Their rounding hides most differences between processors, not all: with them, results may differ between machines.
    Raises `Problem` if the folder cannot be read.
    """
    sentences = [plain(text) for text in texts]
    try:
        name = library(model)
    except ValueError as error:
        raise Problem(f"columns.{error}") from None
    try:
        vectors = np.asarray(_vectors(name, model, sentences or [""]), np.float64)[: len(sentences)]
    except Exception as error:  # of files that are cut off, either package passes on what its own libraries raise
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        raise Problem(f"columns.text_model {model} does not load with {name}: {reason}") from error
    vectors *= np.array([sentence != "" for sentence in sentences], bool)[:, None]
    length = np.sqrt((vectors**2).sum(axis=1, keepdims=True))
    return (vectors / np.where(length, length, 1)).round(VECTOR_DIGITS).astype(np.float32)


def _vectors(name: str, model: Path, sentences: list[str]) -> np.ndarray:
    """What the package `name` makes of the sentences."""
    if name == "model2vec":
        from model2vec import StaticModel

        return StaticModel.from_pretrained(str(model)).encode(sentences, use_multiprocessing=False)
    from sentence_transformers import SentenceTransformer

    return SentenceTransformer(str(model), device="cpu", local_files_only=True).encode(sentences)
