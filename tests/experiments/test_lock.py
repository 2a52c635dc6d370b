"""The repair of files that a kill leaves truncated: DVC works again, and valid files stay as they are."""

from retrieval.experiments.lock import is_lock

from repositories import dvc, python, run, stages_run

COMMAND = ("-m", "retrieval.experiments.lock")


def test_a_truncated_dvc_lock_is_restored_from_git_and_a_valid_one_left_alone(project):
    lock = project / "dvc.lock"
    text = lock.read_text(encoding="utf-8")
    assert is_lock(text)
    lock.write_text(text + "\n", encoding="utf-8")
    assert python(project, *COMMAND).stdout == ""
    assert lock.read_text(encoding="utf-8") == text + "\n"
    lock.write_text(text[: text.rindex("path: ") + len("path:")], encoding="utf-8")
    assert "validation failed" in dvc(project, "status", code=1)
    assert python(project, *COMMAND).stdout.startswith(
        "dvc.lock: was truncated when a run was killed; restored from git"
    )
    assert lock.read_text(encoding="utf-8") == text
    assert stages_run(dvc(project, "repro")) == []


def test_a_truncated_rwlock_is_deleted_and_a_valid_one_left_alone(project):
    dvc(project, "repro")
    rwlock = project / ".dvc" / "tmp" / "rwlock"
    before = rwlock.read_bytes()
    assert python(project, *COMMAND).stdout == ""
    assert rwlock.read_bytes() == before
    rwlock.write_text('{"write": {"/data": {"pid": 1, "c', encoding="utf-8")
    assert "rwlock" in dvc(project, "repro", "--force", "--single-item", "check", code=255)
    assert "rwlock: was truncated when a run was killed; deleted" in python(project, *COMMAND).stdout
    assert stages_run(dvc(project, "repro")) == []


def test_a_truncated_dvc_lock_that_git_does_not_have_is_deleted(project):
    run(project, "git", "rm", "--quiet", "--cached", "dvc.lock")
    run(project, "git", "commit", "--quiet", "--message", "No lock")
    (project / "dvc.lock").write_text("stages: {", encoding="utf-8")
    assert "deleted, as git has none" in python(project, *COMMAND).stdout
    assert not (project / "dvc.lock").exists()
