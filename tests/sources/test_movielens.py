"""MovieLens 100K from a package: converted to the KION schema, cached, and verified."""

import zipfile
from pathlib import Path

from retrieval.errors import Problem
from retrieval.sources import movielens
from retrieval.sources.movielens import MovieLens
from retrieval.stage import sha256

import pyarrow.parquet as pq
import pytest
from worlds import section

FILES = {
    "inter": "user_id:token\titem_id:token\trating:float\ttimestamp:float\n"
    "196\t242\t3\t881250949\n186\t302\t5\t891717742\n",
    "user": "user_id:token\tage:token\tgender:token\toccupation:token\tzip_code:token\n"
    "186\t7\tM\tstudent\t1\n196\t24\tF\tother\t2\n9\t25\tF\tother\t2\n10\t73\tM\tlawyer\t3\n",
    "item": "item_id:token\tmovie_title:token_seq\trelease_year:token\tclass:token_seq\n"
    '242\t"Q" & Co, the Film\t1997\tChildren\'s Film-Noir\n302\tUnknown\tunkonwn\tunknown\n',
}


def wheel(tmp_path: Path, files: dict[str, str]) -> MovieLens:
    """A package with the layout of the real one, where pip finds it without an index."""
    path = tmp_path / "index" / "ratings-1.0-py3-none-any.whl"
    path.parent.mkdir()
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in files.items():
            archive.writestr(movielens.PREFIX + name, text)
        archive.writestr("ratings-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: ratings\nVersion: 1.0\n")
        archive.writestr("ratings-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        archive.writestr("ratings-1.0.dist-info/RECORD", "")
    return MovieLens(**section("movielens", package="ratings==1.0", sha256=sha256(path)))


@pytest.fixture
def offline(tmp_path: Path, out: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No package index, but a folder of packages. Returns an empty folder to write into."""
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "index"))
    return out


def test_movielens_becomes_the_kion_schema(tmp_path: Path, offline: Path) -> None:
    raw = movielens.fetch(wheel(tmp_path, FILES), offline)
    assert raw.rows == {"interactions.parquet": 2, "users.parquet": 4, "items.parquet": 2}
    interactions = pq.read_table(offline / "interactions.parquet").to_pylist()
    # 881250949 seconds since 1970 are 10199 days (1997-12-04) and 57349 seconds (15:55:49); 3 stars are 60 percent
    assert interactions[0]["user_id"] == 196
    assert interactions[0]["item_id"] == 242
    assert interactions[0]["time"].isoformat() == "1997-12-04T15:55:49"
    assert [row["value"] for row in interactions] == [60, 100]
    users = pq.read_table(offline / "users.parquet").to_pydict()
    assert users["user_id"] == [186, 196, 9, 10]
    assert users["age"] == ["age_0_17", "age_18_24", "age_25_34", "age_65_inf"]
    assert users["occupation"] == ["student", "other", "other", "lawyer"]
    items = pq.read_table(offline / "items.parquet").to_pylist()
    assert items[0] == {
        "item_id": 242,
        "title": '"Q" & Co, the Film',
        "release_year": "1997",
        "genres": "Children's,Film-Noir",
    }
    assert items[1]["release_year"] is None


def test_a_wheel_is_downloaded_once(tmp_path: Path, offline: Path, cache: Path) -> None:
    settings = wheel(tmp_path, FILES)
    movielens.fetch(settings, offline)
    (tmp_path / "index" / "ratings-1.0-py3-none-any.whl").unlink()
    movielens.fetch(settings, offline)
    (file,) = (cache / "two-tower-retrieval").iterdir()
    file.write_bytes(b"other bytes")
    with pytest.raises(Problem, match="pip cannot download"):
        movielens.fetch(settings, offline)


def test_another_wheel_is_refused(tmp_path: Path, offline: Path) -> None:
    settings = wheel(tmp_path, FILES).model_copy(update={"sha256": "0" * 64})
    with pytest.raises(Problem, match=r"movielens\.sha256: ratings-1\.0-.*has sha256 [0-9a-f]{64}, expected 0000"):
        movielens.fetch(settings, offline)
    assert not list(offline.iterdir())


def test_a_wheel_without_the_files_is_refused(tmp_path: Path, offline: Path) -> None:
    with pytest.raises(Problem, match="does not contain MovieLens 100K"):
        movielens.fetch(wheel(tmp_path, {"inter": FILES["inter"]}), offline)


def test_without_an_index_the_message_names_sources_that_need_no_network(offline: Path) -> None:
    settings = MovieLens(**section("movielens"))
    with pytest.raises(Problem, match="data=kion-synthetic and data=folder need no network") as caught:
        movielens.fetch(settings, offline)
    assert "\n" not in str(caught.value)
    assert "cannot download recbole==1.2.1" in str(caught.value)
